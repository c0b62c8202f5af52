package plan

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"yakt/controller/image"
)

// place chooses the replicas of new partitions, the leader first. It keeps, in this order of importance, the rules of
// Apache's striped placement: a leader is never fenced; the replicas of a partition are spread over as many racks as
// there are; fenced brokers get replicas only where that leaves no other choice; leaders and replicas are spread evenly
// over the brokers, from a random start. Unlike Apache's it counts leaders by broker and not by rack, so that a topic with
// as many partitions as there are brokers is led by all of them whatever their racks.
//
// Brokers that are shutting down, or whose directories are all cordoned (KIP-1066), get nothing. One that is fenced has shut
// down, though its registration says that it is about to until it registers again: it gets replicas like any fenced one, so
// that topics can be created while a broker is restarted.
func (v *View) place(partitions, replicas int) ([][]int32, *Refusal) {
	p := newPlacer(v.Image, v.Rand)
	switch {
	case v.Image.NumBrokers() == 0:
		return nil, refuse(kerr.InvalidReplicationFactor, "There is no broker to place partitions on: none is registered.")
	case len(p.leaders) == 0:
		return nil, refuse(kerr.InvalidReplicationFactor, "There is no broker to place partitions on: each is fenced, shutting down or has all its log directories cordoned.")
	case replicas > len(p.brokers):
		return nil, refuse(kerr.InvalidReplicationFactor, "The replication factor %d is larger than the number of brokers that can take replicas, %d; brokers that are shutting down or have all their log directories cordoned do not count.", replicas, len(p.brokers))
	}
	out := make([][]int32, partitions)
	for i := range out {
		out[i] = p.next(replicas)
	}
	return out, nil
}

// placer places the partitions of one topic.
type placer struct {
	rand    *rand.Rand
	brokers []*placeable
	leaders []*placeable // the unfenced ones, in the order of their turns to lead
	turn    int          // in leaders, of the next partition's leader
	inRack  []int        // how many replicas of the partition at hand each rack has
}

// placeable is a broker that can take replicas.
type placeable struct {
	id       int32
	rack     int // racks are numbered; brokers without one share one
	fenced   bool
	replicas int  // so far
	turn     int  // when it leads, as an index in leaders; any number for a fenced one
	chosen   bool // for the partition at hand
}

func newPlacer(i *image.Image, rand *rand.Rand) *placer {
	p := &placer{rand: rand}
	racks := map[string]int{}
	for b := range i.Brokers() {
		if b.InControlledShutdown && !b.Fenced || allCordoned(b) {
			continue
		}
		rack := ""
		if b.Rack != nil {
			rack = "r" + *b.Rack // not the rack without a name
		}
		if _, ok := racks[rack]; !ok {
			racks[rack] = len(racks)
		}
		one := &placeable{id: b.ID, rack: racks[rack], fenced: b.Fenced}
		p.brokers = append(p.brokers, one)
		if !one.fenced {
			p.leaders = append(p.leaders, one)
		}
	}
	p.inRack = make([]int, len(racks))
	p.shuffle()
	return p
}

// shuffle draws a new order of turns, in which racks alternate for as long as they have brokers. Drawing anew whenever
// all have led once keeps the counts even and yet makes brokers share partitions with ever different ones: when one
// fails, many take over from it.
func (p *placer) shuffle() {
	p.rand.Shuffle(len(p.brokers), func(i, j int) { p.brokers[i], p.brokers[j] = p.brokers[j], p.brokers[i] })
	round := make([]int, len(p.inRack)) // of each rack's next broker
	first := p.rand.Perm(len(p.inRack)) // the order of racks within a round
	for _, b := range p.brokers {
		b.turn = round[b.rack]*len(first) + first[b.rack]
		if !b.fenced {
			round[b.rack]++
		}
	}
	slices.SortFunc(p.leaders, func(a, b *placeable) int { return cmp.Compare(a.turn, b.turn) })
	for i, b := range p.leaders {
		b.turn = i
	}
	p.turn = 0
}

// next chooses the replicas of one partition.
func (p *placer) next(replicas int) []int32 {
	if p.turn == len(p.leaders) {
		p.shuffle()
	}
	out := make([]int32, 0, replicas)
	for b := p.leaders[p.turn]; ; b = p.follower() {
		out = append(out, b.id)
		b.replicas++
		b.chosen = true
		p.inRack[b.rack]++
		if len(out) == replicas {
			break
		}
	}
	for _, b := range p.brokers {
		b.chosen = false
	}
	clear(p.inRack)
	p.turn++
	return out
}

// follower returns the best broker for the next replica of the partition at hand.
func (p *placer) follower() *placeable {
	var best *placeable
	for _, b := range p.brokers {
		if !b.chosen && (best == nil || p.better(b, best)) {
			best = b
		}
	}
	return best
}

// better says whether a is to get the next replica rather than b. Among equals it is the one that has led most recently:
// those whose turn is near will soon have one replica more anyway, and giving them this one too would tip the balance.
func (p *placer) better(a, b *placeable) bool {
	switch {
	case p.inRack[a.rack] != p.inRack[b.rack]:
		return p.inRack[a.rack] < p.inRack[b.rack]
	case a.fenced != b.fenced:
		return b.fenced
	case a.replicas != b.replicas:
		return a.replicas < b.replicas
	}
	return p.sinceTurn(a) < p.sinceTurn(b)
}

// sinceTurn counts the partitions since the broker has led.
func (p *placer) sinceTurn(b *placeable) int {
	n := len(p.leaders)
	return ((p.turn-b.turn)%n + n) % n
}

// allCordoned says whether the broker has directories and none of them takes new replicas.
func allCordoned(b *image.Broker) bool {
	for _, dir := range b.LogDirs {
		if !slices.Contains(b.CordonedLogDirs, dir) {
			return false
		}
	}
	return len(b.LogDirs) > 0
}

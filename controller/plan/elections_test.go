package plan

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yakt/controller/image"
	"yakt/records"
)

// electionCase is one partition and everything that its leader depends on.
type electionCase struct {
	brokers   []*records.RegisterBroker
	partition *records.Partition
	moving    transition
	election  election
	minISR    int
	elr       bool
	level     records.MetadataVersion
}

func drawElectionCase(t *rapid.T) electionCase {
	var c electionCase
	c.level = records.MetadataVersion(rapid.SampledFrom([]int{11, 17, 25, 30}).Draw(t, "level"))
	c.elr = c.level.HasELR() && rapid.Bool().Draw(t, "elr")
	c.minISR = rapid.IntRange(1, 4).Draw(t, "minISR")
	c.election = rapid.SampledFrom([]election{electOnline, electPreferred, electUnclean}).Draw(t, "election")

	all := rapid.Permutation([]int32{1, 2, 3, 4, 5}).Draw(t, "brokers")
	for _, id := range all[:rapid.IntRange(1, 5).Draw(t, "registered")] {
		b := &records.RegisterBroker{BrokerID: id, LogDirs: []records.UUID{dirID("up"), dirID("too")}}
		b.Fenced = rapid.IntRange(0, 2).Draw(t, "fenced") == 0
		b.InControlledShutdown = rapid.IntRange(0, 4).Draw(t, "stopping") == 0
		c.brokers = append(c.brokers, b)
	}
	someone := rapid.SampledFrom([]int32{1, 2, 3, 4, 5})
	switch rapid.IntRange(0, 3).Draw(t, "moving") {
	case 0:
		c.moving = leaving(someone.Draw(t, "leaving"))
	case 1:
		c.moving = coming(someone.Draw(t, "coming"))
	case 2:
		c.moving = lost(someone.Draw(t, "lost"))
	default:
		c.moving = stay
	}

	replicas := rapid.Permutation([]int32{1, 2, 3, 4, 5}).Draw(t, "replicas")[:rapid.IntRange(1, 4).Draw(t, "factor")]
	p := &records.Partition{Replicas: replicas, Leader: records.NoLeader, LeaderEpoch: 5, PartitionEpoch: 7}
	nobody := c.elr && rapid.IntRange(0, 3).Draw(t, "nobody") == 0
	for _, r := range rapid.Permutation(slices.Clone(replicas)).Draw(t, "order") {
		switch k := rapid.IntRange(0, 3).Draw(t, "member"); {
		case nobody:
		case k <= 1:
			p.ISR = append(p.ISR, r)
		case k == 2 && c.elr:
			p.EligibleLeaderReplicas = append(p.EligibleLeaderReplicas, r)
		}
	}
	if len(p.ISR) == 0 && !c.elr {
		p.ISR = []int32{replicas[0]}
	}
	if c.level.HasDirectories() {
		for range replicas {
			p.Directories = append(p.Directories, dirID(rapid.SampledFrom([]string{"up", "up", "down", "UNASSIGNED", "MIGRATING", "LOST"}).Draw(t, "dir")))
		}
	}
	if len(p.ISR) > 0 && rapid.IntRange(0, 2).Draw(t, "led") > 0 {
		p.Leader = rapid.SampledFrom(p.ISR).Draw(t, "leader")
		p.LeaderRecoveryState = int8(rapid.IntRange(0, 1).Draw(t, "recovering"))
	}
	if c.elr {
		p.LastKnownELR = rapid.Permutation(slices.Clone(replicas)).Draw(t, "known")[:rapid.IntRange(0, min(2, len(replicas))).Draw(t, "nKnown")]
	}
	c.partition = p
	return c
}

// dumbElection says what the partition should become, as slowly and plainly as it can be said: every replica gets the
// worst of all marks it deserves, the lowest wins.
func (c electionCase) dumbElection() image.Partition {
	old := c.partition
	gone := func(id int32) bool { return id == c.moving.leaving || id == c.moving.lost }
	reachable := func(i int) bool {
		id := old.Replicas[i]
		if gone(id) {
			return false
		}
		for _, b := range c.brokers {
			if b.BrokerID == id {
				up := len(old.Directories) == 0 || old.Directories[i] != dirID("down") && old.Directories[i] != records.DirectoryLost
				return up && (id == c.moving.coming || !b.Fenced && !b.InControlledShutdown)
			}
		}
		return false
	}

	var isr, elr []int32
	for _, id := range old.ISR {
		if !gone(id) {
			isr = append(isr, id)
		}
	}
	if c.elr && len(isr) < c.minISR {
		for id := int32(1); id <= 5; id++ {
			had := slices.Contains(old.ISR, id) || slices.Contains(old.EligibleLeaderReplicas, id)
			if had && !slices.Contains(isr, id) && id != c.moving.lost {
				elr = append(elr, id)
			}
		}
	}

	const hopeless = math.MaxInt
	best, leader := hopeless, records.NoLeader
	for i, id := range old.Replicas {
		if !reachable(i) {
			continue
		}
		complete := slices.Contains(isr, id) || len(isr) == 0 && slices.Contains(elr, id)
		mark := hopeless
		switch {
		case complete && c.election == electPreferred && i == 0:
			mark = 0
		case complete && id == old.Leader:
			mark = 1
		case complete:
			mark = 10 + i
		case c.elr && len(isr)+len(elr) == 0 && len(old.LastKnownELR) == 1 && old.LastKnownELR[0] == id:
			mark = 1000
		case c.election == electUnclean:
			mark = 2000 + i
		}
		if mark < best {
			best, leader = mark, id
		}
	}

	out := image.Partition{
		Replicas: old.Replicas, Leader: leader, LeaderEpoch: old.LeaderEpoch, PartitionEpoch: old.PartitionEpoch,
		RecoveryState: old.LeaderRecoveryState, LastKnownELR: old.LastKnownELR,
	}
	if leader != old.Leader {
		out.LeaderEpoch++
		if best >= 1000 && leader != records.NoLeader { // unclean
			isr, elr, out.RecoveryState = []int32{leader}, nil, image.Recovering
		} else if i := slices.Index(elr, leader); i >= 0 {
			isr, elr = []int32{leader}, slices.Delete(elr, i, i+1)
		}
		switch {
		case !c.elr:
		case leader == records.NoLeader && len(old.LastKnownELR) == 0:
			out.LastKnownELR = []int32{old.Leader}
		case leader != records.NoLeader:
			out.LastKnownELR = nil
		}
	}
	if len(isr) == 0 && !c.elr {
		isr = old.ISR // the last one out stays
	}
	out.ISR, out.ELR = isr, elr
	if leader == old.Leader && c.level < 12 && len(isr) < len(old.ISR) {
		out.LeaderEpoch++
	}
	// An order of the ELR that is not sorted is as good.
	was := slices.Sorted(slices.Values(old.EligibleLeaderReplicas))
	if leader != old.Leader || out.LeaderEpoch != old.LeaderEpoch || !slices.Equal(isr, old.ISR) || !slices.Equal(elr, was) ||
		out.RecoveryState != old.LeaderRecoveryState || len(out.LastKnownELR) != len(old.LastKnownELR) {
		out.PartitionEpoch++
	}
	return out
}

// image returns the case as an image, with the one partition t-0.
func (c electionCase) image() *image.Image {
	topic := incarnation("t")
	edit := (&image.Image{}).Edit()
	recs := []records.Record{&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(c.level)}}
	if c.elr {
		recs = append(recs, &records.FeatureLevel{Name: records.FeatureELRVersion, Level: 1})
	}
	for _, b := range c.brokers {
		recs = append(recs, b)
	}
	p := *c.partition
	p.TopicID = topic
	for i, r := range append(recs, &records.Topic{Name: "t", TopicID: topic}, &p) {
		edit.Replay(r, int64(i))
	}
	return edit.Image()
}

func TestElectionRulesAreThoseOfTheDumbTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawElectionCase(t)
		v := &View{Image: c.image(), Settings: &Settings{}}
		topic, _ := v.Image.TopicByName("t")
		p, _ := topic.Partition(0)

		change := v.change(topic, 0, &p, topicRules{minISR: c.minISR})
		change.election, change.moving = c.election, c.moving
		change.isr = without(p.ISR, c.moving.leaving, c.moving.lost)
		got := p
		r := change.record()
		if r != nil {
			edit := v.Image.Edit()
			edit.Replay(r, v.Image.EndOffset())
			topic, _ := edit.Image().TopicByName("t")
			got, _ = topic.Partition(0)
			if r.ISR != nil && slices.Equal(r.ISR, p.ISR) || r.LeaderRecoveryState == p.RecoveryState ||
				r.EligibleLeaderReplicas != nil && sameMembers(r.EligibleLeaderReplicas, p.ELR) || r.LastKnownELR != nil && slices.Equal(r.LastKnownELR, p.LastKnownELR) {
				t.Fatalf("the record says what was so before: %+v", r)
			}
		}
		want := c.dumbElection()
		if g, w := twinText(got), twinText(want); g != w {
			t.Fatalf("before %s\ngot    %s\nwant   %s\nrecord %+v", twinText(p), g, w, r)
		}
	})
}

func twinText(p image.Partition) string {
	p.ELR = slices.Sorted(slices.Values(p.ELR))
	return fmt.Sprint(partitionText(&p), p.RecoveryState)
}

func TestReassignmentsCompleteOnlyWhenAllAreInSync(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas := rapid.Permutation([]int32{1, 2, 3, 4, 5}).Draw(t, "replicas")[:rapid.IntRange(2, 5).Draw(t, "n")]
		var isr, adding, removing, target []int32
		for _, id := range replicas {
			switch rapid.IntRange(0, 3).Draw(t, "role") {
			case 0:
				adding = append(adding, id)
				target = append(target, id)
			case 1:
				removing = append(removing, id)
			default:
				target = append(target, id)
			}
			if rapid.IntRange(0, 2).Draw(t, "in sync") > 0 {
				isr = append(isr, id)
			}
		}
		c := partitionChange{replicas: replicas, isr: isr, adding: adding, removing: removing}
		c.completeReassignment()
		done := len(c.adding)+len(c.removing) == 0

		left := 0 // members of the ISR who stay
		complete := len(adding)+len(removing) > 0 && len(target) > 0
		for _, id := range target {
			in := slices.Contains(isr, id)
			if in {
				left++
			}
			if !in && (slices.Contains(adding, id) || len(adding) < len(removing)) {
				complete = false
			}
		}
		if len(removing) > 0 && left == 0 {
			complete = false
		}
		if len(adding)+len(removing) == 0 {
			return
		}
		if done != complete {
			t.Fatalf("replicas %v isr %v adding %v removing %v: complete is %v", replicas, isr, adding, removing, done)
		}
		if done && (!slices.Equal(c.replicas, target) || !sameMembers(c.isr, without(isr, removing...))) {
			t.Fatalf("completed to %v, ISR %v", c.replicas, c.isr)
		}
	})
}

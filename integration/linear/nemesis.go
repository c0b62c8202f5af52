package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"yakt/integration/harness"
)

// nemesis does harm, one thing at a time, and makes it good again. It belongs to the test's goroutine.
type nemesis struct {
	*cluster
	t       testing.TB
	rand    *rand.Rand
	network *harness.Network // nil: there is none to be cut
	slow    bool             // the network can be made slow
	only    string           // faults whose names contain it
	outputs [3][]string      // of processes that have ended
	done    map[string]int   // faults by kind
}

const (
	bearable = 15 * time.Second // a fault that is not got over is ended after so long
	recovery = 45 * time.Second // after its end everything has to work again
)

// fault is one kind of harm. It returns what makes it good again.
type fault struct {
	name    string
	network bool
	over    bool // it is got over while it lasts: two nodes have each other
	do      func(n *nemesis, leader int) (heal func() error, err error)
}

var faults = []fault{
	{name: "kill the leader", over: true, do: func(n *nemesis, leader int) (func() error, error) {
		n.kill(leader)
		return n.starter(leader), nil
	}},
	{name: "kill a follower", over: true, do: func(n *nemesis, leader int) (func() error, error) {
		i := n.follower(leader)
		n.kill(i)
		return n.starter(i), nil
	}},
	{name: "empty a follower", over: true, do: func(n *nemesis, leader int) (func() error, error) {
		i := 1 + n.rand.IntN(2) // node 1 would begin another cluster
		if i == leader {
			i = 3 - i
		}
		n.kill(i)
		return n.starter(i), os.RemoveAll(n.quorum.Nodes[i].Dir)
	}},
	{name: "kill all", do: func(n *nemesis, leader int) (func() error, error) {
		for _, i := range n.rand.Perm(3) {
			n.kill(i)
		}
		return n.starter(0, 1, 2), nil
	}},
	{name: "stop the leader politely", over: true, do: func(n *nemesis, leader int) (func() error, error) {
		y := n.quorum.Nodes[leader]
		err := y.Process().Stop(15 * time.Second)
		n.ended(leader)
		return n.starter(leader), err
	}},
	{name: "freeze the leader", over: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.quorum.Nodes[leader].Process().Freeze()
	}},
	{name: "freeze a follower", over: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.quorum.Nodes[n.follower(leader)].Process().Freeze()
	}},
	{name: "freeze leader and follower", do: func(n *nemesis, leader int) (func() error, error) {
		first, err := n.quorum.Nodes[leader].Process().Freeze()
		second, err2 := n.quorum.Nodes[n.follower(leader)].Process().Freeze()
		return func() error { return errors.Join(first(), second()) }, errors.Join(err, err2)
	}},
	{name: "cut the leader from the others", network: true, over: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.network.Heal, n.network.Cut(leader, true, true)
	}},
	{name: "cut a follower from the others", network: true, over: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.network.Heal, n.network.Cut(n.follower(leader), true, true)
	}},
	{name: "unplug the leader", network: true, over: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.network.Heal, n.network.Unplug(leader)
	}},
	{name: "the leader is not heard", network: true, over: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.network.Heal, n.network.Cut(leader, true, false)
	}},
	{name: "the leader does not hear", network: true, over: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.network.Heal, n.network.Cut(leader, false, true)
	}},
	{name: "leader and follower do not hear each other", network: true, over: true, do: func(n *nemesis, leader int) (func() error, error) {
		f := n.follower(leader)
		return n.network.Heal, errors.Join(n.network.Drop(leader, f), n.network.Drop(f, leader))
	}},
	{name: "a follower is not heard by the leader", network: true, over: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.network.Heal, n.network.Drop(n.follower(leader), leader)
	}},
	{name: "everybody is cut from everybody", network: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.network.Heal, errors.Join(n.network.Cut(leader, true, true), n.network.Cut(n.follower(leader), true, true))
	}},
	{name: slowLeader, network: true, do: func(n *nemesis, leader int) (func() error, error) {
		return n.network.Heal, n.network.Slow(leader, 300)
	}},
}

const slowLeader = "the leader's line is slow"

// run does one fault after another until the time is over: all kinds before any comes again, in an order of chance.
func (n *nemesis) run(until time.Duration) {
	var deck []fault
	for n.now() < until {
		if len(deck) == 0 {
			deck = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool {
				return f.network && n.network == nil || f.name == slowLeader && !n.slow || !strings.Contains(f.name, n.only)
			})
			n.rand.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		f := deck[0]
		deck = deck[1:]
		wait(n.t.Context(), n.between(300*time.Millisecond, 1500*time.Millisecond))
		leader := n.quorum.Leader(n.t)
		n.inflict(f, leader)
		n.done[f.name]++
	}
}

// inflict does one fault, waits until it is got over and clients are well under way again or, where that cannot be, a
// little, ends it, and waits until all is well.
func (n *nemesis) inflict(f fault, leader int) {
	before, _ := n.acknowledged()
	e := event{What: f.name, Leader: leader + 1, From: n.now()}
	heal, err := f.do(n, leader)
	if err != nil {
		n.t.Fatalf("%s: %v", f.name, err)
	}
	if f.over {
		n.waitWrites(before+20+n.rand.IntN(60), bearable)
	}
	wait(n.t.Context(), n.between(200*time.Millisecond, 2500*time.Millisecond))
	e.Healed = n.now()
	if err := heal(); err != nil {
		n.t.Fatalf("end of: %s: %v", f.name, err)
	}
	for _, y := range n.quorum.Nodes {
		harness.Eventually(n.t, recovery, "all nodes ready after: "+f.name, y.Ready)
	}
	after, _ := n.acknowledged()
	if !n.waitWrites(after+10, recovery) {
		n.t.Fatalf("%v after the end of: %s there are still no writes", recovery, f.name)
	}
	e.Well = n.now()
	n.events = append(n.events, e)
}

// waitWrites waits until so many writes are acknowledged; false when that takes too long.
func (n *nemesis) waitWrites(so int, within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		count, more := n.acknowledged()
		if count >= so {
			return true
		}
		select {
		case <-more:
		case <-timer.C:
			return false
		}
	}
}

func (n *nemesis) between(least, most time.Duration) time.Duration {
	return least + time.Duration(n.rand.Int64N(int64(most-least)))
}

func (n *nemesis) follower(leader int) int { return (leader + 1 + n.rand.IntN(2)) % 3 }

func (n *nemesis) kill(i int) {
	n.quorum.Nodes[i].Kill()
	n.ended(i)
}

// ended notes that a node's process is gone; what it still had to say was said before.
func (n *nemesis) ended(i int) {
	n.lives[i].Add(1)
	n.outputs[i] = append(n.outputs[i], n.quorum.Nodes[i].Process().Output().String())
}

// starter starts nodes together.
func (n *nemesis) starter(nodes ...int) func() error {
	return func() error {
		for _, i := range nodes {
			n.quorum.Nodes[i].Launch()
		}
		for _, i := range nodes {
			n.quorum.Nodes[i].WaitReady(n.t)
		}
		return nil
	}
}

// output is all that the processes of a node have said.
func (n *nemesis) output(i int) string {
	return strings.Join(n.outputs[i], "") + n.quorum.Nodes[i].Process().Output().String()
}

// settle waits until every node has everything that was acknowledged.
func (n *nemesis) settle(ctx context.Context) {
	n.quorum.WaitVoters(n.t, 3)
	p, err := n.quorum.Describe(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	for i, y := range n.quorum.Nodes {
		harness.Eventually(n.t, recovery, fmt.Sprintf("node %d is at offset %d", i+1, p.HighWatermark), func() error {
			offset, _, _, err := image(y)
			if err == nil && offset < p.HighWatermark {
				err = fmt.Errorf("it is at offset %d", offset)
			}
			return err
		})
	}
}

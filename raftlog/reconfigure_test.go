package raftlog

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// waiting starts node i with an empty directory, to be added by hand.
func (c *cluster) waiting(i int, peers ...int) *node {
	c.t.Helper()
	n, err := c.enterWith(i, func(config *Config) { config.Peers, config.Wait = peersOf(peers...), true })
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// three is a quorum of three that grew, with node 1 leading it.
func three(t *testing.T) (*cluster, *node) {
	c := growing(t)
	l := c.nodes[0]
	c.mustEnter(1, 0)
	c.voters(l, 1, 2)
	c.mustEnter(2, 0, 1)
	c.voters(l, 1, 2, 3)
	l.set("a", "1")
	c.converge()
	return c, l
}

func (n *node) add(other *node) error {
	return n.AddVoter(n.t.Context(), other.config.NodeID, other.DirectoryID(), other.config.Advertise)
}

func (n *node) remove(other *node) error {
	return n.RemoveVoter(n.t.Context(), other.config.NodeID, other.DirectoryID())
}

// TestNodeThatWaitsIsAddedByHand, by the name it has and no other.
func TestNodeThatWaitsIsAddedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		n := c.waiting(1, 0)
		if n.ClusterID() != l.ClusterID() {
			t.Fatal("another cluster")
		}
		c.stop(1)
		n = c.mustEnter(1, 0) // it was told to wait once, and that counts
		time.Sleep(time.Minute)
		if n.Member() || len(membersOf(l, raft.Nonvoter)) > 0 {
			t.Fatal("it joined by itself")
		}
		if v := n.Voters(); len(v) != 1 || v[0].ID != 1 || v[0].Endpoints[0].Host != "node1" {
			t.Error("who asks it does not find the quorum:", v)
		}
		for what, err := range map[string]error{
			"another directory": l.AddVoter(t.Context(), 2, records.UUID{7}, address(1)),
			"another id":        l.AddVoter(t.Context(), 3, n.DirectoryID(), address(1)),
			"the leader's id":   l.AddVoter(t.Context(), 1, n.DirectoryID(), address(1)),
		} {
			if !errors.Is(err, os.ErrInvalid) {
				t.Error(what, err)
			}
		}
		if err := l.AddVoter(t.Context(), 2, n.DirectoryID(), address(2)); err == nil || errors.Is(err, os.ErrInvalid) {
			t.Error("nobody is there", err)
		}
		if err := n.add(n); err == nil || errors.Is(err, os.ErrInvalid) {
			t.Error("it does not lead", err)
		}
		if _, index := l.membership(); index != 1 {
			t.Fatal("the membership has changed")
		}
		if err := l.add(n); err != nil {
			t.Fatal(err)
		}
		c.voters(l, 1, 2)
		if err := l.add(n); err != nil {
			t.Fatal("asking again:", err)
		}
		l.set("a", "1")
		c.converge()
	})
}

// TestNodeThatDoesNotAnswerIsNotWaitedForLonger than whoever adds it has said.
func TestNodeThatDoesNotAnswerIsNotWaitedForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l, n := c.nodes[0], c.waiting(1, 0)
		thaw := c.net.freeze(address(1))
		defer thaw()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := l.AddVoter(ctx, 2, n.DirectoryID(), address(1))
		if took := time.Since(start); err == nil || took != time.Second {
			t.Fatal(took, err)
		}
	})
}

// TestRemovedNodeStaysOut until somebody adds it again; meanwhile nobody is elected because of it, whatever it is started with.
func TestRemovedNodeStaysOut(t *testing.T) {
	for name, down := range map[string]bool{"up": false, "down": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, l := three(t)
				n := c.nodes[2]
				if down {
					c.stop(2)
					time.Sleep(2 * signOfLife)
				}
				if err := l.remove(n); err != nil {
					t.Fatal(err)
				}
				c.voters(l, 1, 2)
				_, epoch := l.Leader()
				time.Sleep(time.Minute) // the last try to send it that entry is over
				for range 3 {
					if down {
						n = c.mustEnter(2, 0, 1)
					}
					time.Sleep(time.Minute)
					if n.Member() && !n.outcast.Load() || down && !n.outcast.Load() {
						t.Errorf("member %v, outcast %v", n.Member(), n.outcast.Load())
					}
					if _, leads := n.Leading(); leads || len(membersOf(l, raft.Nonvoter)) > 0 {
						t.Fatal("it came back")
					}
					if v := n.Voters(); len(v) != 2 || v[0].ID != 1 || v[1].ID != 2 {
						t.Error("who asks it does not find the quorum:", v)
					}
					if down {
						c.stop(2)
					}
				}
				l.set("a", "2")
				if _, now := l.Leader(); now != epoch {
					t.Errorf("epoch %d became %d", epoch, now)
				}
				if !down {
					c.stop(2)
				}
				n = c.mustEnter(2, 0, 1)
				if err := l.add(n); err != nil {
					t.Fatal(err)
				}
				c.voters(l, 1, 2, 3)
				l.set("a", "3")
				c.converge()
				await(t, n, "it is in again", func() bool { return n.Member() })
				time.Sleep(2 * membershipInterval)
				if n.outcast.Load() {
					t.Error("it still takes itself for removed")
				}
				c.stop(0)
				c.leader(1, 2).set("a", "4") // with its vote
			})
		})
	}
}

// TestRemovedNodeDoesNotSucceedALeader whose process ends: its term stays what it was, so that it disturbs nobody when it is added again.
func TestRemovedNodeDoesNotSucceedALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := three(t)
		n := c.nodes[2]
		if err := l.remove(n); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // it hears so, or asks
		if n.Member() && !n.outcast.Load() {
			t.Fatal("it does not know")
		}
		before := n.raft.CurrentTerm()
		c.net.die(address(0))
		time.Sleep(10 * time.Second)
		if now := n.raft.CurrentTerm(); now != before {
			t.Errorf("its term was %d and is %d", before, now)
		}
		c.stop(0)
		c.mustEnter(0)
		c.net.revive(address(0))
		l = c.leader(0, 1)
		if err := l.add(n); err != nil {
			t.Fatal(err)
		}
		c.voters(l, 1, 2, 3)
	})
}

// TestLeaderToBeRemovedHandsOver, and the next one removes it: no election is waited for.
func TestLeaderToBeRemovedHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := three(t)
		start := time.Now()
		if err := l.remove(l); err == nil || errors.Is(err, os.ErrInvalid) {
			t.Fatal(err)
		}
		if id, _ := l.Leader(); id == 1 {
			t.Fatal("it does not know the next leader")
		}
		next := c.leader(1, 2)
		if err := next.remove(l); err != nil {
			t.Fatal(err)
		}
		next.set("a", "2")
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		c.voters(next, 2, 3)
	})
}

func TestWhatIsNotRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := three(t)
		for what, err := range map[string]error{
			"another directory": l.RemoveVoter(t.Context(), 2, records.UUID{7}),
			"a stranger":        l.RemoveVoter(t.Context(), 9, c.nodes[1].DirectoryID()),
		} {
			if !errors.Is(err, os.ErrInvalid) {
				t.Error(what, err)
			}
		}
		c.stop(2)
		time.Sleep(2 * signOfLife)
		if err := l.remove(c.nodes[1]); err == nil || !strings.Contains(err.Error(), "of the 2 voters that would be left only 1 answer") {
			t.Error("the one that the quorum needs:", err)
		}
		down := membersOf(l, raft.Voter)
		if !slices.Equal(down, []int32{1, 2, 3}) {
			t.Fatal(down)
		}
		all, _ := l.membership()
		_, directory, _ := splitServerID(all.Servers[2].ID)
		if err := l.RemoveVoter(t.Context(), 3, directory); err != nil {
			t.Fatal(err)
		}
		if err := l.remove(c.nodes[1]); err != nil {
			t.Fatal(err)
		}
		if err := l.remove(l); !errors.Is(err, os.ErrInvalid) {
			t.Error("the only voter:", err)
		}
		l.set("a", "2")
	})
}

// TestLeadershipIsHandedOverOnRequest, to whom was named, and whoever is asked says who has to be.
func TestLeadershipIsHandedOverOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := three(t)
		ask := func(i int, to int32) Handover {
			t.Helper()
			conn, err := c.net.dialer("tool")(t.Context(), address(i))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			h, err := AskHandover(conn, to)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		conn, err := c.net.dialer("tool")(t.Context(), address(1))
		if err != nil {
			t.Fatal(err)
		}
		if who, err := Identify(conn); err != nil || who != (Identity{l.ClusterID(), 2, c.nodes[1].DirectoryID()}) {
			t.Fatal(who, err)
		}
		conn.Close()
		if h := ask(1, 3); h != (Handover{Leader: 1, Address: address(0)}) {
			t.Errorf("a follower: %+v", h)
		}
		for to, why := range map[int32]string{1: "node 1 leads already", 9: "node 9 is no voter of the quorum"} {
			if h := ask(0, to); h.Done || h.Leader != -1 || h.Why != why {
				t.Errorf("to %d: %+v", to, h)
			}
		}
		if h := ask(0, 3); h != (Handover{Done: true, Leader: 3, Address: address(2)}) {
			t.Errorf("the leader: %+v", h)
		}
		c.leader(2).set("a", "2")
		if h := ask(2, -1); !h.Done || h.Leader == 3 {
			t.Errorf("to anybody: %+v", h)
		}
		c.leader(0, 1).set("a", "3")
		c.converge()
	})
}

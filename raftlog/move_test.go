package raftlog

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// threeVoters is a cluster of three that has something.
func threeVoters(t *testing.T) *cluster {
	c := growing(t)
	c.mustEnter(1, 0)
	c.voters(c.nodes[0], 1, 2)
	c.mustEnter(2, 0)
	c.voters(c.nodes[0], 1, 2, 3)
	c.nodes[0].set("a", "1")
	c.converge()
	return c
}

// moves starts node i at another address.
func (c *cluster) moves(i int, addr string, change ...func(*Config)) *node {
	c.t.Helper()
	n := openNode(c.t, c.disks[i], "d", func(config *Config) {
		config.NodeID = int32(i + 1)
		config.Listener, config.Dial, config.Advertise = c.net.listen(addr), c.net.dialer(addr), addr
		for _, f := range change {
			f(config)
		}
	})
	c.nodes[i] = n
	return n
}

// writes waits for a leader as often as it takes until what is written on it is committed: leadership may be moving.
func (c *cluster) writes(value string) {
	c.t.Helper()
	for range 600 {
		for _, n := range c.nodes {
			if n == nil {
				continue
			}
			if _, leads := n.Leading(); !leads {
				continue
			}
			if _, err := n.takeOver(); err == nil && n.append(n.batch("a", value)) == nil {
				return
			}
		}
		time.Sleep(50 * time.Millisecond) // virtual
	}
	c.t.Fatal("nothing can be written")
}

// addresses waits until every running node that has joined knows its members at these addresses, and all are voters.
func (c *cluster) addresses(want ...string) {
	c.t.Helper()
	for _, n := range c.nodes {
		if n == nil {
			continue
		}
		await(c.t, n, fmt.Sprintf("node %d knows the addresses %v", n.config.NodeID, want), func() bool {
			members, _ := n.membership()
			var have []string
			for _, s := range members.Servers {
				if s.Suffrage == raft.Voter {
					have = append(have, string(s.Address))
				}
			}
			return sameSet(have, want)
		})
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// watchAddress demands that a node, when it says that another one leads, knows where that one is.
func (c *cluster) watchAddress(n *node, leader int32, want string) {
	n.leaders.mu.Lock()
	defer n.leaders.mu.Unlock()
	n.leaders.watch = func(id, epoch int32) {
		for _, v := range n.Voters() {
			if at := fmt.Sprintf("%s:%d", v.Endpoints[0].Host, v.Endpoints[0].Port); v.ID == id && id == leader && at != want {
				c.t.Errorf("node %d says that %d leads epoch %d at %s, and it is at %s", n.config.NodeID, id, epoch, at, want)
			}
		}
	}
}

// TestMemberMoves, whether it led or followed, and then once more; and every node tells brokers the new address.
func TestMemberMoves(t *testing.T) {
	for i := range 3 {
		synctest.Test(t, func(t *testing.T) {
			c := threeVoters(t)
			want := []string{address(0), address(1), address(2)}
			for _, to := range []string{"moved:9093", "again:9093", address(i)} {
				c.stop(i)
				for _, m := range c.nodes {
					if m != nil {
						c.watchAddress(m, int32(i+1), to)
					}
				}
				n := c.moves(i, to)
				want[i] = to
				c.addresses(want...)
				c.writes(to)
				c.converge()
				for _, m := range c.nodes {
					v := m.Voters()
					if len(v) != 3 || !slices.ContainsFunc(v, func(v records.Voter) bool {
						return v.Endpoints[0].Host+":9093" == to && v.DirectoryID == n.DirectoryID()
					}) {
						t.Fatal(v)
					}
				}
			}
			// It counts: with one of the others gone, the two are a majority.
			c.stop((i + 1) % 3)
			c.leader(i, (i+2)%3).set("a", "last")
			c.converge()
		})
	}
}

// TestOneOfTwoMoves: the other one cannot lead without it, and is found and told all the same.
func TestOneOfTwoMoves(t *testing.T) {
	for i := range 2 {
		synctest.Test(t, func(t *testing.T) {
			c := growing(t)
			c.mustEnter(1, 0)
			c.voters(c.nodes[0], 1, 2)
			c.nodes[0].set("a", "1")
			c.converge()
			c.stop(i)
			time.Sleep(time.Minute) // virtual
			c.moves(i, "moved:9093")
			c.addresses("moved:9093", address(1-i))
			c.writes("2")
			c.converge()
		})
	}
}

func TestTwoOfThreeMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeVoters(t)
		c.stop(0)
		c.stop(2)
		c.moves(0, "first:9093")
		c.moves(2, "third:9093")
		c.addresses("first:9093", address(1), "third:9093")
		c.writes("2")
		c.converge()
	})
}

// TestAllMoveAtOnce: where they are told of each other's new addresses they find each other; otherwise they say what to do.
func TestAllMoveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeVoters(t)
		for i := range c.nodes {
			c.stop(i)
		}
		moved := []string{"first:9093", "second:9093", "third:9093"}
		list := func(config *Config) { config.Voters = []Peer{{1, moved[0]}, {2, moved[1]}, {3, moved[2]}} }
		for i := range c.nodes {
			c.moves(i, moved[i], list)
		}
		c.addresses(moved...)
		c.writes("2")
		c.converge()

		for i := range c.nodes {
			c.stop(i)
		}
		var log journal
		for i := range c.nodes {
			c.moves(i, address(i), logTo(&log))
		}
		time.Sleep(time.Minute) // virtual
		log.says(t, "finds no member that it could tell", 12)
		c.stop(0)
		c.moves(0, moved[0])
		c.addresses(moved[0], address(1), address(2))
		c.writes("3")
		c.converge()
	})
}

// TestMembersCannotTradeAddresses; but they are found where they are, and say what to do.
func TestMembersCannotTradeAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeVoters(t)
		c.stop(1)
		c.stop(2)
		var log journal
		c.moves(1, address(2), logTo(&log))
		c.moves(2, address(1), logTo(&log))
		c.writes("2")
		time.Sleep(time.Minute) // virtual
		c.writes("3")
		c.converge()
		c.addresses(address(0), address(1), address(2))
		log.says(t, "the quorum does not have this node's address yet", 10)
		c.stop(1)
		c.moves(1, "third:9093")
		c.addresses(address(0), "third:9093", address(1))
		c.writes("4")
		c.converge()
	})
}

// TestLeaderDiesWhileAMemberMoves, at moments between the telling and the change.
func TestLeaderDiesWhileAMemberMoves(t *testing.T) {
	for after := time.Duration(0); after < 2*time.Second; after += 100 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			c := threeVoters(t)
			l := c.leader(0, 1, 2)
			mover, dies := c.others(l)[0], c.index(l)
			c.stop(mover)
			c.moves(mover, "moved:9093")
			time.Sleep(after) // virtual
			c.stop(dies)
			c.writes("2")
			c.mustEnter(dies)
			want := []string{address(0), address(1), address(2)}
			want[mover] = "moved:9093"
			c.addresses(want...)
			c.writes("3")
			c.converge()
		})
	}
}

// TestJoinerMovesBeforeItHasAnything: it was let in at the old address, and its log is empty.
func TestJoinerMovesBeforeItHasAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		resume := c.net.pause(address(1))
		id := c.mustEnter(1, 0).identity
		c.stop(1)
		resume()
		c.disks[1] = vfs.NewMem()
		lay(t, c.disks[1], id, 3)
		n := c.moves(1, "moved:9093", func(config *Config) { config.Peers = peersOf(0) })
		if n.DirectoryID() != id.directory {
			t.Fatal("another directory id")
		}
		c.addresses(address(0), "moved:9093")
		c.writes("2")
		c.converge()
	})
}

// TestCopyOfADirectoryIsNotReached while the node that it was copied from is there.
func TestCopyOfADirectoryIsNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		c.disks[1] = vfs.NewCrashableMem()
		c.mustEnter(1, 0)
		c.voters(c.nodes[0], 1, 2)
		c.mustEnter(2, 0)
		c.voters(c.nodes[0], 1, 2, 3)
		c.writes("1")
		c.converge()
		var log journal
		second := openNode(t, c.disks[1].CrashClone(vfs.CrashCloneCfg{}), "d", func(config *Config) {
			config.NodeID = 2
			config.Listener, config.Dial, config.Advertise = c.net.listen("copy:9093"), c.net.dialer("copy:9093"), "copy:9093"
		}, logTo(&log))
		end := second.EndOffset()
		for i := range 60 {
			c.nodes[0].set("a", fmt.Sprint(i))
			time.Sleep(time.Second) // virtual
		}
		c.converge()
		log.says(t, "node 2 answers at node2:9093 still", 5)
		if second.EndOffset() > end+1 {
			t.Fatal("the copy was sent what was written")
		}
		c.addresses(address(0), address(1), address(2))
	})
}

// TestRemovedNodeDoesNotComeBackByMoving: it is told that it is no member, and leaves off.
func TestRemovedNodeDoesNotComeBackByMoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeVoters(t)
		c.net.isolate(address(2), true) // it does not hear that it is removed
		c.leaves(2)
		var log journal
		c.moves(2, "moved:9093", logTo(&log))
		time.Sleep(time.Minute) // virtual
		log.says(t, "this node was removed from the quorum", 1)
		c.voters(c.nodes[0], 1, 2)
	})
}

// TestMovedNameIsFoundAgain: what is advertised is a name, which is looked up at every dial, and nobody has to be told.
func TestMovedNameIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		at := "node2:9093"
		named := func(config *Config) {
			config.Listener, config.Peers = c.net.listen(at), peersOf(0)
			config.Advertise = "name:9093"
		}
		c.stop(0)
		resolving := func(config *Config) {
			dial := config.Dial
			config.Dial = func(ctx context.Context, to string) (net.Conn, error) {
				if to == "name:9093" {
					to = at
				}
				return dial(ctx, to)
			}
		}
		if _, err := c.enterWith(0, resolving); err != nil {
			t.Fatal(err)
		}
		if _, err := c.enterWith(1, named); err != nil {
			t.Fatal(err)
		}
		c.voters(c.nodes[0], 1, 2)
		c.writes("1")
		c.stop(1)
		at = "elsewhere:9093"
		if _, err := c.enterWith(1, named); err != nil {
			t.Fatal(err)
		}
		c.writes("2")
		c.converge()
		c.addresses(address(0), "name:9093")
	})
}

// TestVoteIsForANodeAndNotForAnAddress: raft remembers a vote by the candidate's address, and a second candidate may have it by now.
func TestVoteIsForANodeAndNotForAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeVoters(t)
		for _, i := range []int{0, 1} {
			c.stop(i)
		}
		n := c.nodes[2]
		members, _ := n.membership()
		last, term := n.raft.LastIndex(), n.raft.CurrentTerm()
		time.Sleep(10 * time.Second) // virtual: the leader is forgotten
		vote := func(s raft.Server) bool {
			answer := make(chan raft.RPCResponse, 1)
			header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(s.ID), Addr: n.transport.EncodePeer(s.ID, "shared:9093")}
			n.transport.rpcs <- raft.RPC{RespChan: answer, Command: &raft.RequestVoteRequest{
				RPCHeader: header, Term: term + 5, LastLogIndex: last, LastLogTerm: term}}
			a := <-answer
			if a.Error != nil {
				t.Error(a.Error)
			}
			return a.Response.(*raft.RequestVoteResponse).Granted
		}
		for range 2 { // asking again is answered again
			if !vote(members.Servers[0]) {
				t.Fatal("no vote")
			}
		}
		if vote(members.Servers[1]) {
			t.Fatal("two votes in one term")
		}
	})
}

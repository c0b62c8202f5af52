package raftlog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// A cluster of nodes in virtual time, mostly three. Every pair that any node publishes is compared with all others.
type cluster struct {
	t     *testing.T
	net   *network
	disks []*vfs.MemFS
	nodes []*node
	ids   []raft.Server

	mu    sync.Mutex
	pairs map[int32]int32 // epoch → leader
}

func address(i int) string { return fmt.Sprintf("node%d:9093", i+1) }

// noCluster is one of which nobody has been started.
func noCluster(t *testing.T, nodes int) *cluster {
	c := &cluster{t: t, net: newNetwork(), disks: make([]*vfs.MemFS, nodes), nodes: make([]*node, nodes), pairs: map[int32]int32{}}
	for i := range c.disks {
		c.disks[i] = vfs.NewMem()
	}
	return c
}

func newCluster(t *testing.T) *cluster {
	c := noCluster(t, 3)
	for i := range c.nodes {
		c.ids = append(c.ids, raft.Server{ID: serverID(int32(i+1), records.UUID{1, byte(i)}), Address: raft.ServerAddress(address(i))})
	}
	for i := range c.nodes {
		c.start(i)
	}
	return c
}

func (c *cluster) start(i int) *node {
	c.t.Helper()
	n := openNode(c.t, c.disks[i], "d", func(config *Config) {
		config.NodeID, config.ClusterID = int32(i+1), records.UUID{9}.String()
		config.Listener, config.Dial, config.Advertise = c.net.listen(address(i)), c.net.dialer(address(i)), address(i)
		config.bootstrap, config.directory = c.ids, records.UUID{1, byte(i)}
	})
	c.nodes[i] = n
	c.compare(n)
	return n
}

// compare holds every pair that a node publishes against what has been published before.
func (c *cluster) compare(n *node) {
	published := func(id, epoch int32) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if was, ok := c.pairs[epoch]; id != -1 && ok && was != id {
			c.t.Errorf("node %d says that %d leads epoch %d, another said %d", n.config.NodeID, id, epoch, was)
		}
		if id != -1 {
			c.pairs[epoch] = id
		}
	}
	n.leaders.mu.Lock()
	published(n.leaders.id, n.leaders.epoch)
	n.leaders.watch = published
	n.leaders.mu.Unlock()
}

func (c *cluster) stop(i int) {
	if err := c.nodes[i].Close(); err != nil {
		c.t.Error(err)
	}
	c.nodes[i] = nil
}

// leader waits for one of the nodes to lead and takes over on it.
func (c *cluster) leader(among ...int) *node {
	c.t.Helper()
	n := c.elected(among...)
	n.lead()
	return n
}

// elected waits for one of the nodes to lead, and returns it within a millisecond.
func (c *cluster) elected(among ...int) *node {
	c.t.Helper()
	for range 30_000 {
		for _, i := range among {
			if n := c.nodes[i]; n == nil {
				continue
			} else if _, ok := n.Leading(); ok {
				return n
			}
		}
		time.Sleep(time.Millisecond) // virtual
	}
	c.t.Fatal("nobody leads")
	return nil
}

func (c *cluster) index(n *node) int { return slices.Index(c.nodes, n) }

func (c *cluster) others(n *node) (rest []int) {
	for i := range c.nodes {
		if c.nodes[i] != n {
			rest = append(rest, i)
		}
	}
	return rest
}

// converge waits until all running nodes have applied the same and agree on who leads.
func (c *cluster) converge() {
	c.t.Helper()
	var states []string
	for range 1200 {
		states = states[:0]
		for _, n := range c.nodes {
			if n != nil {
				id, epoch := n.Leader()
				states = append(states, fmt.Sprint(n.EndOffset(), id, epoch))
			}
		}
		if len(slices.Compact(slices.Clone(states))) == 1 {
			break
		}
		time.Sleep(50 * time.Millisecond) // virtual
	}
	if len(slices.Compact(slices.Clone(states))) != 1 {
		c.t.Fatalf("the nodes differ: %q", states)
	}
	var longest []records.Batch
	var state map[string]string
	for _, n := range c.nodes {
		if n == nil {
			continue
		}
		if has := n.machine.copy(); state == nil {
			state = has
		} else if !maps.Equal(state, has) {
			c.t.Fatalf("the nodes' states differ: %v, %v", state, has)
		}
		all := readAll(c.t, n.Log, 1<<20)
		if len(all) > len(longest) {
			longest, all = all, longest
		}
		if !sameBatches(longest[len(longest)-len(all):], all) {
			c.t.Fatal("the nodes' logs differ")
		}
	}
}

func TestThreeNodesReplicateAndFailOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		for i := range 20 {
			l.set("a", fmt.Sprint(i))
		}
		if err := call(l.Verify); err != nil {
			t.Fatal(err)
		}
		c.converge()
		id, epoch := l.Leader()
		term, _ := l.Leading()
		if id != l.config.NodeID || epoch != term {
			t.Fatalf("(%d, %d) is published by the leader of %d", id, epoch, term)
		}
		if voters := l.Voters(); len(voters) != 3 || voters[2].Endpoints[0] != (records.VoterEndpoint{Name: "CONTROLLER", Host: "node3", Port: 9093}) ||
			voters[1].DirectoryID != (records.UUID{1, 1}) {
			t.Fatal(voters)
		}
		l.Progress(func(node int32, _ records.UUID, voter bool, end int64, answered, caughtUp time.Time) {
			if !voter || end != l.EndOffset() || answered.IsZero() || caughtUp.IsZero() {
				t.Fatalf("node %d: %v %d %v %v, the end is %d", node, voter, end, answered, caughtUp, l.EndOffset())
			}
		})
		for _, i := range c.others(l) {
			if err := call(c.nodes[i].Verify); err == nil {
				t.Fatal("a follower was verified")
			}
			if err := c.nodes[i].append(l.build("b", "1")); err == nil {
				t.Fatal("a follower took a batch")
			}
			if err := call(c.nodes[i].Barrier); err == nil {
				t.Fatal("a follower's barrier")
			}
		}
		// The leader dies; somebody else leads a later epoch, and nothing is lost.
		dead := c.index(l)
		c.stop(dead)
		l2 := c.leader(c.others(nil)...)
		if term2, _ := l2.Leading(); term2 <= term {
			t.Fatal(term2)
		}
		l2.set("b", "2")
		c.start(dead)
		c.converge()
		if got := c.nodes[dead].machine.get("a"); got != "19" {
			t.Fatal(got)
		}
		// Handing over is an epoch without a gap.
		if err := l2.transfer(); err != nil {
			t.Fatal(err)
		}
		l3 := c.leader(c.others(l2)...)
		l3.set("c", "3")
		c.converge()
	})
}

// TestWhoHasNothingIsNotSaidToHaveSome: an answer that is no success says nothing of what a follower has, however far this log's start is.
func TestWhoHasNothingIsNotSaidToHaveSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		for i := range 2 {
			l.set("a", fmt.Sprint(i))
			l.snapshot()
		}
		c.converge()
		if l.StartOffset() == 0 {
			t.Fatal("the log begins at its beginning: this tests nothing")
		}
		empty := c.others(l)[0]
		c.stop(empty)
		term, _ := l.Leading()
		l.peers.mu.Lock()
		delete(l.peers.known, c.ids[empty].ID)
		l.peers.mu.Unlock()
		l.peers.answered(c.ids[empty].ID, time.Now(), &raft.AppendEntriesRequest{Term: uint64(term), PrevLogEntry: 9}, &raft.AppendEntriesResponse{})
		l.Progress(func(node int32, _ records.UUID, _ bool, end int64, answered, _ time.Time) {
			if node == int32(empty+1) && (end != 0 || answered.IsZero()) {
				t.Errorf("it is at %d, and answered at %v", end, answered)
			}
		})
	})
}

func TestIsolatedLeaderCommitsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		old := c.leader(0, 1, 2)
		old.set("a", "1")
		c.converge()
		c.net.isolate(address(c.index(old)), true)
		lost := old.append(old.batch("a", "lost"))
		if lost == nil {
			t.Fatal("committed alone")
		}
		if err := call(old.Verify); err == nil {
			t.Fatal("verified alone")
		}
		l := c.leader(c.others(old)...)
		l.set("a", "2")
		// While it is alone it says what it knew: old, and true of its epoch.
		if id, _ := old.Leader(); id != old.config.NodeID {
			t.Fatal(id)
		}
		c.net.isolate(address(c.index(old)), false)
		c.converge()
		if got := old.machine.get("a"); got != "2" {
			t.Fatal(got)
		}
	})
}

// TestPreVoteIsForwarded: a follower that was away does not disturb the leader when it comes back. raft switches pre-vote
// off, with no more than a log line, for a transport that does not have it.
func TestPreVoteIsForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		term, _ := l.Leading()
		away := c.nodes[c.others(l)[0]]
		c.net.isolate(address(c.index(away)), true)
		time.Sleep(30 * time.Second) // virtual: many election timeouts
		if got := away.raft.CurrentTerm(); got != uint64(term) {
			t.Fatalf("alone, it went from term %d to %d", term, got)
		}
		c.net.isolate(address(c.index(away)), false)
		l.set("a", "1")
		c.converge()
		if now, ok := l.Leading(); !ok || now != term {
			t.Fatal("the leader was disturbed")
		}
	})
}

func TestFollowerIsSentASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.converge()
		away := c.others(l)[0]
		c.stop(away)
		for i := range 3 {
			for range 5 {
				l.set("a", fmt.Sprint(i))
			}
			l.snapshot()
		}
		l.set("b", "tail")
		n := c.start(away)
		c.converge()
		if n.StartOffset() == 0 {
			t.Fatal("it was not sent a snapshot")
		}
		id, ok := n.LatestSnapshot()
		if want, _ := l.LatestSnapshot(); !ok || id != want {
			t.Fatal(id)
		}
		c.stop(away)
		n = c.start(away)
		l.set("c", "more")
		c.converge()
		n.snapshot()
	})
}

// TestDeposedLeaderComesBack: with a tail that nobody else has, and the leader's log begun behind it. It works because
// the store stands a no-op in for what the snapshot closes with; raft asks for that entry's term.
func TestDeposedLeaderComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		old := c.leader(0, 1, 2)
		old.set("a", "1")
		c.converge()
		away := c.index(old)
		c.net.isolate(address(away), true)
		// A tail long enough to reach beyond the snapshot it will be sent.
		failed := make(chan error, 64)
		for range 64 {
			old.Append(old.batch("a", "lost"), nil, func(err error) { failed <- err })
		}
		for range 64 {
			if err := <-failed; err == nil {
				t.Fatal("committed alone")
			}
		}
		l := c.leader(c.others(old)...)
		for i := range 3 {
			l.set("b", fmt.Sprint(i))
			l.snapshot()
		}
		last, _ := old.store.LastIndex()
		if s, _ := l.snapshots.newest(); s.row.Index >= last {
			t.Fatalf("the tail ends at %d, the snapshot at %d: this tests nothing", last, s.row.Index)
		}
		c.net.isolate(address(away), false)
		l.set("c", "1")
		c.converge()
		c.stop(away)
		c.start(away)
		l.set("c", "2")
		c.converge()
	})
}

// TestDeposedLeaderSendsNothing: one node is down for so long that raft tries each ten seconds to reach it, and then leadership is handed
// over. The next try is due when the node is back, and the next leader does not reach it. It is not to be sent a snapshot of what the next
// leader has committed, in the old term: it has no entry before that then, and the next leader none that it would take.
func TestDeposedLeaderSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.converge()
		others := c.others(l)
		next, down := c.nodes[others[0]], others[1]
		c.stop(down)
		l.set("b", "1")
		time.Sleep(time.Minute) // virtual
		if err := l.transfer(); err != nil {
			t.Fatal(err)
		}
		next.lead()
		for i := range 3 {
			value := fmt.Sprint(2 + i)
			next.set("a", value)
			await(t, l, "it follows", func() bool { return l.machine.get("a") == value })
			l.snapshot()
		}
		c.net.sever(address(others[0]), address(down))
		n := c.start(down)
		had := n.raft.LastIndex()
		time.Sleep(15 * time.Second) // virtual
		if has := n.raft.LastIndex(); has != had {
			t.Errorf("its last entry was %d and is %d", had, has)
		}
		c.net.mend(address(others[0]), address(down))
		c.converge()
	})
}

// TestRefusedThenCommittedIsDropped: while leadership is being transferred raft refuses proposals, and if the transfer
// fails it commits the next one in the same term. That one was planned on top of the refused one: it must not count.
func TestRefusedThenCommittedIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.converge()
		term, _ := l.Leading()
		target := c.others(l)[0]
		resume := c.net.pause(address(target))
		transfer := make(chan error, 1)
		f := l.raft.LeadershipTransferToServer(c.ids[target].ID, c.ids[target].Address)
		go func() { transfer <- f.Error() }()
		synctest.Wait()
		refused := l.append(l.batch("a", "2"))
		if !errors.Is(refused, raft.ErrLeadershipTransferInProgress) {
			t.Fatal(refused)
		}
		if err := <-transfer; err == nil {
			t.Fatal("the transfer did not fail")
		}
		end := l.EndOffset()
		var err error
		for range 100 { // raft takes proposals again some time after its answer
			if err = l.append(l.build("b", "on top of what was refused")); !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
				break
			}
			time.Sleep(time.Second) // virtual
		}
		if !errors.Is(err, ErrDropped) {
			t.Fatal(err)
		}
		if now, ok := l.Leading(); !ok || now != term {
			t.Fatal("it was to be the same term")
		}
		if l.EndOffset() != end || l.machine.get("b") != "" {
			t.Fatal("it counted")
		}
		// Planned anew from what is committed, it counts.
		l.mu.Lock()
		l.next = end
		l.mu.Unlock()
		l.set("b", "planned anew")
		follower := c.nodes[3-target-c.index(l)]
		await(t, follower, "the follower has it", func() bool { return follower.EndOffset() == l.EndOffset() })
		if follower.machine.get("b") != "planned anew" {
			t.Fatal(follower.machine.copy())
		}
		resume()
	})
}

// TestEmptiedNodeIsRefused: under a known address with a new directory id, it neither votes nor answers as who it was.
func TestEmptiedNodeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.converge()
		emptied := c.others(l)[0]
		c.stop(emptied)
		c.disks[emptied] = vfs.NewMem()
		n := openNode(t, c.disks[emptied], "d", func(config *Config) {
			config.NodeID, config.ClusterID = int32(emptied+1), records.UUID{9}.String()
			config.Listener, config.Dial, config.Advertise = c.net.listen(address(emptied)), c.net.dialer(address(emptied)), address(emptied)
			config.bootstrap = c.ids // without a directory id: a new one
		})
		time.Sleep(20 * time.Second) // virtual
		if last, _ := n.store.LastIndex(); last != 1 {
			t.Fatalf("it was sent entries up to %d", last)
		}
		if now, ok := l.Leading(); !ok {
			t.Fatal(now)
		}
		l.set("a", "2")
	})
}

// TestFollowerThatIsBackIsSentWhatItMissed with the next heartbeat that reaches it, however long it was away.
func TestFollowerThatIsBackIsSentWhatItMissed(t *testing.T) {
	for _, away := range []time.Duration{time.Second, 10 * time.Second, 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			l := c.leader(0, 1, 2)
			l.set("a", "1")
			c.converge()
			down := c.others(l)[0]
			c.stop(down)
			for i := range 20 {
				l.set("a", fmt.Sprint(i))
				time.Sleep(away / 20) // virtual
			}
			start := time.Now()
			n := c.start(down)
			await(t, n, "it has everything", func() bool { return n.EndOffset() == l.EndOffset() })
			if took := time.Since(start); took > l.config.LeaderTimeout { // half of it is the longest pause between heartbeats
				t.Errorf("away for %v, it had everything after %v", away, took)
			}
		})
	}
}

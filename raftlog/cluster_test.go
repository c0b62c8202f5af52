package raftlog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// A network of pipes: listeners by address, and links between addresses that can be cut or paused.
type network struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
	cut       map[[2]string]bool
	paused    map[string]chan struct{} // who hears nothing until the channel is closed
	conns     map[*pipeConn]bool
	budget    map[string]int // bytes that a node may still send, for those that are to fall silent
}

func newNetwork() *network {
	return &network{listeners: map[string]*pipeListener{}, cut: map[[2]string]bool{}, paused: map[string]chan struct{}{},
		conns: map[*pipeConn]bool{}, budget: map[string]int{}}
}

type pipeListener struct {
	addr string
	on   *network
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

func (n *network) listen(addr string) *pipeListener {
	l := &pipeListener{addr: addr, on: n, in: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	n.listeners[addr] = l
	n.mu.Unlock()
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

type pipeConn struct {
	net.Conn
	on       *network
	me, peer string
	accepted bool
	closed   chan struct{}
	once     sync.Once
}

// Read hands out what has arrived, unless the node is paused: then what it was asked arrives when it goes on.
func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.on.mu.Lock()
	gate := c.on.paused[c.me]
	c.on.mu.Unlock()
	if gate != nil && c.accepted {
		select {
		case <-gate:
		case <-c.closed:
			return 0, net.ErrClosed // and what had arrived is lost
		}
	}
	return n, err
}

// Write sends, unless the node has fallen silent: then it waits for the end of the connection.
func (c *pipeConn) Write(p []byte) (int, error) {
	c.on.mu.Lock()
	left, limited := c.on.budget[c.me]
	if limited {
		c.on.budget[c.me] = left - len(p)
	}
	c.on.mu.Unlock()
	if limited && left < len(p) {
		<-c.closed
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func (c *pipeConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.on.mu.Lock()
		delete(c.on.conns, c)
		c.on.mu.Unlock()
	})
	return c.Conn.Close()
}

func (n *network) dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		n.mu.Lock()
		l := n.listeners[to]
		if l == nil || n.cut[[2]string{from, to}] {
			n.mu.Unlock()
			return nil, fmt.Errorf("no route from %s to %s", from, to)
		}
		a, b := net.Pipe()
		mine := &pipeConn{Conn: a, on: n, me: from, peer: to, closed: make(chan struct{})}
		theirs := &pipeConn{Conn: b, on: n, me: to, peer: from, accepted: true, closed: make(chan struct{})}
		n.conns[mine], n.conns[theirs] = true, true
		n.mu.Unlock()
		select {
		case l.in <- theirs:
			return mine, nil
		case <-l.done:
		case <-ctx.Done():
		}
		mine.Close()
		theirs.Close()
		return nil, fmt.Errorf("nobody listens at %s: %w", to, syscall.ECONNREFUSED)
	}
}

// isolate cuts addr off from everybody, or brings it back.
func (n *network) isolate(addr string, off bool) {
	n.mu.Lock()
	for other := range n.listeners {
		n.cut[[2]string{addr, other}], n.cut[[2]string{other, addr}] = off, off
	}
	n.mu.Unlock()
	if off {
		n.hangUp(addr)
	}
}

// hangUp ends all connections of addr's.
func (n *network) hangUp(addr string) {
	n.mu.Lock()
	var broken []*pipeConn
	for c := range n.conns {
		if c.me == addr || c.peer == addr {
			broken = append(broken, c)
		}
	}
	n.mu.Unlock()
	for _, c := range broken {
		c.Close()
	}
}

// die is what others see of a process at addr that ends: its connections do, and its port refuses new ones.
func (n *network) die(addr string) {
	n.mu.Lock()
	l := n.listeners[addr]
	for other := range n.listeners {
		n.cut[[2]string{addr, other}] = true
	}
	n.mu.Unlock()
	l.Close()
	n.hangUp(addr)
}

// revive lets addr dial again; whoever starts there listens anew.
func (n *network) revive(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.listeners {
		delete(n.cut, [2]string{addr, other})
	}
}

// pause keeps from addr what others ask it, until the returned function is called.
func (n *network) pause(addr string) (resume func()) {
	gate := make(chan struct{})
	n.mu.Lock()
	n.paused[addr] = gate
	n.mu.Unlock()
	return func() {
		n.mu.Lock()
		delete(n.paused, addr)
		n.mu.Unlock()
		close(gate)
	}
}

// silence lets addr send so many bytes more, and then it neither sends nor ends anything. A negative number lifts it.
func (n *network) silence(addr string, after int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if after < 0 {
		delete(n.budget, addr)
		return
	}
	n.budget[addr] = after
}

// silent reports whether addr has sent all that silence allows.
func (n *network) silent(addr string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	left, limited := n.budget[addr]
	return limited && left < 0
}

// A cluster of three nodes in virtual time. Every pair that any node publishes is compared with all others.
type cluster struct {
	t     *testing.T
	net   *network
	disks [3]*vfs.MemFS
	nodes [3]*node
	ids   []raft.Server

	mu    sync.Mutex
	pairs map[int32]int32 // epoch → leader
}

func address(i int) string { return fmt.Sprintf("node%d:9093", i+1) }

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, net: newNetwork(), pairs: map[int32]int32{}}
	for i := range c.nodes {
		c.disks[i] = vfs.NewMem()
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
	n.leaders.mu.Lock()
	n.leaders.watch = func(id, epoch int32) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if was, ok := c.pairs[epoch]; id != -1 && ok && was != id {
			c.t.Errorf("node %d says that %d leads epoch %d, another said %d", i+1, id, epoch, was)
		}
		if id != -1 {
			c.pairs[epoch] = id
		}
	}
	n.leaders.mu.Unlock()
	return n
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
	for range 600 {
		for _, i := range among {
			if c.nodes[i] == nil {
				continue
			}
			if _, ok := c.nodes[i].Leading(); ok {
				c.nodes[i].lead()
				return c.nodes[i]
			}
		}
		time.Sleep(50 * time.Millisecond) // virtual
	}
	c.t.Fatal("nobody leads")
	return nil
}

func (c *cluster) index(n *node) int { return slices.Index(c.nodes[:], n) }

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
				states = append(states, fmt.Sprint(n.EndOffset(), n.machine.copy(), id, epoch))
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
	for _, n := range c.nodes {
		if n == nil {
			continue
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
		if err := call(l2.TransferLeadership); err != nil {
			t.Fatal(err)
		}
		l3 := c.leader(c.others(l2)...)
		l3.set("c", "3")
		c.converge()
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

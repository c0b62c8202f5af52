package raftlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// peersOf names nodes by their index, as -e does.
func peersOf(nodes ...int) (all []Peer) {
	for _, i := range nodes {
		all = append(all, Peer{int32(i + 1), address(i)})
	}
	return all
}

// growing is a cluster that begins with node 1 alone; the others join.
func growing(t *testing.T) *cluster {
	c := noCluster(t, 3)
	if _, err := c.enter(0); err != nil {
		t.Fatal(err)
	}
	c.nodes[0].lead()
	return c
}

// enter starts node i with these peers.
func (c *cluster) enter(i int, peers ...int) (*node, error) {
	return c.enterWith(i, func(config *Config) { config.Peers = peersOf(peers...) })
}

func (c *cluster) enterWith(i int, change func(*Config)) (*node, error) {
	n, err := c.open(i, change)
	if err == nil {
		c.nodes[i] = n
	}
	return n, err
}

func (c *cluster) open(i int, change func(*Config)) (*node, error) {
	return tryOpen(c.t, c.disks[i], "d", func(config *Config) {
		config.NodeID = int32(i + 1)
		config.Listener, config.Dial, config.Advertise = c.net.listen(address(i)), c.net.dialer(address(i)), address(i)
		change(config)
	})
}

func (c *cluster) mustEnter(i int, peers ...int) *node {
	c.t.Helper()
	n, err := c.enter(i, peers...)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// voters waits until node n knows exactly these voters, and nobody else.
func (c *cluster) voters(n *node, want ...int32) {
	c.t.Helper()
	await(c.t, n, fmt.Sprintf("node %d knows the voters %v", n.config.NodeID, want), func() bool { return slices.Equal(membersOf(n, raft.Voter), want) })
}

func membersOf(n *node, suffrage raft.ServerSuffrage) (ids []int32) {
	all, _ := n.membership()
	for _, s := range all.Servers {
		if id, _, err := splitServerID(s.ID); err == nil && s.Suffrage == suffrage {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestThreeNodesBySeedsCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		l.set("a", "1")
		n := c.mustEnter(1, 0)
		if n.ClusterID() != l.ClusterID() {
			t.Fatal("another cluster")
		}
		c.voters(l, 1, 2)
		c.mustEnter(2, 0, 1)
		c.voters(l, 1, 2, 3)
		l.set("a", "2")
		c.converge()
		if voters := c.nodes[2].Voters(); len(voters) != 3 || voters[1].DirectoryID != n.DirectoryID() || voters[1].Endpoints[0].Host != "node2" {
			t.Fatal(voters)
		}
		// Any one may go; -e does not matter to those who have data, and may name nobody who is there.
		c.stop(0)
		l = c.leader(1, 2)
		l.set("a", "3")
		c.mustEnter(0)
		c.converge()
		for i := range c.nodes {
			c.stop(i)
		}
		for i := range c.nodes {
			c.mustEnter(i, (i+1)%3)
		}
		l = c.leader(0, 1, 2)
		l.set("a", "4")
		c.converge()
	})
}

// TestNodeUnderABrokersIDIsRefused: clients would be sent to the broker for the controller.
func TestNodeUnderABrokersIDIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noCluster(t, 3)
		l, err := c.enterWith(0, func(config *Config) { config.Taken = func(id int32) bool { return id == 2 } })
		if err != nil {
			t.Fatal(err)
		}
		l.lead()
		if _, err := c.enter(1, 0); err == nil || !strings.Contains(err.Error(), "in use by a broker") {
			t.Error("it joins:", err)
		}
		c.mustEnter(2, 0)
		c.voters(l, 1, 3)
	})
}

// TestJoinThroughAFollower: the peer says who leads. Before that, nobody does, and the joiner waits.
func TestJoinThroughAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		c.mustEnter(1, 0)
		c.voters(c.nodes[0], 1, 2)
		c.converge()
		joined := make(chan error, 1)
		c.stop(0) // one of two: nobody can lead
		go func() {
			_, err := c.enter(2, 1)
			joined <- err
		}()
		time.Sleep(20 * time.Second) // virtual
		select {
		case err := <-joined:
			t.Fatal("it joined where nobody leads:", err)
		default:
		}
		c.mustEnter(0)
		l := c.leader(0, 1)
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
		c.voters(l, 1, 2, 3)
	})
}

func TestJoinerIsSentASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		for i := range 3 {
			l.set("a", fmt.Sprint(i))
			l.snapshot()
		}
		l.set("b", "tail")
		n := c.mustEnter(1, 0)
		c.voters(l, 1, 2)
		c.converge()
		if n.StartOffset() == 0 || n.machine.get("a") != "2" || n.machine.get("b") != "tail" {
			t.Fatal(n.StartOffset(), n.machine.copy())
		}
		c.stop(1)
		c.mustEnter(1)
		c.leader(0, 1).set("a", "3")
		c.converge()
	})
}

// TestNobodyVotesBeforeItHasCaughtUp: a joiner that hears nothing stays a non-voter, and the quorum goes on without it.
func TestNobodyVotesBeforeItHasCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		resume := c.net.pause(address(1))
		n := c.mustEnter(1, 0)
		await(t, l, "a non-voter", func() bool { return slices.Equal(membersOf(l, raft.Nonvoter), []int32{2}) })
		time.Sleep(20 * time.Second) // virtual
		l.set("a", "1")
		if got := membersOf(l, raft.Voter); !slices.Equal(got, []int32{1}) {
			t.Fatal(got)
		}
		if last, _ := n.store.LastIndex(); last != 0 {
			t.Fatal("this tests nothing:", last)
		}
		resume()
		c.voters(l, 1, 2)
	})
}

// TestJoinerDiesBeforeItHasAnything: it was let in and its log is empty. It goes on, whatever -e says, under the same directory id.
func TestJoinerDiesBeforeItHasAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		resume := c.net.pause(address(1))
		before := c.mustEnter(1, 0).DirectoryID()
		c.stop(1)
		resume()
		n := c.mustEnter(1)
		if n.DirectoryID() != before {
			t.Fatal("another directory id")
		}
		c.voters(l, 1, 2)
		if all, _ := l.membership(); len(all.Servers) != 2 {
			t.Fatal(all)
		}
	})
}

// TestJoinerDiesAtEveryStep: with what a joiner has stored up to each step it goes on, under the same directory id.
func TestJoinerDiesAtEveryStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		stages := []string{"identity alone", "database", "term", "directory"}
		for stage, name := range stages {
			disk := vfs.NewMem()
			id := newIdentity(l.ClusterID(), 2)
			id.joined = true
			lay(t, disk, id, stage)
			c.disks[1] = disk
			if _, err := c.enter(1); err == nil || !strings.Contains(err.Error(), "start it with -e") {
				t.Fatal(name, "without -e:", err)
			}
			n, err := c.enter(1, 0)
			if err != nil {
				t.Fatal(name, err)
			}
			if n.DirectoryID() != id.directory {
				t.Fatal(name, "another directory id")
			}
			c.voters(l, 1, 2)
			l.set("a", name)
			c.converge()
			c.leaves(1)
		}
	})
}

// lay puts down what a joiner has written up to a stage.
func lay(t *testing.T, disk *vfs.MemFS, id identity, stage int) {
	t.Helper()
	for _, dir := range []string{"d", "d/raft"} {
		if err := makeDir(disk, dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := id.write(disk, "d"); err != nil {
		t.Fatal(err)
	}
	if stage >= 1 {
		layDatabase(t, disk, id, stage >= 2)
	}
	if stage >= 3 {
		if err := makeDir(disk, "d/"+metadataDir); err != nil {
			t.Fatal(err)
		}
	}
}

func layDatabase(t *testing.T, disk *vfs.MemFS, id identity, term bool) {
	t.Helper()
	s, err := openStore(disk, "d/raft", nil, discard, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	_, err = id.claim(disk, s, "d")
	if term {
		err = errors.Join(err, s.SetUint64([]byte("CurrentTerm"), 1))
	}
	if err := errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
}

// TestBothCrashWhileOneJoins: power fails for the leader and the joiner together, before any single operation on a file of the
// joiner's. What was acknowledged is there afterwards, and the joiner ends up as a voter, once.
func TestBothCrashWhileOneJoins(t *testing.T) {
	type image struct {
		disks [2]*vfs.MemFS
		acked int
		what  string
	}
	var mu sync.Mutex
	var images []image
	every, ops := 1, 0
	if testing.Short() {
		every = 13
	}
	synctest.Test(t, func(t *testing.T) {
		c := noCluster(t, 3)
		c.disks[0], c.disks[1] = vfs.NewCrashableMem(), vfs.NewCrashableMem()
		l := c.mustEnter(0)
		l.lead()
		acked := 0
		set := func() {
			l.set("a", fmt.Sprint(acked+1))
			mu.Lock()
			acked++
			mu.Unlock()
		}
		for range 3 {
			set()
			l.snapshot()
		}
		crash := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if ops++; ops%every == 0 {
				i := image{acked: acked, what: fmt.Sprintf("before operation %d, %v %s", ops, op.Kind, op.Path)}
				for d := range i.disks {
					i.disks[d] = c.disks[d].CrashClone(vfs.CrashCloneCfg{})
				}
				images = append(images, i)
			}
			return nil
		})
		n, err := c.enterWith(1, func(config *Config) { config.Peers, config.FS = peersOf(0), errorfs.Wrap(c.disks[1], crash) })
		if err != nil {
			t.Fatal(err)
		}
		c.voters(l, 1, 2)
		set()
		n.converged(l)
		c.stop(1)
	})
	t.Logf("%d images", len(images))
	for _, i := range images {
		synctest.Test(t, func(t *testing.T) {
			c := noCluster(t, 3)
			c.disks[0], c.disks[1] = i.disks[0], i.disks[1]
			c.mustEnter(0)
			c.mustEnter(1, 0)
			l := c.leader(0, 1)
			c.voters(l, 1, 2)
			if all, _ := l.membership(); len(all.Servers) != 2 {
				t.Fatal(i.what, all)
			}
			if got := l.machine.get("a"); got != fmt.Sprint(i.acked) && got != fmt.Sprint(i.acked+1) {
				t.Fatalf("%s: %d writes were acknowledged, and the last that is there is %q", i.what, i.acked, got)
			}
			l.set("b", "1")
			c.converge()
		})
	}
}

// leaves stops a node and takes it out of the quorum.
func (c *cluster) leaves(i int) {
	c.t.Helper()
	l := c.nodes[0]
	if _, leads := l.Leading(); !leads {
		c.t.Fatal("node 1 does not lead")
	}
	if err := l.wait(l.raft.RemoveServer(c.nodes[i].self, 0, time.Second)); err != nil {
		c.t.Fatal(err)
	}
	c.stop(i)
}

// TestLeaderDiesWhileANodeJoins: whoever leads next lets it in, or finds it there.
func TestLeaderDiesWhileANodeJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		c.disks[2] = vfs.NewMem()
		c.mustEnter(1, 0)
		c.voters(c.nodes[0], 1, 2)
		c.mustEnter(2, 0, 1)
		c.voters(c.nodes[0], 1, 2, 3)
		c.converge()
		// A fourth one: its hello gets through, then the leader is gone.
		resume := c.net.pause(address(3))
		fourth := make(chan *node, 1)
		disk := vfs.NewMem()
		go func() {
			n, err := tryOpen(t, disk, "d", func(config *Config) {
				config.NodeID, config.Peers = 4, peersOf(0, 1, 2)
				config.Listener, config.Dial, config.Advertise = c.net.listen(address(3)), c.net.dialer(address(3)), address(3)
			})
			if err != nil {
				t.Error(err)
			}
			fourth <- n
		}()
		l := c.nodes[0]
		await(t, l, "a non-voter", func() bool { return len(membersOf(l, raft.Nonvoter)) == 1 })
		c.net.isolate(address(0), true)
		resume()
		n := <-fourth
		if n == nil {
			t.FailNow()
		}
		l = c.leader(1, 2)
		c.voters(l, 1, 2, 3, 4)
		l.set("a", "1")
		await(t, n, "it has what was written", func() bool { return n.machine.get("a") == "1" })
		c.net.isolate(address(0), false)
		c.converge()
	})
}

// TestJoinerThatIsElectedBeforeItHearsThatItWasLetIn takes over: the answer is lost, and nobody else could tell it again.
func TestJoinerThatIsElectedBeforeItHearsThatItWasLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		c.mustEnter(1, 0)
		c.voters(l, 1, 2)
		joined := make(chan *node, 1)
		var dials atomic.Int32
		go func() {
			n, err := c.open(2, func(config *Config) {
				config.Peers = peersOf(0)
				dial := config.Dial
				config.Dial = func(ctx context.Context, to string) (net.Conn, error) {
					if to != address(0) {
						return dial(ctx, to)
					}
					switch dials.Add(1) {
					case 1: // whether it would be let in
						return dial(ctx, to)
					case 2:
						conn, err := dial(ctx, to)
						return &oneWay{Conn: conn}, err
					}
					return nil, net.ErrClosed
				}
			})
			if err != nil {
				t.Error(err)
			}
			joined <- n
		}()
		c.voters(l, 1, 2, 3)
		time.Sleep(2 * joinPause) // virtual
		select {
		case <-joined:
			t.Fatal("it was told")
		default:
		}
		members, _ := l.membership()
		if err := l.transferTo(members.Servers[2]); err != nil {
			t.Fatal(err)
		}
		n := <-joined
		if n == nil {
			t.FailNow()
		}
		c.nodes[2] = n
		n.lead()
		n.set("a", "1")
		await(t, c.nodes[1], "it is followed", func() bool { return c.nodes[1].machine.get("a") == "1" })
	})
}

// oneWay is a joiner's connection that fails once the request has been sent.
type oneWay struct {
	net.Conn
	writes int
}

// Write implements net.Conn.
func (c *oneWay) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// Read implements net.Conn.
func (c *oneWay) Read(p []byte) (int, error) {
	if c.writes > 1 { // its hello was the first
		return 0, io.ErrUnexpectedEOF
	}
	return c.Conn.Read(p)
}

func TestWhoIsNotLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		c.mustEnter(1, 0)
		c.voters(l, 1, 2)
		other := records.UUID{7}.String()
		for name, test := range map[string]struct {
			change func(*Config)
			says   []string
		}{
			"another cluster": {func(c *Config) { c.ClusterID = other }, []string{l.ClusterID(), other, "1/node1:9093"}},
			"an id that is in use": {func(c *Config) { c.NodeID, c.Advertise = 2, "node3:9093" },
				[]string{"node 1/node1:9093 says", "node id 2 is in use by directory " + c.nodes[1].DirectoryID().String(), "node2:9093"}},
			"the leader's own id":          {func(c *Config) { c.NodeID = 1 }, []string{"node 1/node1:9093 says", "its own", l.DirectoryID().String()}},
			"the id of the follower asked": {func(c *Config) { c.NodeID, c.Peers = 2, peersOf(1) }, []string{"node 2/node2:9093 says", "its own"}},
			"an address that is in use":    {func(c *Config) { c.Advertise = "node2:9093" }, []string{"the address node2:9093 is node 2's"}},
		} {
			c.disks[2] = vfs.NewMem()
			_, err := c.enterWith(2, func(config *Config) {
				config.Peers = peersOf(0)
				test.change(config)
			})
			for _, s := range test.says {
				if err == nil || !strings.Contains(err.Error(), strings.Replace(s, "its own", "this node's own", 1)) {
					t.Errorf("%s: %v does not say %q", name, err, s)
				}
			}
			if _, err := c.disks[2].Stat("d/" + metaFile); err == nil {
				t.Errorf("%s: who was refused has left a trace", name)
			}
		}
		if all, _ := l.membership(); len(all.Servers) != 2 {
			t.Fatal(all)
		}
		// The peer at that address is another one than was said: that is not an answer. What ends the wait is the context.
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := c.enterWith(2, func(config *Config) { config.Context, config.Peers = ctx, []Peer{{7, address(0)}} })
			failed <- err
		}()
		time.Sleep(time.Minute) // virtual
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		n, err := c.enterWith(2, func(config *Config) { config.ClusterID, config.Peers = l.ClusterID(), peersOf(1) })
		if err != nil {
			t.Fatal(err)
		}
		c.voters(l, 1, 2, 3)
		n.converged(l)
	})
}

func (n *node) converged(with *node) {
	n.t.Helper()
	await(n.t, n, "it has everything", func() bool { return n.EndOffset() == with.EndOffset() })
}

// TestEmptiedNodeComesBack: the old member is removed, the new directory joins, and only one of them ever votes.
func TestEmptiedNodeComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		c.mustEnter(1, 0)
		c.voters(l, 1, 2)
		c.mustEnter(2, 0)
		c.voters(l, 1, 2, 3)
		l.set("a", "1")
		c.converge()
		before := c.nodes[2].DirectoryID()
		c.stop(2)
		c.disks[2] = vfs.NewMem()
		n := c.mustEnter(2, 1)
		if n.DirectoryID() == before {
			t.Fatal("the same directory id")
		}
		c.voters(l, 1, 2, 3)
		if all, _ := l.membership(); len(all.Servers) != 3 || all.Servers[2].ID != n.self {
			t.Fatal(all)
		}
		// It votes: the leader goes, and the two others are a majority.
		c.converge()
		c.stop(0)
		c.leader(1, 2).set("a", "2")
		c.converge()
	})
}

// TestVoterWithoutItsLogIsRefused: a directory whose log went and whose identity stayed has forgotten what it acknowledged.
func TestVoterWithoutItsLogIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l := c.nodes[0]
		n := c.mustEnter(1, 0)
		c.voters(l, 1, 2)
		c.mustEnter(2, 0)
		c.voters(l, 1, 2, 3)
		id := n.identity
		c.stop(1)
		c.disks[1] = vfs.NewMem()
		lay(t, c.disks[1], id, 3)
		if _, err := c.enter(1, 0); err == nil || !strings.Contains(err.Error(), "has voted here and its log is gone") {
			t.Fatal(err)
		}
	})
}

func TestCloseHandsLeadershipOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.converge()
		gone := c.index(l)
		down := (gone + 1) % 3
		c.stop(down) // the one that is down is not handed anything
		time.Sleep(3 * time.Second)
		start := time.Now()
		c.stop(gone)
		c.start(down)
		c.leader(c.others(nil)...).set("a", "2")
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Fatalf("leadership was handed over in %v", took)
		}
	})
}

// TestJoinConnectionCarriesNothingElse: whoever opens one cannot speak raft on it.
func TestJoinConnectionCarriesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		conn, err := c.net.dialer("stranger")(t.Context(), address(0))
		if err != nil {
			t.Fatal(err)
		}
		cluster, from, err := joinHandshake(conn, hello{from: serverID(9, records.UUID{9})})
		if err != nil || cluster != c.nodes[0].ClusterID() || from != c.nodes[0].self {
			t.Fatal(cluster, from, err)
		}
		if _, err := conn.Write([]byte{1, 8}); err != nil { // a request of a kind that does not exist
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Fatal("it was answered", n)
		}
	})
}

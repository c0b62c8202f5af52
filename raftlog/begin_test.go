package raftlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"yakt/records"
)

// threeListed is a cluster of which nobody has been started and everybody is to be told of all.
func threeListed(t *testing.T) *cluster {
	return noCluster(t, 3)
}

// begin starts node i with the list of all three; whether it comes up is told later.
func (c *cluster) begin(i int, change ...func(*Config)) <-chan error {
	up := make(chan error, 1)
	go func() {
		_, err := c.enterWith(i, func(config *Config) {
			config.Voters = peersOf(2, 0, 1)
			for _, f := range change {
				f(config)
			}
		})
		up <- err
	}()
	return up
}

// together waits until all whose channels are given are up, and checks that they and the others are one quorum that works.
func (c *cluster) together(ups ...<-chan error) *node {
	c.t.Helper()
	c.allUp(ups...)
	l := c.leader(0, 1, 2)
	c.voters(l, 1, 2, 3)
	l.set("a", "together")
	c.converge()
	for _, n := range c.nodes {
		if n.ClusterID() != l.ClusterID() {
			c.t.Fatal("two clusters:", n.ClusterID(), l.ClusterID())
		}
	}
	return l
}

func (c *cluster) allUp(ups ...<-chan error) {
	c.t.Helper()
	timeout := time.After(5 * time.Minute) // virtual
	for _, up := range ups {
		select {
		case err := <-up:
			if err != nil {
				c.t.Fatal(err)
			}
		case <-timeout:
			c.t.Fatal("a node does not come up")
		}
	}
}

// nothingYet checks that after a while none of the nodes is up and none has stored anything.
func (c *cluster) nothingYet(ups ...<-chan error) {
	c.t.Helper()
	time.Sleep(time.Minute) // virtual
	for _, up := range ups {
		select {
		case err := <-up:
			c.t.Fatal("it came up, or failed:", err)
		default:
		}
	}
	for i, disk := range c.disks {
		if _, err := disk.Stat("d/" + metaFile); err == nil {
			c.t.Fatalf("node %d has begun something", i+1)
		}
	}
}

// logTo collects what a node logs.
func logTo(text *journal) func(*Config) {
	return func(config *Config) { config.Logger = slog.New(slog.NewTextHandler(text, nil)) }
}

type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// tail returns the last lines.
func (j *journal) tail(lines int) []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := bytes.SplitAfter(j.text.Bytes(), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], nil)
}

func (j *journal) says(t *testing.T, what string, times int) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := strings.Count(j.text.String(), what); n < times {
		t.Errorf("%q is said %d times, not %d:\n%s", what, n, times, j.text.String())
	}
}

// TestQuorumBeginsFromAList, in whatever order the nodes come; after that, the list does not matter.
func TestQuorumBeginsFromAList(t *testing.T) {
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for _, apart := range []time.Duration{0, 3 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				c := threeListed(t)
				var ups []<-chan error
				for _, i := range order {
					ups = append(ups, c.begin(i))
					time.Sleep(apart) // virtual
				}
				c.together(ups...)
				for i := range c.nodes {
					c.stop(i)
				}
				c.together(c.begin(2), c.begin(1), c.begin(0, func(config *Config) { config.Voters = peersOf(0, 8) }))
			})
		}
	}
}

func TestNobodyBeginsWhileOneIsMissing(t *testing.T) {
	for missing := range 3 {
		synctest.Test(t, func(t *testing.T) {
			c := threeListed(t)
			var ups []<-chan error
			var logs [3]journal
			for i := range 3 {
				if i != missing {
					ups = append(ups, c.begin(i, logTo(&logs[i])))
				}
			}
			c.nothingYet(ups...)
			for i := range 3 {
				if i != missing {
					logs[i].says(t, fmt.Sprintf("node %d/%s: no route", missing+1, address(missing)), 5)
				}
			}
			c.together(append(ups, c.begin(missing))...)
		})
	}
}

// TestDifferentListsBeginNothing: both sides say what the two lists are, and go on once they are the same.
func TestDifferentListsBeginNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeListed(t)
		var logs [3]journal
		ctx, cancel := context.WithCancel(t.Context())
		wrong := func(config *Config) { config.Voters, config.Context = peersOf(1, 2), ctx }
		ups := []<-chan error{c.begin(0, logTo(&logs[0])), c.begin(1, logTo(&logs[1]))}
		third := c.begin(2, logTo(&logs[2]), wrong)
		c.nothingYet(append(ups, third)...)
		logs[0].says(t, "node 3/node3:9093 says: its list of voters is 2@node2:9093,3@node3:9093, and the one of node 1 is 1@node1:9093,2@node2:9093,3@node3:9093", 5)
		logs[2].says(t, "node 2/node2:9093 says: its list of voters is 1@node1:9093,2@node2:9093,3@node3:9093, and the one of node 3 is 2@node2:9093,3@node3:9093", 5)
		cancel()
		if err := <-third; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		c.together(append(ups, c.begin(2))...)
	})
}

func TestClusterIDOfAListedQuorum(t *testing.T) {
	one, other := records.UUID{7}.String(), records.UUID{8}.String()
	given := func(id string) func(*Config) { return func(config *Config) { config.ClusterID = id } }
	for _, ids := range [][3]string{{one, one, one}, {one, "", ""}, {"", "", one}, {"", one, one}} {
		synctest.Test(t, func(t *testing.T) {
			c := threeListed(t)
			if l := c.together(c.begin(0, given(ids[0])), c.begin(1, given(ids[1])), c.begin(2, given(ids[2]))); l.ClusterID() != one {
				t.Fatal(l.ClusterID())
			}
		})
	}
	for _, ids := range [][3]string{{one, other, ""}, {"", one, other}} {
		synctest.Test(t, func(t *testing.T) {
			c := threeListed(t)
			var logs journal
			ctx, cancel := context.WithCancel(t.Context())
			var ups []<-chan error
			for i := range 3 {
				ups = append(ups, c.begin(i, given(ids[i]), logTo(&logs), func(config *Config) { config.Context = ctx }))
			}
			c.nothingYet(ups...)
			logs.says(t, one, 5)
			logs.says(t, "give all the same, or one of them", 5)
			cancel()
			for _, up := range ups {
				if err := <-up; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
}

// TestListedNodesFindWhatExists: no list begins a second cluster beside one that any of the listed is of.
func TestListedNodesFindWhatExists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		cluster := c.nodes[0].ClusterID()
		if l := c.together(c.begin(1), c.begin(2)); l.ClusterID() != cluster {
			t.Fatal("another cluster")
		}
		// The one that would begin loses its disk, and then the others one after the other.
		for i := range 3 {
			before := c.nodes[i].DirectoryID()
			c.stop(i)
			c.disks[i] = vfs.NewMem()
			c.leader(c.others(nil)...)
			if l := c.together(c.begin(i)); l.ClusterID() != cluster || c.nodes[i].DirectoryID() == before {
				t.Fatal("another cluster")
			}
		}
		// One that is told another cluster's id is refused, by a peer that is named.
		c.stop(2)
		c.disks[2] = vfs.NewMem()
		err := <-c.begin(2, func(config *Config) { config.ClusterID = records.UUID{7}.String() })
		if err == nil || !strings.Contains(err.Error(), "node 1/node1:9093") || !strings.Contains(err.Error(), cluster) {
			t.Fatal(err)
		}
		// So is one whose id is in use.
		err = <-c.begin(2, func(config *Config) { config.NodeID, config.Voters, config.Advertise = 2, peersOf(0, 1), "node3:9093" })
		if err == nil || !strings.Contains(err.Error(), "node 1/node1:9093 says: node id 2 is in use by directory") {
			t.Fatal(err)
		}
	})
}

// TestBeginnerWaitsForAMajority, also after a restart and without the list.
func TestBeginnerWaitsForAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeListed(t)
		id := newIdentity("", 1)
		id.listed = "1,2,3"
		if err := errors.Join(makeDir(c.disks[0], "d"), id.write(c.disks[0], "d")); err != nil {
			t.Fatal(err)
		}
		alone := func(log *journal) (<-chan error, func()) {
			ctx, cancel := context.WithCancel(t.Context())
			up := c.begin(0, logTo(log), func(config *Config) { config.Voters, config.Context = nil, ctx })
			return up, cancel
		}
		var log journal
		for range 2 {
			up, cancel := alone(&log)
			time.Sleep(time.Minute) // virtual
			cancel()
			if err := <-up; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		log.says(t, "missing=2,3", 10)
		up, cancel := alone(&log)
		defer cancel()
		if err := errors.Join(<-c.begin(2), <-up); err != nil {
			t.Fatal(err)
		}
		c.voters(c.nodes[0], 1, 3)
		if got := c.nodes[2].ClusterID(); got != id.cluster {
			t.Fatal("another cluster", got)
		}
		// Once is enough.
		c.stop(2)
		c.stop(0)
		up, cancel = alone(&log)
		defer cancel()
		c.together(up, c.begin(2), c.begin(1))
	})
}

// TestOneIDTwiceBeginsNothing: two directories ask for everybody's word under the lowest id.
func TestOneIDTwiceBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeListed(t)
		ups := []<-chan error{c.begin(0), c.begin(1)}
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error, 1)
		go func() {
			_, err := tryOpen(t, vfs.NewMem(), "d", func(config *Config) {
				config.Voters, config.Context = peersOf(0, 1, 2), ctx
				config.Listener, config.Dial = c.net.listen("elsewhere:9093"), c.net.dialer("elsewhere:9093")
			})
			second <- err
		}()
		time.Sleep(10 * time.Second) // virtual
		ups = append(ups, c.begin(2))
		c.nothingYet(append(ups, second)...)
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		c.together(ups...)
	})
}

// TestWhoWaitsForNobodySaysSo: everybody was told to join and nobody to begin.
func TestWhoWaitsForNobodySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeListed(t)
		var log journal
		everywhere := []Peer{{AnyNode, address(0)}, {AnyNode, address(1)}, {AnyNode, address(2)}}
		join := func(config *Config) { config.Voters, config.Peers = nil, everywhere }
		ups := []<-chan error{c.begin(0, join, logTo(&log)), c.begin(1, join, logTo(&log))}
		c.nothingYet(ups...)
		log.says(t, "node node1:9093 says: its directory is empty, and it waits to be let into the quorum of node1:9093,node2:9093,node3:9093", 5)
		log.says(t, "that is this node itself", 5)
		c.disks[2] = vfs.NewMem()
		third := c.begin(2, func(config *Config) { config.Voters = nil })
		c.together(append(ups, third)...)
	})
}

// TestPowerFailsWhileAQuorumBegins for all nodes at once, before any single operation on a file of any of them. With their
// lists they then become one quorum, and what was acknowledged is in it.
func TestPowerFailsWhileAQuorumBegins(t *testing.T) {
	type image struct {
		disks []*vfs.MemFS
		acked string
		what  string
	}
	var mu sync.Mutex
	var images []image
	every := 5 // a few hundred quorums would be begun otherwise; which ones are left changes from run to run
	if testing.Short() {
		every = 29
	}
	ops := rand.IntN(every)
	synctest.Test(t, func(t *testing.T) {
		c := threeListed(t)
		acked := ""
		for i := range c.disks {
			c.disks[i] = vfs.NewCrashableMem()
		}
		crash := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if ops++; ops%every == 0 {
				i := image{disks: make([]*vfs.MemFS, 3), acked: acked, what: fmt.Sprintf("before operation %d, %v %s", ops, op.Kind, op.Path)}
				for d := range i.disks {
					i.disks[d] = c.disks[d].CrashClone(vfs.CrashCloneCfg{})
				}
				images = append(images, i)
			}
			return nil
		})
		var ups []<-chan error
		for i := range c.disks {
			ups = append(ups, c.begin(i, func(config *Config) { config.FS = errorfs.Wrap(c.disks[i], crash) }))
		}
		l := c.together(ups...)
		mu.Lock()
		acked = l.machine.get("a")
		mu.Unlock()
		for i := range c.nodes {
			c.stop(i)
		}
	})
	t.Logf("%d images", len(images))
	for n, i := range images {
		synctest.Test(t, func(t *testing.T) {
			c := threeListed(t)
			c.disks = i.disks
			ups := []<-chan error{c.begin(0), c.begin(1), c.begin(2)}
			if n%2 == 1 {
				slices.Reverse(ups)
			}
			t.Log(i.what)
			c.allUp(ups...)
			l := c.leader(0, 1, 2)
			c.voters(l, 1, 2, 3)
			c.converge()
			if got := l.machine.get("a"); i.acked != "" && got != i.acked {
				t.Fatalf("%s: %q was acknowledged, and %q is there", i.what, i.acked, got)
			}
			c.together()
		})
	}
}

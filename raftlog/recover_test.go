package raftlog

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// survivor is the third disk of a quorum that had snapshots and a tail, after the others were lost, and what was in its log.
func survivor(t *testing.T, c *cluster) (disk *vfs.MemFS, had []records.Batch, state string) {
	t.Helper()
	l := c.leader(0, 1, 2)
	for i := range 3 {
		l.set("a", fmt.Sprint(i))
		c.converge()
		for _, n := range c.nodes {
			n.snapshot()
		}
	}
	l.set("a", "last")
	c.converge()
	had, state = readAll(t, c.nodes[2].Log, 1<<20), fmt.Sprint(c.nodes[2].machine.copy())
	for i := range c.nodes {
		c.stop(i)
	}
	return c.disks[2], had, state
}

func recoverDir(t *testing.T, fs vfs.FS) {
	t.Helper()
	s := stopped(t, fs, "d")
	defer s.Close()
	if err := s.Recover(); err != nil {
		t.Fatal(err)
	}
}

// TestRecoveredNodeLeadsAlone, far above every term there was, with all that was in its log; and others join it under the ids of
// those that were lost.
func TestRecoveredNodeLeadsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		disk, had, state := survivor(t, c)
		before := stopped(t, disk, "d")
		if before.Alone() || len(before.Members()) != 3 || before.Committed() >= before.EndOffset() || before.Committed() == 0 {
			t.Fatal(before.Members(), before.Committed(), before.EndOffset())
		}
		term, was := before.Term(), before.Self()
		before.Close()
		id, err := readIdentity(disk, "d")
		if err != nil {
			t.Fatal(err)
		}
		id.listed = "1,2,3" // as if it had begun for the others, and power had failed before it was stored that they voted
		if err := id.write(disk, "d"); err != nil {
			t.Fatal(err)
		}
		recoverDir(t, disk)
		if id, err = readIdentity(disk, "d"); err != nil || id.listed != "" {
			t.Fatalf("it would wait for %q: %v", id.listed, err)
		}

		after := stopped(t, disk, "d")
		now := was
		now.DirectoryID = after.Self().DirectoryID
		if !after.Alone() || !slices.Equal(after.Members(), []Member{now}) || now == was || after.Term() != term+RecoveryTerms {
			t.Fatal(after.Members(), after.Term())
		}
		if !sameBatches(batchesOf(t, after), had) || after.Committed() != had[len(had)-1].EndOffset() {
			t.Fatal("the log has changed")
		}
		if err := after.Recover(); err == nil || !strings.Contains(err.Error(), "the only voter already") {
			t.Fatal(err)
		}
		after.Close()

		n := c.start(2)
		if led := n.lead(); led <= term+RecoveryTerms {
			t.Fatalf("term %d after %d", led, term)
		}
		if got := fmt.Sprint(n.machine.copy()); got != state {
			t.Fatalf("state %s, was %s", got, state)
		}
		if v := n.Voters(); len(v) != 1 || v[0].DirectoryID != now.DirectoryID {
			t.Fatal(v)
		}
		n.set("b", "alone")
		for _, i := range []int{0, 1} {
			c.disks[i] = vfs.NewMem()
			c.nodes[i] = openNode(t, c.disks[i], "d", func(config *Config) {
				config.NodeID, config.Listener, config.Dial, config.Advertise = int32(i+1), c.net.listen(address(i)), c.net.dialer(address(i)), address(i)
				config.Peers = []Peer{{3, address(2)}}
			})
		}
		await(t, n, "three voters", func() bool { return len(n.Voters()) == 3 })
		c.converge()
		c.stop(2)
		c.leader(0, 1).set("b", "together")
	})
}

// TestWhoComesBackDoesNotOverrule: the others were not lost after all. One of them cannot lead, two of them can, over
// each other; what the recovered node has written stays, and it stays the leader of its own epoch.
func TestWhoComesBackDoesNotOverrule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		disk, _, _ := survivor(t, c)
		recoverDir(t, disk)
		n := c.start(2)
		term := n.lead()
		n.set("b", "since")
		one := c.start(0)
		time.Sleep(30 * time.Second) // virtual
		if _, leads := one.Leading(); leads {
			t.Fatal("one of three leads")
		}
		c.start(1)
		old := c.leader(0, 1)
		old.set("b", "another history")
		time.Sleep(30 * time.Second) // virtual
		if now, leads := n.Leading(); !leads || now != term || n.machine.get("b") != "since" {
			t.Fatal("it was overruled:", now, leads, n.machine.get("b"))
		}
		if theirs, _ := old.Leading(); theirs >= term {
			t.Fatalf("those that came back lead epoch %d, the recovered node %d", theirs, term)
		}
	})
}

// TestCrashDuringARecovery: before any operation on a file. The directory is then that of a member of three, or of the only voter,
// with the same log; and a recovery, again if need be, ends with a node that leads alone.
func TestCrashDuringARecovery(t *testing.T) {
	type image struct {
		disk *vfs.MemFS
		what string
	}
	var crashes []image
	var had []records.Batch
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		_, had, _ = survivor(t, c)
		disk := vfs.NewCrashableMem()
		if _, err := vfs.Clone(c.disks[2], disk, "d", "d", vfs.CloneSync); err != nil {
			t.Fatal(err)
		}
		if err := syncDir(disk, ""); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		recoverDir(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				mu.Lock()
				defer mu.Unlock()
				crashes = append(crashes, image{disk.CrashClone(vfs.CrashCloneCfg{}), fmt.Sprintf("before %v %s", op.Kind, op.Path)})
			}
			return nil
		})))
		crashes = append(crashes, image{disk.CrashClone(vfs.CrashCloneCfg{}), "afterwards"})
	})
	seen := map[int]int{}
	for _, c := range crashes {
		s := stopped(t, c.disk, "d")
		alone, voters := s.Alone(), len(s.Members())
		if !sameBatches(batchesOf(t, s), had) || s.Self().Addr == "" || alone != (voters == 1) {
			t.Fatalf("%s: %+v", c.what, s.Members())
		}
		seen[voters]++
		if !alone {
			if err := s.Recover(); err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
		}
		s.Close()
		n := openNode(t, c.disk, "d", func(config *Config) { config.NodeID, config.Advertise = 3, address(2) })
		n.lead()
		n.set("b", "since")
		if got := readAll(t, n.Log, 1<<20); !sameBatches(got[:len(had)], had) {
			t.Fatalf("%s: the log has changed", c.what)
		}
		n.Close()
		// The file says again who the directory is.
		id, err := readIdentity(c.disk, "d")
		if err != nil || id.directory != n.DirectoryID() {
			t.Fatalf("%s: %v %v", c.what, id, err)
		}
	}
	t.Logf("%d images, by the number of members: %v", len(crashes), seen)
	if len(seen) != 2 || seen[1] == 0 || seen[3] == 0 {
		t.Fatalf("states seen, by the number of members: %v", seen)
	}
}

// TestRecoveryIsRefused where it would make a quorum of a node that its own log does not know.
func TestRecoveryIsRefused(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d", func(config *Config) {
		config.bootstrap = []raft.Server{{ID: serverID(2, records.UUID{2}), Address: "node2:9093"}}
	})
	n.Close()
	s := stopped(t, disk, "d")
	if err := s.Recover(); err == nil || !strings.Contains(err.Error(), "no member of the quorum") {
		t.Fatal(err)
	}
}

package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"yakt/records"
)

// stopped opens a directory for reading until the end of the test.
func stopped(t *testing.T, fs vfs.FS, dir string) *Stopped {
	t.Helper()
	s, err := openStopped(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// batchesOf are copies of all batches that count.
func batchesOf(t *testing.T, s *Stopped) []records.Batch {
	t.Helper()
	var all []records.Batch
	for b, err := range s.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(b))
	}
	return all
}

// TestStoppedDirectoryIsReadWhole: what the node served, after a clean stop and after a crash, with the log from its
// beginning and from a snapshot.
func TestStoppedDirectoryIsReadWhole(t *testing.T) {
	disk := vfs.NewCrashableMem()
	n := openNode(t, disk, "d")
	term := n.lead()
	check := func(what string, fs vfs.FS, want []records.Batch, start int64) {
		t.Helper()
		s := stopped(t, fs, "d")
		defer s.Close()
		if got := batchesOf(t, s); !sameBatches(got, want) {
			t.Fatalf("%s: %d batches and %d were served", what, len(got), len(want))
		}
		if s.StartOffset() != start || s.EndOffset() != want[len(want)-1].EndOffset() || s.Epoch() != want[len(want)-1].LeaderEpoch() {
			t.Fatalf("%s: offsets %d to %d of epoch %d", what, s.StartOffset(), s.EndOffset(), s.Epoch())
		}
		if !s.Alone() || s.Committed() != s.EndOffset() {
			t.Fatalf("%s: committed up to %d of %d", what, s.Committed(), s.EndOffset())
		}
	}
	for i := range 5 {
		n.set("a", fmt.Sprint(i))
	}
	check("crashed", disk.CrashClone(vfs.CrashCloneCfg{}), n.machine.batches, 0)
	first := n.snapshot()
	check("one snapshot", disk.CrashClone(vfs.CrashCloneCfg{}), n.machine.batches, 0)
	n.set("b", "1")
	second := n.snapshot()
	n.set("b", "2")
	served := readAll(t, n.Log, 1<<20)
	check("compacted", disk.CrashClone(vfs.CrashCloneCfg{}), served, first.EndOffset)
	n.Close()
	check("stopped", disk, served, first.EndOffset)

	s := stopped(t, disk, "d")
	if got := s.Snapshots(); !slices.Equal(got, []records.SnapshotID{first, second}) {
		t.Fatal(got)
	}
	file, err := s.OpenSnapshot(second)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m := newMachine()
	if err := m.Restore(second, file); err != nil || m.get("b") != "1" {
		t.Fatal(err, m.state)
	}
	self := Member{NodeID: 1, DirectoryID: n.DirectoryID(), Addr: "node1:9093", Voter: true}
	if s.Self() != self || !slices.Equal(s.Members(), []Member{self}) || s.ClusterID() != n.ClusterID() || s.Term() != term {
		t.Fatal(s.Self(), s.Members(), s.ClusterID(), s.Term())
	}
}

// TestEntriesSayWhatTheyAre, in order and without a hole; what does not count says why.
func TestEntriesSayWhatTheyAre(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	term := n.lead()
	n.set("a", "1")
	elsewhere := n.batch("a", "2")
	b := records.NewBatchBuilder(elsewhere.EndOffset(), term, 1)
	if err := b.Add(config("a", "3"), 0); err != nil {
		t.Fatal(err)
	}
	if err := n.append(b.Batch()); !errors.Is(err, ErrDropped) {
		t.Fatal(err)
	}
	if err := n.append(elsewhere); err != nil {
		t.Fatal(err)
	}
	n.Close()

	s := stopped(t, disk, "d")
	var kinds []EntryKind
	var offsets []int64
	index := uint64(0)
	for e, err := range s.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		if index++; e.Index != index || e.Counts() && e.Batch.BaseOffset() != e.Offset {
			t.Fatalf("entry %d at offset %d: %+v", index, e.Offset, e)
		}
		kinds = append(kinds, e.Kind)
		offsets = append(offsets, e.Offset)
		if e.Dropped != nil && !strings.Contains(e.Dropped.Error(), "it is for offset 3 and the log ends at 2") {
			t.Fatal(e.Dropped)
		}
		if e.Kind == KindConfiguration && (len(e.Members) != 1 || e.Members[0] != s.Self()) {
			t.Fatal(e.Members)
		}
	}
	if want := []EntryKind{KindConfiguration, KindNoop, KindBarrier, KindBatch, KindBatch, KindBatch, KindBatch}; !slices.Equal(kinds, want) {
		t.Fatal(kinds)
	}
	if want := []int64{0, 0, 0, 0, 1, 2, 2}; !slices.Equal(offsets, want) || s.EndOffset() != 3 || s.Dropped() != 1 {
		t.Fatal(offsets, s.EndOffset(), s.Dropped())
	}
	for range s.Entries() {
		break // enough: nothing else is yielded
	}
}

// TestRunningNodesDirectoryIsRefused, and is free for a node again after it was read.
func TestRunningNodesDirectoryIsRefused(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	n.lead()
	if _, err := openStopped(disk, "d"); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	n.Close()
	s := stopped(t, disk, "d")
	if _, err := tryOpen(t, disk, "d"); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	s.Close()
	openNode(t, disk, "d").lead()
}

// TestReadingChangesNothing on a disk that refuses every write, and not a byte on a real one, where a crash has left a write-ahead log
// to be read, an unfinished checkpoint, and a bad one.
func TestReadingChangesNothing(t *testing.T) {
	disk := vfs.NewCrashableMem()
	n := openNode(t, disk, "d")
	n.lead()
	for i := range 3 {
		n.set("a", fmt.Sprint(i))
		n.snapshot()
	}
	n.set("a", "in the write-ahead log")
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	want := readAll(t, n.Log, 1<<20)
	bad, _ := n.LatestSnapshot()
	readOnly := errorfs.Wrap(crashed, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && filepath.Base(op.Path) != "LOCK" {
			return errInjected
		}
		return nil
	}))
	s := stopped(t, readOnly, "d")
	if !sameBatches(batchesOf(t, s), want) {
		t.Fatal("other batches")
	}
	s.Close()

	dir := t.TempDir()
	if ok, err := vfs.Clone(crashed, vfs.Default, "d", dir); err != nil || !ok {
		t.Fatal(err)
	}
	metadata := filepath.Join(dir, metadataDir)
	for _, name := range []string{bad.FileName(), "00000000000000000009-0000000002-12.checkpoint.part"} {
		if err := os.WriteFile(filepath.Join(metadata, name), []byte("not whole"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, dir)
	s = stopped(t, vfs.Default, dir)
	if len(s.Snapshots()) != 1 || s.EndOffset() != want[len(want)-1].EndOffset() {
		t.Fatal(s.Snapshots(), s.EndOffset())
	}
	s.Close()
	if !maps.Equal(before, contents(t, dir)) {
		t.Fatal("files have changed")
	}
}

// contents are all files below dir, by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestWhatIsNoStoppedDirectorySaysSo, and is not made into one.
func TestWhatIsNoStoppedDirectorySaysSo(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	n.lead()
	n.Close()
	damaged := vfs.NewMem()
	if _, err := vfs.Clone(disk, damaged, "d", "d"); err != nil {
		t.Fatal(err)
	}
	flipLog(t, damaged, "d/raft")
	half := vfs.NewMem()
	if _, err := vfs.Clone(disk, half, "d", "d"); err != nil {
		t.Fatal(err)
	}
	if err := half.RemoveAll("d/raft"); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		fs   vfs.FS
		says string
	}{
		"nothing":          {vfs.NewMem(), "it has no meta.properties"},
		"without database": {half, "holds no log of YAKt's"},
		"damaged":          {damaged, "is damaged"},
	} {
		s, err := openStopped(test.fs, "d")
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := half.Stat("d/raft"); err == nil {
		t.Error("a database was made")
	}
}

// flipLog changes a byte in the first write of the newest write-ahead log.
func flipLog(t *testing.T, fs vfs.FS, dir string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		if !walName.MatchString(name) {
			continue
		}
		path := fs.PathJoin(dir, name)
		text := contentOf(t, fs, path)
		if len(text) < 100 {
			t.Fatal(len(text))
		}
		text[walSyncHeader+5] ^= 1
		rewrite(t, fs, path, text)
		return
	}
	t.Fatal("no log")
}

package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

func (n *node) snapshot() records.SnapshotID {
	n.t.Helper()
	if err := n.Snapshot(); err != nil {
		n.t.Fatal(err)
	}
	id, ok := n.LatestSnapshot()
	if !ok {
		n.t.Fatal("no snapshot")
	}
	return id
}

func snapshotFiles(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	names, err := fs.List(fs.PathJoin(dir, metadataDir))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestSnapshotIsACheckpointFile: what lies in the directory, under Kafka's name, is the checkpoint and nothing else.
func TestSnapshotIsACheckpointFile(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, nil, dir)
	term := n.lead()
	n.set("a", "1")
	n.set("b", "2")
	id := n.snapshot()
	if id != (records.SnapshotID{EndOffset: 3, Epoch: term}) {
		t.Fatal(id)
	}
	path := filepath.Join(dir, metadataDir, fmt.Sprintf("%020d-%010d.checkpoint", 3, term))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o400 {
		t.Fatalf("mode %o", info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine()
	if err := m.Restore(id, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(m.state) != fmt.Sprint(n.machine.copy()) {
		t.Fatal(m.state)
	}
	r, err := n.OpenSnapshot(id)
	if err != nil {
		t.Fatal(err)
	}
	served, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(served, data) {
		t.Fatal("what is served is not the file", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.OpenSnapshot(records.SnapshotID{EndOffset: 7}); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// TestSnapshotIsHandedToTheDiskAsItGrows: what waits for the sync at its end, the synced writes of the log wait for.
func TestSnapshotIsHandedToTheDiskAsItGrows(t *testing.T) {
	var syncs atomic.Int32
	n := openNode(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".part") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) {
			syncs.Add(1)
		}
		return nil
	})), "d")
	to, err := n.snapshots.Create(1, 7, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	// As the writer of a checkpoint does it, in batches of up to 8 MiB.
	for _, b := range [][]byte{[]byte(preamble(records.SnapshotID{EndOffset: 9, Epoch: 1})), make([]byte, 8*snapshotPiece), make([]byte, 8*snapshotPiece)} {
		if _, err := to.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if n := syncs.Load(); n < 8 {
		t.Errorf("%d syncs of the first 16 pieces", n)
	}
	if err := to.Cancel(); err != nil {
		t.Fatal(err)
	}
}

// TestASnapshotThatIsOverthrownIsNotKept: what was begun here may end after a newer one of the leader's was installed. Kept, it would be the
// newest, and the log would begin where nothing follows.
func TestASnapshotThatIsOverthrownIsNotKept(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	n.set("a", "1")
	take := func(index uint64, offset int64) error {
		to, err := n.snapshots.Create(1, index, 1, raft.Configuration{Servers: []raft.Server{{ID: n.self, Address: "node1:9093"}}}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write([]byte(preamble(records.SnapshotID{EndOffset: offset, Epoch: 1}) + "state")); err != nil {
			t.Fatal(err)
		}
		return to.Close()
	}
	if err := take(200, 300); err != nil {
		t.Fatal(err)
	}
	if err := take(100, 150); err == nil {
		t.Error("it is kept")
	}
	newest, _ := n.LatestSnapshot()
	first, _ := n.store.FirstIndex()
	files, err := fs.List("d/__cluster_metadata-0")
	if newest.EndOffset != 300 || first != 200 || err != nil || len(files) != 1 {
		t.Errorf("the newest is %v, the log begins at %d, and there are %q, %v", newest, first, files, err)
	}
}

// TestTwoSnapshotsAreKept and the log from the older one on: the log start moves there and not further.
func TestTwoSnapshotsAreKept(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	var ids []records.SnapshotID
	for i := range 4 {
		for range 5 {
			n.set("a", fmt.Sprint(i))
		}
		ids = append(ids, n.snapshot())
		wantStart := int64(0)
		if i > 0 {
			wantStart = ids[i-1].EndOffset
		}
		if got := n.StartOffset(); got != wantStart {
			t.Fatalf("after snapshot %d the log starts at %d, not %d", i, got, wantStart)
		}
		if oldest, _ := n.OldestSnapshot(); oldest != ids[max(i-1, 0)] {
			t.Fatalf("the oldest is %v", oldest)
		}
		readAll(t, n.Log, 1<<20)
	}
	if _, err := n.Read(ids[2].EndOffset-1, 100); !errors.Is(err, ErrOutOfRange) {
		t.Fatal(err)
	}
	if names := snapshotFiles(t, fs, "d"); len(names) != 2 {
		t.Fatal(names)
	}
	n.set("a", "last")
	start, end := n.StartOffset(), n.EndOffset()
	state, tail := n.machine.copy(), n.machine.batches[len(n.machine.batches)-6:]
	n.Close()

	n = openNode(t, fs, "d")
	if n.StartOffset() != start || n.EndOffset() < ids[3].EndOffset {
		t.Fatalf("log from %d to %d after a restart", n.StartOffset(), n.EndOffset())
	}
	n.lead()
	if n.EndOffset() != end+1 || fmt.Sprint(n.machine.copy()) != fmt.Sprint(state) {
		t.Fatal(n.EndOffset(), n.machine.copy())
	}
	all := readAll(t, n.Log, 200)
	if !sameBatches(all[len(all)-1-6:len(all)-1], tail) {
		t.Fatal("the kept batches are others after a restart")
	}
	// Below the newest snapshot they come from the scan, not from applying.
	if all[0].BaseOffset() != start {
		t.Fatal(all[0].BaseOffset())
	}
	if e, _, ok := n.EpochEnd(ids[2].Epoch); !ok || e != ids[2].Epoch {
		t.Fatal(e, ok)
	}
}

// TestSnapshotBeingReadStays until its last reader has closed it.
func TestSnapshotBeingReadStays(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	n.set("a", "first")
	id := n.snapshot()
	r, err := n.OpenSnapshot(id)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		n.set("a", "x")
		n.snapshot()
	}
	if _, err := n.OpenSnapshot(id); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("no longer kept:", err)
	}
	if names := snapshotFiles(t, fs, "d"); len(names) != 3 {
		t.Fatal(names)
	}
	m := newMachine()
	if err := m.Restore(id, io.NewSectionReader(r, 0, r.Size())); err != nil || m.state["a"] != "first" {
		t.Fatal(err, m.state)
	}
	r.Close()
	if names := snapshotFiles(t, fs, "d"); len(names) != 2 {
		t.Fatal(names)
	}
}

// TestSnapshotsAreFoundWhileTheDiskIsWaitedFor: brokers ask for the newest one with every Fetch, and may not wait for the disk.
func TestSnapshotsAreFoundWhileTheDiskIsWaitedFor(t *testing.T) {
	var armed atomic.Bool
	waits, goesOn, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	n := openNode(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if armed.Load() {
				select {
				case waits <- struct{}{}:
					<-goesOn
				case <-over:
				}
			}
		}
		return nil
	})), "d")
	n.lead()
	defer close(over)
	for i := range 2 {
		n.set("a", fmt.Sprint(i))
		n.snapshot()
	}
	n.set("a", "more")
	armed.Store(true)
	done := make(chan error, 1)
	go func() { done <- n.Snapshot() }()
	look := func() error {
		_, newest := n.LatestSnapshot()
		id, oldest := n.OldestSnapshot()
		if !newest || !oldest {
			return errors.New("there is no snapshot")
		}
		r, err := n.OpenSnapshot(id)
		if err != nil {
			return err
		}
		return r.Close()
	}
	for syncs := 0; ; syncs++ {
		select {
		case <-waits:
			looked := make(chan error, 1)
			go func() { looked <- look() }()
			select {
			case err := <-looked:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Error("a reader waits for sync", syncs)
			}
			goesOn <- struct{}{}
		case err := <-done:
			if err != nil || syncs < 4 { // the file, its directory, the new row, the old row
				t.Error(syncs, err)
			}
			armed.Store(false)
			return
		}
	}
}

// TestSnapshotTakenAgainWhileItIsRead: what a reader has been told of it stays. The race detector sees more of this than the test does.
func TestSnapshotTakenAgainWhileItIsRead(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	n.set("a", "1")
	id := n.snapshot()
	r, err := n.OpenSnapshot(id)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for size := r.Size(); ; {
			select {
			case <-stop:
				return
			default:
			}
			meta, again, err := n.snapshots.Open(id.FileName())
			if err != nil || r.Size() != size || meta.Size != size+preambleLen || again.Close() != nil {
				t.Error(err, meta, r.Size(), size)
				return
			}
		}
	})
	for range 20 {
		if err := call(n.Barrier); err != nil {
			t.Fatal(err)
		}
		if again := n.snapshot(); again != id {
			t.Fatal(again)
		}
	}
	close(stop)
	reading.Wait()
	r.Close()
}

// TestReaderThatIsDoneWhileASnapshotIsWrittenLeavesNothing: it does not wait for that one; its file goes when that one is there.
func TestReaderThatIsDoneWhileASnapshotIsWrittenLeavesNothing(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	n.set("a", "first")
	r, err := n.OpenSnapshot(n.snapshot())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		n.set("a", "x")
		n.snapshot()
	}
	n.snapshots.writing.Lock()
	r.Close()
	n.snapshots.writing.Unlock()
	n.set("a", "x")
	n.snapshot()
	if names := snapshotFiles(t, fs, "d"); len(names) != 2 {
		t.Fatal(names)
	}
}

// TestSameEndOffsetKeepsTheFile: raft's index moves on without any record; the file may be half sent to an observer.
func TestSameEndOffsetKeepsTheFile(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	n.set("a", "1")
	id := n.snapshot()
	before, _ := n.snapshots.newest()
	if err := call(n.Barrier); err != nil {
		t.Fatal(err)
	}
	if again := n.snapshot(); again != id {
		t.Fatal(again)
	}
	after, _ := n.snapshots.newest()
	if after.row.Index <= before.row.Index {
		t.Fatal("the row was not replaced")
	}
	if after.row.CRC32C != before.row.CRC32C || len(snapshotFiles(t, fs, "d")) != 1 {
		t.Fatal("the file was")
	}
	n.Close()
	n = openNode(t, fs, "d")
	n.lead()
	if n.machine.get("a") != "1" {
		t.Fatal(n.machine.state)
	}
}

// TestBadSnapshotFallsBack: to the one before, or to the whole log.
func TestBadSnapshotFallsBack(t *testing.T) {
	for _, snapshots := range []int{1, 2, 3} {
		for _, how := range []string{"changed", "gone"} {
			t.Run(fmt.Sprint(snapshots, how), func(t *testing.T) {
				fs := vfs.NewMem()
				n := openNode(t, fs, "d")
				n.lead()
				var id records.SnapshotID
				for i := range snapshots {
					n.set("a", fmt.Sprint(i))
					id = n.snapshot()
				}
				n.set("b", "after")
				end, want := n.EndOffset(), n.machine.copy()
				n.Close()
				path := "d/" + metadataDir + "/" + id.FileName()
				if how == "gone" {
					if err := fs.Remove(path); err != nil {
						t.Fatal(err)
					}
				} else {
					rewrite(t, fs, path, []byte("not what it was"))
				}
				n = openNode(t, fs, "d")
				if latest, ok := n.LatestSnapshot(); latest == id || ok != (snapshots > 1) {
					t.Fatal(latest, ok)
				}
				n.lead()
				if n.EndOffset() != end+1 || fmt.Sprint(n.machine.copy()) != fmt.Sprint(want) {
					t.Fatal(n.EndOffset(), n.machine.copy())
				}
				n.snapshot()
			})
		}
	}
}

func TestNoGoodSnapshotLeft(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	for range 3 {
		n.set("a", "1")
		n.snapshot()
	}
	n.Close()
	for _, name := range snapshotFiles(t, fs, "d") {
		rewrite(t, fs, "d/"+metadataDir+"/"+name, nil)
	}
	if _, err := tryOpen(t, fs, "d"); err == nil || !strings.Contains(err.Error(), "no good snapshot") {
		t.Fatal(err)
	}
}

func TestRowOfNoSnapshotIsNamed(t *testing.T) {
	fs := vfs.NewMem()
	openNode(t, fs, "d").Close()
	edit(t, fs, "d", func(db *pebble.DB) { must(db.Set(snapshotKey("notes.txt"), []byte("{}"), nil)) })
	if _, err := tryOpen(t, fs, "d"); err == nil || !strings.Contains(err.Error(), `"notes.txt"`) || strings.Contains(err.Error(), "%!") {
		t.Fatal(err)
	}
}

// TestSnapshotsComeBySizeAndAge.
func TestSnapshotsComeBySizeAndAge(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"size": func(c *Config) { c.SnapshotBytes = 5000 },
		"age":  func(c *Config) { c.SnapshotInterval = 20 * time.Millisecond },
	} {
		t.Run(what, func(t *testing.T) {
			n := openNode(t, vfs.NewMem(), "d", change)
			n.lead()
			for i := 0; ; i++ {
				n.set("a", fmt.Sprint(i))
				if _, ok := n.LatestSnapshot(); ok {
					break
				}
				if i == 200000 {
					t.Fatal("no snapshot came")
				}
			}
		})
	}
}

// TestASnapshotThatCouldNotBeTakenIsTakenLater: inside a metadata transaction there is nothing to take, and after its end there may
// be nothing more that would make the log look again.
func TestASnapshotThatCouldNotBeTakenIsTakenLater(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d", func(c *Config) { c.SnapshotBytes = 5000 })
	n.lead()
	m := n.machine
	m.mu.Lock()
	m.notNow = errors.New("a metadata transaction is open")
	m.mu.Unlock()
	n.set("a", strings.Repeat("x", 6000))
	await := func(what string) {
		select {
		case <-m.asked:
		case <-time.After(20 * time.Second):
			t.Fatal("never:", what)
		}
	}
	await("a snapshot by size")
	m.mu.Lock()
	m.notNow = nil
	m.mu.Unlock()
	await("another")
	n.snapMu.Lock() // until the snapshot is finished
	defer n.snapMu.Unlock()
	if _, ok := n.LatestSnapshot(); !ok {
		t.Error("there is no snapshot")
	}
}

// TestSnapshotIsLabelledWithWhatIsApplied: the label is what raft handed over; it must be what the state machine has.
func TestSnapshotIsLabelledWithWhatIsApplied(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	hold := make(chan struct{})
	n.machine.mu.Lock()
	n.machine.hold = hold
	n.machine.mu.Unlock()
	done := make(chan error, 1)
	n.Append(n.batch("a", "1"), nil, func(err error) { done <- err })
	snapped := make(chan error, 1)
	go func() { snapped <- n.Snapshot() }()
	if n.EndOffset() != 1 {
		t.Fatal("visible before it is applied")
	}
	close(hold)
	if err := errors.Join(<-done, <-snapped); err != nil {
		t.Fatal(err)
	}
	c, _ := n.snapshots.newest()
	var entry raft.Log
	if err := n.store.GetLog(c.row.Index, &entry); err != nil || entry.Term != c.row.Term {
		t.Fatal(err, entry.Term)
	}
	if at := n.offsets.endAt(c.row.Index); at != c.id.EndOffset {
		t.Fatalf("the snapshot of offset %d is labelled with the entry that ends at %d", c.id.EndOffset, at)
	}
}

// TestLeftoversAreRemoved: unfinished files, and finished ones whose row a crash prevented.
func TestLeftoversAreRemoved(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	n.set("a", "1")
	id := n.snapshot()
	n.Close()
	for _, name := range []string{
		"00000000000000000009-0000000002.checkpoint", "00000000000000000009-0000000002-17.checkpoint.part", "notes.txt",
	} {
		rewrite(t, fs, "d/"+metadataDir+"/"+name, []byte("x"))
	}
	openNode(t, fs, "d")
	names := snapshotFiles(t, fs, "d")
	if len(names) != 2 || !strings.Contains(strings.Join(names, " "), id.FileName()) {
		t.Fatal(names)
	}
}

// TestNoSnapshotBesideTheLogsEnd: a state that is held back, inside a metadata transaction, is not labelled as more than it is.
func TestNoSnapshotBesideTheLogsEnd(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	n.set("a", "1")
	move := func(by int64) {
		n.machine.mu.Lock()
		n.machine.end += by
		n.machine.mu.Unlock()
	}
	move(-1)
	if err := n.Snapshot(); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Fatal(err)
	}
	move(1)
	n.snapshot()
}

// TestBadSnapshotIsNotSent: one that went bad after the start is found out before raft sends or restores it.
func TestBadSnapshotIsNotSent(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	n.set("a", "1")
	older := n.snapshot()
	n.set("a", "2")
	newer := n.snapshot()
	rewrite(t, fs, "d/"+metadataDir+"/"+newer.FileName(), []byte("x"))
	if _, _, err := n.snapshots.Open(newer.FileName()); err == nil || !strings.Contains(err.Error(), "is bad") {
		t.Fatal(err)
	}
	list, err := n.snapshots.List()
	if err != nil || len(list) != 1 || list[0].ID != older.FileName() {
		t.Fatal(list, err)
	}
	meta, r, err := n.snapshots.Open(older.FileName())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := io.ReadAll(r)
	if err != nil || int64(len(stream)) != meta.Size || r.Close() != nil {
		t.Fatal(len(stream), meta.Size, err)
	}
	n.set("a", "3")
	if n.snapshot(); n.StartOffset() != older.EndOffset {
		t.Fatal(n.StartOffset())
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"no directory":      func(c *Config) { c.Dir = "" },
		"no state machine":  func(c *Config) { c.Machine = nil },
		"negative":          func(c *Config) { c.NodeID = -1 },
		`address "nowhere"`: func(c *Config) { c.Advertise = "nowhere" },
		`address "here:x"`:  func(c *Config) { c.Advertise = "here:x" },
	} {
		if _, err := tryOpen(t, vfs.NewMem(), "d", change); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%q is not in: %v", want, err)
		}
	}
}

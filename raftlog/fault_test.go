package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"yakt/records"
)

var errInjected = errors.New("input/output error")

// failing is a disk whose writes, or syncs, to files with a suffix fail from the moment armed is set.
func failing(fs vfs.FS, suffix string, armed *atomic.Bool, kinds ...errorfs.OpKind) (vfs.FS, *atomic.Int64) {
	var count atomic.Int64
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !armed.Load() || !strings.HasSuffix(op.Path, suffix) {
			return nil
		}
		for _, k := range kinds {
			if op.Kind == k {
				count.Add(1)
				return errInjected
			}
		}
		return nil
	})), &count
}

// TestFirstFailedSyncIsTheLast: the reason is reported once, nothing is acknowledged any more, and no sync is tried again.
func TestFirstFailedSyncIsTheLast(t *testing.T) {
	for _, c := range []struct {
		what  string
		kinds []errorfs.OpKind
	}{
		{"sync", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}},
		{"write", []errorfs.OpKind{errorfs.OpFileWrite}},
	} {
		t.Run(c.what, func(t *testing.T) {
			var armed atomic.Bool
			fs, count := failing(vfs.NewMem(), ".log", &armed, c.kinds...)
			n := openNode(t, fs, "d")
			n.lead()
			n.set("a", "1")
			armed.Store(true)
			var outcomes [5]chan error
			for i := range outcomes {
				outcomes[i] = make(chan error, 1)
				n.Append(n.batch("a", "2"), nil, func(err error) { outcomes[i] <- err })
			}
			for i := range outcomes {
				if err := <-outcomes[i]; err == nil {
					t.Fatal("acknowledged by a disk that failed")
				}
			}
			if err := <-n.fatal; !strings.Contains(err.Error(), errInjected.Error()) {
				t.Fatalf("the reason is %v", err)
			}
			if err := n.append(n.batch("a", "3")); !errors.Is(err, ErrClosed) {
				t.Fatalf("append after the failure: %v", err)
			}
			if err := call(n.Verify); err == nil {
				t.Fatal("verified as leader on a failed disk")
			}
			tried := count.Load()
			armed.Store(false) // Close would fail too
			n.Close()
			if _, leads := n.Leading(); leads {
				t.Fatal("still leads")
			}
			if tried != 1 {
				t.Fatalf("%d attempts on a disk that had failed", tried)
			}
			if len(n.fatal) != 0 {
				t.Fatalf("reported again: %v", <-n.fatal)
			}
		})
	}
}

// halfway is a disk on which, from the moment armed is set, half of a write to the database's log fits.
type halfway struct {
	vfs.FS
	armed *atomic.Bool
}

func (h halfway) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := h.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return halfFile{f, h.armed}, nil
}

type halfFile struct {
	vfs.File
	armed *atomic.Bool
}

func (f halfFile) Write(p []byte) (int, error) {
	if !f.armed.Load() {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	return n, errors.Join(err, syscall.ENOSPC)
}

// TestShortWriteEndsTheNode, and what was written before it is there afterwards; the half is not.
func TestShortWriteEndsTheNode(t *testing.T) {
	var armed atomic.Bool
	disk := vfs.NewCrashableMem()
	n := openNode(t, halfway{disk, &armed}, "d")
	n.lead()
	n.set("a", "1")
	armed.Store(true)
	if err := n.append(n.batch("a", strings.Repeat("2", 1000))); err == nil {
		t.Fatal("acknowledged by half")
	}
	if err := <-n.fatal; !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Fatalf("the reason is %v", err)
	}
	left := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	armed.Store(false)
	n.Close()
	n = openNode(t, left, "d")
	n.lead()
	if got := n.machine.get("a"); got != "1" {
		t.Fatal(got)
	}
}

// TestFailedVoteEndsTheNode: a term or vote that cannot be written is as final as an entry, and no panic.
func TestFailedVoteEndsTheNode(t *testing.T) {
	var armed atomic.Bool
	fs, _ := failing(vfs.NewMem(), ".log", &armed, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo)
	n := openNode(t, fs, "d")
	n.lead()
	armed.Store(true)
	n.transport.electSelf() // a new election, a new term
	if err := <-n.fatal; !strings.Contains(err.Error(), errInjected.Error()) {
		t.Fatalf("the reason is %v", err)
	}
	armed.Store(false)
	n.Close()
}

// TestFailedOpenIsAnError: a disk that fails while the log is opened is Open's error, not a panic and not Fatal's.
func TestFailedOpenIsAnError(t *testing.T) {
	for _, suffix := range []string{".log", "meta.properties.tmp"} {
		var armed atomic.Bool
		armed.Store(true)
		fs, _ := failing(vfs.NewMem(), suffix, &armed, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo)
		if _, err := tryOpen(t, fs, "d"); err == nil || !strings.Contains(err.Error(), errInjected.Error()) {
			t.Fatalf("%s: %v", suffix, err)
		}
	}
}

// TestFailedSnapshotCostsNothing: a checkpoint that cannot be written is tried again later.
func TestFailedSnapshotCostsNothing(t *testing.T) {
	var armed atomic.Bool
	fs, _ := failing(vfs.NewMem(), ".part", &armed, errorfs.OpFileWrite)
	n := openNode(t, fs, "d")
	n.lead()
	n.set("a", "1")
	armed.Store(true)
	if err := n.Snapshot(); err == nil || !strings.Contains(err.Error(), errInjected.Error()) {
		t.Fatal(err)
	}
	n.set("a", "2")
	armed.Store(false)
	if err := n.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if id, ok := n.LatestSnapshot(); !ok || id.EndOffset != 3 {
		t.Fatal(id, ok)
	}
	names, err := fs.List("d/" + metadataDir)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
}

// edit changes the closed database of a node.
func edit(t *testing.T, fs vfs.FS, dir string, f func(*pebble.DB)) {
	t.Helper()
	db, err := pebble.Open(dir+"/"+databaseDir, &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	f(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// TestDamageIsReportedWithItsOffset: whatever Pebble hands back, an entry that is not what was written stops the node.
func TestDamageIsReportedWithItsOffset(t *testing.T) {
	value := func(t *testing.T, db *pebble.DB, index uint64) []byte {
		v, closer, err := db.Get(entryKey(index))
		if err != nil {
			t.Fatal(err)
		}
		defer closer.Close()
		return append([]byte(nil), v...)
	}
	for _, c := range []struct {
		what, want string
		damage     func(*testing.T, *pebble.DB, uint64)
	}{
		{"a changed byte", "checksum", func(t *testing.T, db *pebble.DB, index uint64) {
			v := value(t, db, index)
			v[len(v)/2] ^= 1
			must(db.Set(entryKey(index), v, nil))
		}},
		{"a shortened value", "checksum", func(t *testing.T, db *pebble.DB, index uint64) {
			must(db.Set(entryKey(index), value(t, db, index)[:40], nil))
		}},
		{"hardly anything", "10 bytes are left", func(t *testing.T, db *pebble.DB, index uint64) {
			must(db.Set(entryKey(index), value(t, db, index)[:10], nil))
		}},
		{"a missing entry", "is missing", func(t *testing.T, db *pebble.DB, index uint64) {
			must(db.Delete(entryKey(index), nil))
		}},
		{"an entry in another's place", "checksum", func(t *testing.T, db *pebble.DB, index uint64) {
			must(db.Set(entryKey(index), value(t, db, index+1), nil))
		}},
		{"a newer format", "version", func(t *testing.T, db *pebble.DB, index uint64) {
			v := value(t, db, index)
			v[4] = 9
			binary.BigEndian.PutUint32(v, entryChecksum(entryKey(index)[1:], v))
			must(db.Set(entryKey(index), v, nil))
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			fs := vfs.NewMem()
			n := openNode(t, fs, "d")
			n.lead()
			for range 20 {
				n.set("a", "some value")
			}
			index := n.offsets.batches[11].index // the batch at offset 11
			n.Close()
			edit(t, fs, "d", func(db *pebble.DB) { c.damage(t, db, index) })
			for range 2 { // it stays stopped
				_, err := tryOpen(t, fs, "d")
				if err == nil || !strings.Contains(err.Error(), "damaged at offset 11") || !strings.Contains(err.Error(), c.want) {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestDamageFoundLaterEndsTheNode: an entry that was good at start and is not when it is read.
func TestDamageFoundLaterEndsTheNode(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	n.set("a", "1")
	n.set("a", "2")
	at := n.offsets.batches[1]
	must(n.store.db.Set(entryKey(at.index), make([]byte, 100), pebble.Sync))
	if _, err := n.Read(at.offset, 1); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatal(err)
	}
	if err := <-n.fatal; !strings.Contains(err.Error(), fmt.Sprint("entry ", at.index)) {
		t.Fatal(err)
	}
}

// walOf returns the path of the write-ahead log that a crash left, with its content.
func walOf(t *testing.T, fs vfs.FS, dir string) (string, []byte) {
	t.Helper()
	names, err := fs.List(dir + "/" + databaseDir)
	if err != nil {
		t.Fatal(err)
	}
	var path string
	var longest []byte
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		p := dir + "/" + databaseDir + "/" + name
		data := contentOf(t, fs, p)
		if len(data) >= len(longest) {
			path, longest = p, data
		}
	}
	return path, longest
}

func contentOf(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}

func rewrite(t *testing.T, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(append([]byte(nil), data...)) // under -race, MemFS garbles what it was given
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestTornTailIsDroppedAndDamageIsNot: a last write that a crash interrupted is dropped silently, it was never
// acknowledged. Any bad byte before it stops the node, again and again, and the report says where.
func TestTornTailIsDroppedAndDamageIsNot(t *testing.T) {
	disk := vfs.NewCrashableMem()
	n := openNode(t, disk, "d")
	n.lead()
	for i := range 50 {
		n.set("a", fmt.Sprint("value ", i, strings.Repeat("x", i*40))) // over several blocks of the log
	}
	crash := func() vfs.FS { return disk.CrashClone(vfs.CrashCloneCfg{}) }
	end := n.EndOffset()
	path, wal := walOf(t, crash(), "d")
	// Where the last write begins.
	number, err := strconv.ParseUint(strings.TrimSuffix(path[strings.LastIndex(path, "/")+1:], ".log"), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	var last int
	for pos := 0; ; {
		first, next, ok := walChunk(wal, pos, uint32(number))
		if !ok {
			if room := walBlock - pos%walBlock; room < walSyncHeader {
				pos += room
				continue
			}
			break
		}
		if first {
			last = pos
		}
		pos = next
	}

	open := func(data []byte) (*node, error) {
		fs := crash()
		rewrite(t, fs, path, data)
		return tryOpen(t, fs, "d")
	}
	for cut := last; cut < len(wal); cut += 1 + len(wal)/300 {
		n, err := open(wal[:cut])
		if err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		n.lead()
		if got := n.EndOffset(); got != end { // one batch less, one LeaderChange more
			t.Fatalf("cut at byte %d: the end is %d, was %d", cut, got, end)
		}
		n.Close()
	}
	for at := 1; at < len(wal); at += 1931 {
		bad := append([]byte(nil), wal...)
		bad[at] ^= 0x10
		n, err := open(bad)
		if at >= last {
			if err != nil {
				t.Fatalf("byte %d of the last write, at %d: %v", at, last, err)
			}
			n.Close()
		} else if err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
	for _, at := range []int{1000, len(wal) / 2, last - 300} {
		bad := append([]byte(nil), wal...)
		clear(bad[at : at+250])
		fs := crash()
		rewrite(t, fs, path, bad)
		for range 2 {
			if _, err := tryOpen(t, fs, "d"); err == nil || !strings.Contains(err.Error(), "damaged at byte") || !strings.Contains(err.Error(), "offset") {
				t.Fatalf("zeroed at %d: %v", at, err)
			}
		}
	}
}

func TestDiskNearlyFull(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 40})
	n := openNode(t, fs, "d", func(c *Config) { c.MinFreeBytes = 1 << 20 })
	n.lead()
	n.set("a", "1")
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1000, TotalBytes: 1 << 40})
	for !n.diskFull.Load() { // seen without waiting for the clock, because much is written
		big := n.build("a", strings.Repeat("x", 30000))
		if err := n.append(big); err == nil {
			n.next = big.EndOffset()
		}
	}
	if !n.Full() {
		t.Error("it does not say so")
	}
	refused := n.build("a", "2")
	if err := n.append(refused); !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), "nearly full") {
		t.Fatal(err)
	}
	if _, err := n.Read(0, 1<<20); err != nil {
		t.Fatal("reads go on:", err)
	}
	if err := n.append(n.leaderChange()); err != nil {
		t.Fatal("a node that starts on a full disk still takes over, to be read:", err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 40})
	n.checkDisk()
	n.set("a", "3")
}

func TestOtherwiseBadDirectories(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	cluster := n.ClusterID()

	want := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Fatalf("%q is not in: %v", what, err)
		}
		t.Log(err)
	}
	_, err := tryOpen(t, fs, "d")
	want("another process is using d", err)
	n.Close()

	_, err = tryOpen(t, fs, "d", func(c *Config) { c.NodeID = 2 })
	want("belongs to node 1", err)
	_, err = tryOpen(t, fs, "d", func(c *Config) { c.ClusterID = records.UUID{1}.String() })
	want("belongs to cluster "+cluster, err)
	n = openNode(t, fs, "d", func(c *Config) { c.ClusterID = cluster })
	n.Close()

	// meta.properties of another directory.
	other := openNode(t, fs, "e")
	other.Close()
	meta, err := readIdentity(fs, "d")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.identity.write(fs, "d"); err != nil {
		t.Fatal(err)
	}
	_, err = tryOpen(t, fs, "d")
	want("written under another meta.properties", err)
	if err := fs.Remove("d/meta.properties"); err != nil {
		t.Fatal(err)
	}
	_, err = tryOpen(t, fs, "d")
	want("no meta.properties", err)
	if err := meta.write(fs, "d"); err != nil {
		t.Fatal(err)
	}
	n = openNode(t, fs, "d")
	n.Close()

	// The database alone is gone: this node may not vote as who it was.
	if err := fs.RemoveAll("d/raft"); err != nil {
		t.Fatal(err)
	}
	_, err = tryOpen(t, fs, "d")
	want("is gone", err)
}

func TestDirectoryIsLockedOnDisk(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, nil, dir)
	_, err := tryOpen(t, nil, dir)
	if err == nil || !strings.Contains(err.Error(), "another process is using "+dir) {
		t.Fatal(err)
	}
	n.Close()
	openNode(t, nil, dir)
}

// TestWhatCannotBeLookedAtIsNotAbsent: a node that has data takes no error of the disk for a directory that is new.
func TestWhatCannotBeLookedAtIsNotAbsent(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	n.lead()
	n.set("a", "1")
	n.snapshot()
	n.Close()
	unseen := func(path string, kind errorfs.OpKind) vfs.FS {
		var armed atomic.Bool
		armed.Store(true)
		fs, _ := failing(disk, path, &armed, kind)
		return fs
	}
	refused := func(path string, kind errorfs.OpKind) {
		t.Helper()
		n, err := tryOpen(t, unseen(path, kind), "d")
		if !errors.Is(err, errInjected) {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			n.Close()
		}
	}
	refused(databaseDir, errorfs.OpStat)
	refused(metadataDir, errorfs.OpStat)
	if s, err := openStopped(unseen(metadataDir, errorfs.OpStat), "d"); !errors.Is(err, errInjected) {
		t.Error(err)
		s.Close()
	}
	if err := disk.Remove("d/" + metaFile); err != nil {
		t.Fatal(err)
	}
	refused(databaseDir, errorfs.OpList)
	if err := disk.RemoveAll("d/" + databaseDir); err != nil {
		t.Fatal(err)
	}
	refused(metadataDir, errorfs.OpList)
}

// TestDamagedTableIsToldInALine: Pebble finds it in the background while the node starts, and would end the process with pages of stack.
func TestDamagedTableIsToldInALine(t *testing.T) {
	fs := vfs.NewMem()
	for range 2 { // what the first one has written, the second one makes a table of
		n := openNode(t, fs, "d")
		n.lead()
		for i := range 200 {
			n.set("a", strings.Repeat("x", 1000+i))
		}
		n.Close()
	}
	names, err := fs.List("d/raft")
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		tables++
		data := contentOf(t, fs, "d/raft/"+name)
		data[700] ^= 0xff
		rewrite(t, fs, "d/raft/"+name, data)
	}
	if tables == 0 {
		t.Fatalf("there is no table among %q", names)
	}
	for name, open := range map[string]func() error{
		"Open":        func() error { _, err := tryOpen(t, fs, "d"); return err },
		"OpenStopped": func() error { _, err := openStopped(fs, "d"); return err },
	} {
		if err := open(); err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "empty directory") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

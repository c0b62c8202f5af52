package raftlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"yakt/records"
)

// A crash image is what a disk would hold after a crash at one moment, and what had been promised by then.
type crashImage struct {
	fs    *vfs.MemFS
	acked int   // batches acknowledged before
	term  int32 // the node had led this term before
	what  string
}

// checkCrash opens an image and demands everything that was acknowledged: the same batches at the same offsets, and
// nothing that was never proposed.
func checkCrash(t *testing.T, c crashImage, proposed []records.Batch) {
	t.Helper()
	n, err := tryOpen(t, c.fs, "a/d", small)
	if err != nil {
		t.Fatalf("%s: after the crash: %v", c.what, err)
	}
	defer n.Close()
	if term := n.lead(); term <= c.term {
		t.Fatalf("%s: led term %d again after %d", c.what, term, c.term)
	}
	// The last batch is the new term's LeaderChange.
	end := n.EndOffset() - 1
	if c.acked > 0 && end < proposed[c.acked-1].EndOffset() {
		t.Fatalf("%s: the log ends at %d and %d was acknowledged", c.what, end, proposed[c.acked-1].EndOffset())
	}
	n.snapMu.Lock() // or a snapshot moves the log's start while it is read
	have := readAll(t, n.Log, 1<<20)
	n.snapMu.Unlock()
	have = have[:len(have)-1]
	for len(proposed) > 0 && len(have) > 0 && proposed[0].BaseOffset() < have[0].BaseOffset() {
		proposed = proposed[1:]
	}
	if len(have) > len(proposed) {
		t.Fatalf("%s: %d batches and only %d were proposed", c.what, len(have), len(proposed))
	}
	for i, b := range have {
		if !bytes.Equal(b, proposed[i]) {
			t.Fatalf("%s: batch at %d is another one", c.what, b.BaseOffset())
		}
	}
}

// small makes snapshots come often.
func small(c *Config) { c.SnapshotBytes = 2000 }

// TestCrashAtRandomMoments: whatever was acknowledged before a crash is there after it, with many batches in flight.
func TestCrashAtRandomMoments(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	n := openNode(t, fs, "a/d", small)
	term := n.lead()

	images := 12
	if testing.Short() {
		images = 4
	}
	proposed := []records.Batch{n.machine.batches[0]}
	acked := atomic.Int64{}
	acked.Store(1)
	var crashes []crashImage
	var inFlight sync.WaitGroup
	slots := make(chan struct{}, 16)
	for len(crashes) < images {
		slots <- struct{}{}
		var more []records.Record
		for range rng.IntN(4) {
			more = append(more, config("more", string(bytes.Repeat([]byte{'x'}, rng.IntN(400)))))
		}
		b := n.batch(fmt.Sprint("k", rng.IntN(10)), fmt.Sprint(len(proposed)), more...)
		proposed = append(proposed, b)
		inFlight.Add(1)
		n.Append(b, nil, func(err error) {
			if err != nil {
				t.Error(err)
			}
			acked.Add(1)
			<-slots
			inFlight.Done()
		})
		if rng.IntN(40) == 0 {
			c := crashImage{acked: int(acked.Load()), term: term, what: fmt.Sprintf("image %d", len(crashes))}
			cfg := vfs.CrashCloneCfg{}
			if len(crashes)%2 == 1 {
				cfg = vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(100), RNG: rng}
			}
			c.fs = fs.CrashClone(cfg)
			crashes = append(crashes, c)
		}
	}
	inFlight.Wait()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range crashes {
		checkCrash(t, c, proposed)
	}
}

// TestCrashAtEveryFileOperation: from an empty disk over the first snapshots to the close, a crash before any single
// operation on a file loses nothing that was acknowledged, and the directory opens again.
func TestCrashAtEveryFileOperation(t *testing.T) {
	fs := vfs.NewCrashableMem()
	every, ops := 1, 0
	if testing.Short() {
		every = 9
	}
	var mu sync.Mutex
	var crashes []crashImage
	var acked atomic.Int64
	var term atomic.Int32
	injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if ops++; ops%every == 0 {
			c := crashImage{acked: int(acked.Load()), term: term.Load(), what: fmt.Sprintf("before operation %d, %v %s", ops, op.Kind, op.Path)}
			c.fs = fs.CrashClone(vfs.CrashCloneCfg{})
			crashes = append(crashes, c)
		}
		return nil
	})
	n := openNode(t, errorfs.Wrap(fs, injector), "a/d")
	term.Store(n.lead())
	acked.Store(1)
	for i := range 8 {
		n.set("k", fmt.Sprint(i))
		acked.Add(1)
		if i%2 == 1 {
			if err := n.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
	}
	proposed := n.machine.batches
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d images", len(crashes))
	for _, c := range crashes {
		checkCrash(t, c, proposed)
	}
}

// TestCrashDuringRecovery: a second crash, at any moment of the start after the first, changes nothing.
func TestCrashDuringRecovery(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	disk := vfs.NewCrashableMem()
	n := openNode(t, disk, "a/d")
	term := n.lead()
	for i := range 6 {
		n.set("k", fmt.Sprint(i))
		if i%2 == 1 {
			n.snapshot()
		}
	}
	acked := len(n.machine.batches)
	var settled sync.WaitGroup
	settled.Add(1)
	n.Append(n.batch("k", "perhaps"), nil, func(error) { settled.Done() })
	first := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
	settled.Wait()
	proposed := slices.Clone(n.machine.batches)
	n.Close()

	var mu sync.Mutex
	var crashes []crashImage
	again := openNode(t, errorfs.Wrap(first, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			c := crashImage{acked: acked, term: term, what: fmt.Sprintf("before %v %s", op.Kind, op.Path)}
			c.fs = first.CrashClone(vfs.CrashCloneCfg{})
			crashes = append(crashes, c)
		}
		return nil
	})), "a/d")
	await(t, again, "it leads again", func() bool { _, ok := again.Leading(); return ok })
	again.Close()
	t.Logf("%d images", len(crashes))
	for _, c := range crashes {
		checkCrash(t, c, proposed)
	}
}

// TestCrashTestsNotice runs them again without syncs (TestMain): they must fail then.
func TestCrashTestsNotice(t *testing.T) {
	if os.Getenv(noSync) != "" {
		t.Skip("this is that run")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^TestCrashAt")
	cmd.Env = append(os.Environ(), noSync+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("without syncs, every crash test passed:\n%s", out)
	}
	for _, want := range []string{"--- FAIL: TestCrashAtRandomMoments", "--- FAIL: TestCrashAtEveryFileOperation"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Fatalf("not in the output: %s\n%s", want, out)
		}
	}
}

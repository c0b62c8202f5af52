package raftlog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAppendReadRestart(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	start := time.Now()
	term := n.lead()
	t.Logf("led term %d after %v", term, time.Since(start))
	for i := range 200 {
		n.set(fmt.Sprint("k", i%7), fmt.Sprint(i))
	}
	if id, epoch := n.Leader(); id != 1 || epoch != term {
		t.Fatalf("leader is (%d, %d)", id, epoch)
	}
	if got := n.EndOffset(); got != 201 {
		t.Fatalf("end offset %d", got)
	}
	for _, max := range []int{1, 500, 1 << 20} {
		if !sameBatches(readAll(t, n.Log, max), n.machine.batches) {
			t.Fatal("what is read is not what was applied")
		}
	}
	if _, err := n.Read(202, 1); !errors.Is(err, ErrOutOfRange) {
		t.Fatal(err)
	}
	if b, err := n.Read(201, 1); err != nil || len(b) != 0 {
		t.Fatal(b, err)
	}
	if e, end, ok := n.EpochEnd(term + 5); e != term || end != 201 || !ok {
		t.Fatal(e, end, ok)
	}
	want, batches := n.machine.copy(), n.machine.batches
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = openNode(t, fs, "d")
	term2 := n.lead()
	if term2 <= term {
		t.Fatalf("term %d after %d", term2, term)
	}
	if got := n.machine.copy(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("state %v, was %v", got, want)
	}
	if !sameBatches(n.machine.batches[:len(batches)], batches) {
		t.Fatal("other batches after a restart")
	}
	if e, end, ok := n.EpochEnd(term2 - 1); e != term || end != 201 || !ok {
		t.Fatal(e, end, ok)
	}
}

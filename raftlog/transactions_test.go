package raftlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"yakt/records"
)

// part stamps a batch of a metadata transaction that sets name to the offset where it begins, as the next one.
func (n *node) part(name string, begins, ends bool) records.Batch {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := records.NewBatchBuilder(n.next, n.epoch, n.timestamp())
	var all []records.Record
	if begins {
		all = append(all, &records.BeginTransaction{Name: &name})
	}
	all = append(all, config(name, fmt.Sprint(n.next)))
	if ends {
		all = append(all, &records.EndTransaction{})
	}
	for _, r := range all {
		if err := b.Add(r, 0); err != nil {
			n.t.Fatal(err)
		}
	}
	n.next += int64(len(all))
	return b.Batch()
}

func (n *node) mustAppend(b records.Batch) {
	n.t.Helper()
	if err := n.append(b); err != nil {
		n.t.Fatal(err)
	}
}

// TestATransactionCountsWithItsEnd: before that nobody sees any of it, and no snapshot says that it was there.
func TestATransactionCountsWithItsEnd(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	n.lead()
	n.set("before", "1")
	end := n.EndOffset()
	n.mustAppend(n.part("a", true, false))
	n.mustAppend(n.part("b", false, false))
	if got := n.EndOffset(); got != end || n.machine.get("a") != "" {
		t.Fatalf("inside it the log ends at %d, not %d; a is %q", got, end, n.machine.get("a"))
	}
	if err := n.Snapshot(); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Fatalf("a snapshot inside it: %v", err)
	}
	n.mustAppend(n.part("c", false, true))
	if got := n.EndOffset(); got != end+5 || n.machine.get("a") != fmt.Sprint(end) || n.machine.get("c") != fmt.Sprint(end+3) {
		t.Fatalf("after it the log ends at %d; the state is %v", got, n.machine.copy())
	}
	if !sameBatches(readAll(t, n.Log, 1), n.machine.batches) {
		t.Fatal("what is read is not what was applied")
	}
	all := n.machine.batches
	n.Close()

	n = openNode(t, disk, "d") // held back and let go again
	n.lead()
	if !sameBatches(n.machine.batches[:len(all)], all) {
		t.Fatal("other batches after a restart")
	}
	n.snapshot()
	all = readAll(t, n.Log, 1<<20)
	n.Close()
	n = openNode(t, disk, "d") // the offsets below the snapshot are found again
	if !sameBatches(readAll(t, n.Log, 1<<20), all) {
		t.Fatal("what is read after a restart from a snapshot is something else")
	}
}

// TestATransactionThatWasCutOffNeverCounts: not while its leader goes on, nor after a restart, and whoever reads the directory is told.
func TestATransactionThatWasCutOffNeverCounts(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	n.lead()
	end := n.EndOffset()
	again := func() {
		n.mu.Lock()
		n.next = end
		n.mu.Unlock()
	}
	n.mustAppend(n.part("a", true, false))
	lost := n.part("b", false, false)
	if err := n.append(n.part("c", false, true)); !errors.Is(err, ErrDropped) { // b was lost on the way
		t.Fatal(err)
	}
	again()
	n.set("d", "1") // planned on what counts
	end = n.EndOffset()
	if err := n.append(lost); !errors.Is(err, ErrDropped) { // too late
		t.Fatal(err)
	}
	n.snapshot()
	again()
	n.mustAppend(n.part("e", true, false))
	n.mustAppend(n.part("f", false, false))
	n.Close()

	cutOff := func(want int, names string) {
		t.Helper()
		s := stopped(t, disk, "d")
		defer s.Close()
		got := 0
		for e, err := range s.Entries() {
			if err != nil {
				t.Fatal(err)
			}
			if errors.Is(e.Dropped, errCutOff) {
				got++
			} else if e.Counts() && e.Batch.BaseOffset() != e.Offset {
				t.Fatalf("%+v", e)
			}
		}
		if got != want {
			t.Fatalf("%s: %d batches were cut off", names, got)
		}
	}
	cutOff(3, "a, e and f")

	n = openNode(t, disk, "d")
	n.lead()
	n.set("g", "1")
	for name, want := range map[string]string{"a": "", "b": "", "c": "", "d": "1", "e": "", "f": "", "g": "1"} {
		if got := n.machine.get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	n.Close()
	cutOff(3, "a, e and f")
	s := stopped(t, disk, "d")
	if s.Dropped() != 5 || s.EndOffset() != end+2 {
		t.Errorf("%d dropped; the log ends at %d", s.Dropped(), s.EndOffset())
	}
}

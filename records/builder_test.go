package records

import (
	"strings"
	"testing"
)

// What an operation that did not fit has left behind would stay in memory as long as the batch does.
func TestRollbackGivesMemoryBack(t *testing.T) {
	b := NewBatchBuilder(7, 1, 1000)
	value := strings.Repeat("x", 32000)
	r := &Config{ResourceType: 4, Name: "a", Value: &value}
	small := "kept"
	if err := b.Add(&Config{ResourceType: 4, Name: "a", Value: &small}, 0); err != nil {
		t.Fatal(err)
	}
	mark := b.Mark()
	for range 100 {
		if err := b.Add(r, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.Rollback(mark)
	if b.Len() != 1 || cap(b.buf) > wasteful {
		t.Errorf("%d records in %d bytes", b.Len(), cap(b.buf))
	}
	if err := b.Add(r, 0); err != nil {
		t.Fatal(err)
	}
	done := b.Batch()
	if err := done.Check(); err != nil || done.Count() != 2 || len(done) != b.Size() {
		t.Errorf("%v, %d records", err, done.Count())
	}
}

func TestBatchBuilderKeepsItsLimits(t *testing.T) {
	b := NewBatchBuilder(7, 1, 99)
	if b.Batch() != nil || b.Len() != 0 {
		t.Error("an empty batch")
	}
	if err := b.Add(&NoOp{}, 1); err == nil {
		t.Error("NoOpRecord has no version 1")
	}
	value := strings.Repeat("v", maxString)
	record := &Config{ResourceType: 2, Name: "n", Value: &value}
	for {
		if err := b.Add(record, 0); err == ErrBatchFull {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.AddControl(&SnapshotFooter{}); err == nil {
		t.Error("data and control in one batch")
	}
	n, size := b.Len(), b.Size()
	batch := b.Batch()
	if len(batch) != size || batch.Count() != n || size > MaxBatchBytes || size < MaxBatchBytes-2*maxString {
		t.Errorf("%d bytes, %d records", len(batch), batch.Count())
	}
	if err := batch.Check(); err != nil {
		t.Error(err)
	}
	if b.Add(&NoOp{}, 0) == nil {
		t.Error("a sealed batch takes records")
	}
	if batch.BaseOffset() != 7 || batch.EndOffset() != 7+int64(n) || batch.Timestamp() != 99 || batch.LeaderEpoch() != 1 || batch.Control() {
		t.Error("header")
	}
}

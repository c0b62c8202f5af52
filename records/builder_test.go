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

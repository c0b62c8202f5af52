package records

import (
	"errors"
	"testing"
)

// The batches of a metadata transaction count together with its end, or never.
func TestSequenceHoldsATransactionBackUntilItsEnd(t *testing.T) {
	name := "x"
	begin, end, other := &BeginTransaction{Name: &name}, &EndTransaction{}, &NoOp{}
	batch := func(offset int64, term int32, timestamp int64, rs ...Record) Batch {
		b := NewBatchBuilder(offset, term, timestamp)
		for _, r := range rs {
			if err := b.Add(r, 0); err != nil {
				t.Fatal(err)
			}
		}
		return b.Batch()
	}
	open := func(offset int64, term int32) Batch {
		b := NewBatchBuilder(offset, term, 0)
		if err := b.AddControl(&LeaderChange{LeaderID: 1}); err != nil {
			t.Fatal(err)
		}
		return b.Batch()
	}
	var s Sequence
	for i, step := range []struct {
		b      Batch
		term   int32
		counts int // -1: dropped
		end    int64
	}{
		{open(0, 1), 1, 1, 1},
		{batch(1, 1, 10, begin, end, other), 1, 1, 4}, // whole in one batch
		{batch(4, 1, 11, begin, other), 1, 0, 4},
		{batch(6, 1, 12, other), 1, 0, 4},
		{batch(7, 1, 13, other, end), 1, 3, 9},
		{batch(9, 1, 14, begin), 1, 0, 9},
		{batch(10, 1, 15, end, begin), 1, 0, 9}, // another begins before the batch ends
		{batch(12, 1, 16, end), 1, 3, 13},
		{batch(13, 1, 17, begin, other), 1, 0, 13},
		{batch(16, 1, 19, other), 1, -1, 13}, // the one before it was lost
		{batch(13, 1, 20, other), 1, 1, 14},  // so the leader goes on from where it began
		{batch(15, 1, 21, other, end), 1, -1, 14},
		{batch(14, 1, 30, begin), 1, 0, 14}, // the next of this attempt is lost,
		{batch(15, 1, 33, end), 1, -1, 14},  // and so is the first of another
		{batch(14, 1, 40, begin, other), 1, 0, 14},
		{batch(16, 1, 41, end), 1, 2, 17},
		{batch(17, 1, 50, begin, other), 1, 0, 17},
		{batch(19, 1, 51, end), 2, -1, 17}, // agreed on in another term
		{batch(19, 2, 51, end), 2, -1, 17},
		{open(19, 2), 2, -1, 17},
		{open(17, 2), 2, 1, 18},                    // the next leader knows nothing of it
		{batch(18, 2, 60, other, begin), 2, 1, 20}, // only at the beginning of a batch does one begin that is held back
	} {
		before := s
		n, err := s.Next(step.b, step.term)
		if errors.Is(err, ErrNotNext) {
			if n = -1; s != before {
				t.Errorf("step %d: dropped, and moved to %+v", i, s)
			}
		} else if err != nil {
			t.Errorf("step %d: %v", i, err)
		}
		if n != step.counts || s.End != step.end || err == nil && s.Holding() != (n == 0) {
			t.Errorf("step %d: %d count, %v; the log ends at %d, held back: %v", i, n, err, s.End, s.Holding())
		}
	}
}

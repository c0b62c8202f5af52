package records

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func TestSequenceTakesWhatComesNextAndNothingElse(t *testing.T) {
	open := func(offset int64, term int32) Batch {
		b := NewBatchBuilder(offset, term, 0)
		if err := errors.Join(b.AddControl(&LeaderChange{LeaderID: 1}), b.AddControl(&KRaftVersion{Version: 1})); err != nil {
			t.Fatal(err)
		}
		return b.Batch()
	}
	voters := func(offset int64, term int32) Batch {
		b := NewBatchBuilder(offset, term, 0)
		if err := b.AddControl(&KRaftVoters{}); err != nil {
			t.Fatal(err)
		}
		return b.Batch()
	}
	data := func(offset int64, term int32) Batch {
		b := NewBatchBuilder(offset, term, 0)
		if err := errors.Join(b.Add(&NoOp{}, 0), b.Add(&NoOp{}, 0), b.Add(&NoOp{}, 0)); err != nil {
			t.Fatal(err)
		}
		return b.Batch()
	}
	var s Sequence
	for i, step := range []struct {
		b    Batch
		term int32
		ok   bool
	}{
		{data(0, 0), 0, false}, // no term is 0
		{data(0, 1), 1, false}, // the term has not been opened
		{voters(0, 1), 1, false},
		{open(0, 1), 2, false}, // agreed on in another term than planned for
		{open(1, 1), 1, false}, // not at the end
		{open(0, 1), 1, true},
		{open(0, 1), 1, false}, // once is enough
		{data(2, 1), 1, true},
		{data(2, 1), 1, false},
		{voters(5, 1), 1, true},
		{data(6, 1), 2, false},
		{data(6, 2), 2, false},
		{open(6, 4), 4, true}, // terms may be skipped
		{open(8, 3), 3, false},
		{data(8, 3), 3, false},
		{data(8, 4), 4, true},
		{open(11, 4), 4, true}, // a second one is odd, but comes next
		{data(13, 4), 4, true},
	} {
		before := s
		n, err := s.Next(step.b, step.term)
		if (err == nil) != step.ok || (n == 1) != step.ok || err != nil && !errors.Is(err, ErrNotNext) {
			t.Errorf("step %d: %v", i, err)
		}
		if !step.ok && s != before {
			t.Errorf("step %d: moved to %v", i, s)
		}
	}
	if want := (Sequence{End: 16, Epoch: 4}); s != want {
		t.Errorf("%v, want %v", s, want)
	}
	// After a snapshot the log goes on in the same epoch or in a later one.
	restored := Sequence{End: 500, Epoch: 3}
	if _, err := restored.Next(data(500, 3), 3); err != nil {
		t.Error(err)
	}
}

func TestSequenceTakesOneBatchAndNothingElse(t *testing.T) {
	b := NewBatchBuilder(0, 1, 0)
	if err := b.AddControl(&LeaderChange{LeaderID: 1}); err != nil {
		t.Fatal(err)
	}
	good := b.Batch()
	var s Sequence
	if got, n, err := s.NextIn(append(slices.Clone(good), 0), 1); !errors.Is(err, ErrNotNext) || n != 0 || !bytes.Equal(got, good) {
		t.Error("with a byte behind it:", got, n, err)
	}
	if _, n, err := s.NextIn(good[:len(good)-1], 1); err == nil || errors.Is(err, ErrNotNext) || n != 0 {
		t.Error("without its last byte:", n, err)
	}
	if s != (Sequence{}) {
		t.Error("moved to", s)
	}
	if got, n, err := s.NextIn(good, 1); err != nil || n != 1 || !bytes.Equal(got, good) {
		t.Error(got, n, err)
	}
	if got, _, err := s.NextIn(good, 1); !errors.Is(err, ErrNotNext) || !bytes.Equal(got, good) {
		t.Error("once more:", got, err)
	}
}

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

package records

import (
	"errors"
	"fmt"
)

// ErrNotNext means that a batch is not what comes next in the log and does not count.
var ErrNotNext = errors.New("records: the batch does not come next")

// Sequence says what may come next in the metadata log. Every node asks it about every batch that
// was agreed on, so all drop the same ones. The zero value is the empty log; after a snapshot set
// both fields from its id.
//
// A batch counts only where it was planned for: agreement may lose one proposal and keep later
// ones of the same term, and it may carry a proposal into a later term.
//
// The batches of a metadata transaction (KIP-868) that spans several count when its end comes, all
// at once; until then they are held back, and if something else comes in their place they never
// count. So no log has the beginning of a transaction without its end, and none is ever aborted.
type Sequence struct {
	End   int64 // offset of the next record
	Epoch int32 // leader epoch of the last batch that counts, 0 before the first

	held held
}

// held is what a Sequence holds back, all of its Epoch.
type held struct {
	batches        int
	end, timestamp int64
}

// Next takes a batch that was agreed on in the given term and returns how many batches count from
// now on: those that were held back, and this one. None means that this one is held back too.
//
// A batch comes next if its base offset is the end of the log, its leader epoch is the term, and it
// either begins with the LeaderChange that opens the term or follows it. The first batch that
// counts in a term thus is the one with the LeaderChange, so "follows it" means that the term is
// that of the batch before.
//
// Or it goes on with what is held back: in the same term, at the offset after it, and with the next
// timestamp. A leader that tries again once a transaction was cut off uses later timestamps (it
// never uses one twice), so parts of two attempts do not make a whole. After ErrNotNext nothing has
// changed.
func (s *Sequence) Next(b Batch, term int32) (counts int, err error) {
	goesOn := s.Holding() && b.BaseOffset() == s.held.end && b.Timestamp() == s.held.timestamp+1 && term == s.Epoch && b.LeaderEpoch() == term && !b.Control()
	switch {
	case goesOn:
	case b.BaseOffset() != s.End && !skipOffsetCheck:
		return 0, fmt.Errorf("%w: it is for offset %d and the log ends at %d", ErrNotNext, b.BaseOffset(), s.End)
	case b.LeaderEpoch() != term:
		return 0, fmt.Errorf("%w: it is for leader epoch %d and the term is %d", ErrNotNext, b.LeaderEpoch(), term)
	case term < s.Epoch || term < 1:
		return 0, fmt.Errorf("%w: term %d is over, the log has reached %d", ErrNotNext, term, s.Epoch)
	case term > s.Epoch && !b.opensEpoch():
		return 0, fmt.Errorf("%w: term %d has not been opened by a LeaderChange", ErrNotNext, term)
	default:
		s.held = held{}
	}
	s.held.batches++
	s.held.end, s.held.timestamp = b.EndOffset(), b.Timestamp()
	if b.leavesOpen(goesOn) && !countCutOff {
		return 0, nil
	}
	counts = s.held.batches
	*s = Sequence{End: b.EndOffset(), Epoch: term}
	return counts, nil
}

// NextIn is Next for the batch that was agreed on as these bytes, which it returns too, whether it counts or not. They are one batch and
// nothing else: with bytes behind it, it is not next. Any other error than ErrNotNext means that they are no batch; it does not count either.
func (s *Sequence) NextIn(data []byte, term int32) (b Batch, counts int, err error) {
	b, rest, err := ParseBatch(data)
	switch {
	case err != nil:
		return nil, 0, err
	case len(rest) > 0:
		return b, 0, fmt.Errorf("%w: there are %d bytes behind it", ErrNotNext, len(rest))
	}
	counts, err = s.Next(b, term)
	return b, counts, err
}

// Holding reports whether batches are held back. Who starts from a snapshot knows nothing of them, so none may be
// taken now.
func (s *Sequence) Holding() bool { return s.held.batches > 0 }

// Hold is the list of what a Sequence holds back, for who keeps something of each batch that Next took: it adds one to the list and takes
// out the last n, which count, as Next said. Those are good until the next call; what was held beside them never counts.
func Hold[T any](held []T, one T, n int) (still, counts []T) {
	held = append(held, one)
	switch {
	case n == 0:
		return held, nil
	case len(held) == 1:
		return held[:0], held
	}
	return nil, held[len(held)-n:]
}

// leavesOpen reports whether a metadata transaction is open behind the batch. Only its first record opens one that may go on in the
// next, and only a batch that has to do with one is read further than that.
func (b Batch) leavesOpen(open bool) bool {
	if b.Control() {
		return false
	}
	for raw, err := range b.Records() {
		if err != nil {
			return false
		}
		switch key := keyOf(raw.Value); {
		case key == KeyBeginTransaction:
			open = true
		case key == KeyEndTransaction || key == KeyAbortTransaction:
			open = false
		case !open && raw.Offset == b.BaseOffset():
			return false
		}
	}
	return open
}

// keyOf is the type that a record's value says it is of; that of no record if it does not say.
func keyOf(value []byte) Key {
	if len(value) < 2 || value[0] != frameVersion {
		return ^Key(0)
	}
	return Key(value[1])
}

// opensEpoch reports whether the batch begins with a LeaderChange.
func (b Batch) opensEpoch() bool {
	if !b.Control() {
		return false
	}
	for raw, err := range b.Records() {
		if err != nil {
			return false
		}
		t, err := ParseControlKey(raw.Key)
		return err == nil && t == ControlLeaderChange
	}
	return false
}

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
type Sequence struct {
	End   int64 // offset of the next record
	Epoch int32 // leader epoch of the last batch that counts, 0 before the first
}

// Next advances past the batch if it comes next, agreed on in the given term. A batch does if its
// base offset is the end of the log, its leader epoch is the term, and it either begins with the
// LeaderChange that opens the term or follows it. The first batch that counts in a term thus is
// the one with the LeaderChange, so "follows it" means that the term is that of the batch before.
func (s *Sequence) Next(b Batch, term int32) error {
	switch {
	case b.BaseOffset() != s.End && !skipOffsetCheck:
		return fmt.Errorf("%w: it is for offset %d and the log ends at %d", ErrNotNext, b.BaseOffset(), s.End)
	case b.LeaderEpoch() != term:
		return fmt.Errorf("%w: it is for leader epoch %d and the term is %d", ErrNotNext, b.LeaderEpoch(), term)
	case term < s.Epoch || term < 1:
		return fmt.Errorf("%w: term %d is over, the log has reached %d", ErrNotNext, term, s.Epoch)
	case term > s.Epoch && !b.opensEpoch():
		return fmt.Errorf("%w: term %d has not been opened by a LeaderChange", ErrNotNext, term)
	}
	s.End, s.Epoch = b.EndOffset(), term
	return nil
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

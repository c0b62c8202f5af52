package sim

import (
	"yakt/controller/image"
	"yakt/records"
)

// A metadata transaction is one operation in several batches. They count together or not at all, and nothing comes in between. In some
// histories batches are so small that nearly everything is one.

// operation is what the oracle knows of an operation that it replays.
type operation struct {
	api     string
	start   int64
	created []*records.Topic
	removed map[records.UUID]bool
}

// transaction is one that is being replayed.
type transaction struct {
	of     *operation
	term   int32
	before *image.Image
}

// before is the image before the operation that is being replayed.
func (o *oracle) before() *image.Image {
	if o.open != nil {
		return o.open.before
	}
	return o.head
}

// cutOff counts transactions that the batch of e takes the place of.
func (o *oracle) cutOff(held []*entry, e *entry, whole int) {
	switch {
	case whole == 0 || whole > len(held):
	case held[0].term == e.term:
		o.w.count("transactions cut off under their leader")
	default:
		o.w.count("transactions cut off by the next leader")
	}
}

// checkOpen checks that a batch which lies in a transaction belongs to it.
func (o *oracle) checkOpen(e *entry, authors []author) {
	if o.open == nil {
		return
	}
	if len(authors) != 1 || authors[0].Begin != o.open.of.start || e.term != o.open.term {
		violate("transactions-are-whole", "the batch at %d of epoch %d, by %s, lies in the transaction of %s that was opened at %d in epoch %d",
			e.batch.BaseOffset(), e.term, e.who, o.open.of.api, o.open.of.start, o.open.term)
	}
}

// boundary takes note of a record that begins or ends a transaction.
func (o *oracle) boundary(r records.Record, e *entry, op *operation) {
	switch r.(type) {
	case *records.BeginTransaction:
		if op.start != e.batch.BaseOffset() {
			violate("transactions-begin-batches", "%s at %d begins a transaction inside the batch at %d", op.api, op.start, e.batch.BaseOffset())
		}
		o.open = &transaction{of: op, term: e.term, before: o.head}
	case *records.EndTransaction:
		if e.batch.BaseOffset() > op.start {
			o.w.count("transactions")
		}
		o.open = nil
	case *records.AbortTransaction:
		violate("transactions-are-whole", "%s at %d aborts a transaction, which brokers cannot follow", op.api, op.start)
	}
}

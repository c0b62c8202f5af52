package sim

import (
	"maps"

	"yakt/records"
)

// A metadata transaction is one operation in several batches. Nothing comes in between, nobody sees any of it before its end, and when the
// end cannot come it is aborted before anything else is written. In some histories batches are so small that nearly everything is one.

// operation is what the oracle knows of an operation that it replays.
type operation struct {
	api     string
	start   int64
	created []*records.Topic
	removed map[records.UUID]bool
}

// transaction is one that is open, and what the oracle goes back to if it is aborted.
type transaction struct {
	of        *operation
	term      int32
	twins     map[partitionKey]twin
	producers int64
	returned  map[int32]int64
	placed    map[partitionKey]bool
}

// checkOpen checks that a batch which comes while a transaction is open belongs to it, or ends it.
func (o *oracle) checkOpen(e *entry, authors []author, first records.Record) {
	if o.open == nil {
		return
	}
	if _, aborts := first.(*records.AbortTransaction); aborts {
		return
	}
	if len(authors) != 1 || authors[0].Begin != o.open.of.start || e.term != o.open.term {
		violate("transactions-are-aborted-first", "the batch at %d of epoch %d, by %s, lies in the transaction of %s that was opened at %d in epoch %d",
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
		o.open = &transaction{of: op, term: e.term, twins: maps.Clone(o.twins), producers: o.producers, returned: maps.Clone(o.returned), placed: maps.Clone(o.placed)}
	case *records.EndTransaction:
		if e.batch.BaseOffset() > op.start {
			o.w.count("transactions")
		}
		o.open = nil
	case *records.AbortTransaction:
		o.twins, o.producers, o.returned, o.placed = o.open.twins, o.open.producers, o.open.returned, o.open.placed
		clear(o.changed)
		if e.term == o.open.term {
			o.w.count("transactions aborted by their leader")
		} else {
			o.w.count("transactions aborted by the next leader")
		}
		o.open = nil
	}
}

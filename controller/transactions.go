package controller

import (
	"errors"
	"fmt"
	"time"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

// What an operation writes counts as a whole or not at all. Mostly one batch sees to that. An operation that does not fit into one
// becomes a metadata transaction (KIP-868): the log holds its batches back until the last is committed.
//
//	… │ Begin r r r │ r r r r │ r r r r │ r End │ …
//	  ▲ the log's end, for everybody            ▲ from now on
//
// BeginTransaction is the operation's first record, so the offset it was planned for, a broker's epoch among them, is still the one
// where it begins. It also begins a batch: that is what the log looks at. All batches are made before the first is
// appended: what cannot be written is refused as a whole. Then they are appended back to back, as many at a time as the log may have in
// flight, because the log's end stands still meanwhile.
//
// The head lies behind the end from the first moment on; nobody else gets there before the end is committed. When a batch is lost, the head is
// abandoned like any other, and the log forgets what it held back as soon as something else comes in its place. So no AbortTransaction is
// ever written (docs/decisions/0014-a-metadata-transaction-counts-with-its-end.md).

// maxTransactionBytes bounds one metadata transaction: what it takes in memory, and for how long everything else waits.
const maxTransactionBytes = 64 << 20

// piece is one batch of a metadata transaction and the images before and after it.
type piece struct {
	batch          records.Batch
	parent, result *image.Image
	who            []byte
	flight         *flight
}

// transact makes a metadata transaction of an operation that was planned on the head. An error says why it cannot be written, and
// then nothing has changed.
func (w *writer) transact(op *operation, result plan.Result, now time.Time) error {
	level := w.head.MetadataVersion()
	if !level.HasTransactions() {
		return records.ErrBatchFull
	}
	name := op.api()
	all := make([]records.Record, 0, len(result.Records)+2)
	all = append(all, &records.BeginTransaction{Name: &name})
	all = append(all, result.Records...)
	all = append(all, &records.EndTransaction{})
	batches, err := w.cut(all, level, now)
	if err != nil {
		return err
	}
	edit, who := w.head.Edit(), op.author(0)
	who.Begin = w.head.EndOffset()
	for _, b := range batches {
		who.Records = b.Count()
		p := piece{batch: b, parent: edit.Image(), who: encodeAuthors([]author{who}), flight: &flight{batch: true}}
		for i, r := range all[:b.Count()] {
			edit.Replay(r, b.BaseOffset()+int64(i))
		}
		edit.Advance(b.EndOffset(), b.LeaderEpoch(), b.Timestamp())
		p.result = edit.Image()
		w.pieces = append(w.pieces, p)
		all = all[b.Count():]
	}
	w.pieces[len(w.pieces)-1].flight.operations = []*operation{op}
	w.head = edit.Image()
	op.end = w.head.EndOffset()
	if result.Session != nil {
		w.sessions.change(result.Session, op.end)
	}
	w.logger.Info("metadata transaction", "who", op.who(), "offset", batches[0].BaseOffset(), "end", op.end, "batches", len(batches))
	return nil
}

// cut makes batches of records, the first of which comes next in the log.
func (w *writer) cut(rs []records.Record, level records.MetadataVersion, now time.Time) ([]records.Batch, error) {
	var (
		limit   = min(w.maxBatch, sealBytes)
		b       = w.newBatch(now)
		batches []records.Batch
		bytes   = 0
	)
	for _, r := range rs {
		level = levelFor(r, level)
		mark := b.Mark()
		err := b.Add(r, records.VersionOf(r, level))
		if err == nil && b.Size() > limit && b.Len() > 1 || errors.Is(err, records.ErrBatchFull) && b.Len() > 0 {
			b.Rollback(mark)
			done := b.Batch()
			batches = append(batches, done)
			if bytes += len(done); bytes > maxTransactionBytes {
				return nil, fmt.Errorf("%w, a metadata transaction %d", records.ErrBatchFull, maxTransactionBytes)
			}
			b = records.NewBatchBuilder(done.EndOffset(), done.LeaderEpoch(), done.Timestamp()+1)
			err = b.Add(r, records.VersionOf(r, level))
		}
		if err != nil {
			return nil, err
		}
	}
	return append(batches, b.Batch()), nil
}

// appendPiece appends the transaction's next batch.
func (w *writer) appendPiece() {
	p := w.pieces[0]
	w.pieces[0] = piece{} // it may be large
	w.pieces = w.pieces[1:]
	w.flights = append(w.flights, p.flight)
	w.propose(p.batch, p.parent, p.result, p.who, w.settler(p.flight))
}

// dropPieces gives up what is left of a transaction, and with it the operation.
func (w *writer) dropPieces() {
	if len(w.pieces) == 0 {
		return
	}
	operations := w.pieces[len(w.pieces)-1].flight.operations
	w.pieces = nil
	w.refuse(operations)
}

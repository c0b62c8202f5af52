package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"yakt/controller/image"
	"yakt/records"
)

// A batch's timestamp is always later than that of the one before it, so a timestamp names a position in the log: behind the
// last batch that is not later. Who has replayed everything up to there asks for the changes since, and need not know offsets,
// which would mean something else to another cluster.
//
//	 batches   ░░░░░░░░░│ 1000 │ 1001 │ 1007 │ 1008 │
//	timestamps          ▲      ▲             ▲      ▲
//	           log start: 998  │    since 1007: 1008 is given, and 1008 is what to ask with next
//	           since 500: whole image        │
//	                    since 1000: 1001, 1007, 1008
//
// Records of a metadata transaction (KIP-868) count from its end on: they are given together, in order, when it ended well,
// and never when it was aborted.

// Change is one record that was committed. Control records, the marks of metadata transactions and what an aborted one wrote
// are no changes.
type Change struct {
	Offset    int64
	Timestamp int64          // of its batch, in milliseconds since the Unix epoch
	Record    records.Record // for reading
	Version   int16          // in which it was written
}

// Changes is what was committed after some time, in order.
type Changes struct {
	// Image is the state to start from when the time was 0 or older than what the log keeps; then there are no Changes.
	// Otherwise it is nil.
	Image   *image.Image
	Changes []Change
	Next    int64 // timestamp to ask with next: that of the last batch which is in it, or had nothing to give
	More    bool  // there was more, and the answer was full
}

// MaxChanges is how many records one answer has, unless fewer are asked for; a batch is never split, so it may be a few more.
const MaxChanges = 10_000

// Other bounds of one answer. A single batch, or a metadata transaction, is given whatever its size.
const (
	maxChangesBytes = 4 << 20
	changesAtATime  = 256 << 10 // bytes read in one go
)

// errNotKept means that the changes since then cannot be told from what the log keeps.
var errNotKept = errors.New("controller: the log does not go back so far")

// ChangesSince returns what was committed after a time in milliseconds since the Unix epoch: at most about maxRecords records,
// as many as one answer may hold if that is 0, and never a part of a batch. Replayed on the state as of that time they
// give this node's published image, or the way there while there is More. A time to come is answered like the time of the
// last batch. An error means that the log could not be read or that ctx has ended.
func (c *Controller) ChangesSince(ctx context.Context, timestampMs int64, maxRecords int) (Changes, error) {
	if maxRecords <= 0 || maxRecords > MaxChanges {
		maxRecords = MaxChanges
	}
	for {
		img := c.Image()
		switch {
		case timestampMs <= 0:
			return Changes{Image: img, Next: img.Timestamp()}, nil
		case timestampMs >= img.Timestamp():
			return Changes{Next: img.Timestamp()}, nil
		}
		start := c.log.StartOffset()
		changes, err := c.changesBetween(ctx, img.EndOffset(), timestampMs, maxRecords)
		switch {
		case err == nil:
			return changes, nil
		case errors.Is(err, errNotKept):
			timestampMs = 0
		case ctx.Err() != nil || c.log.StartOffset() <= start:
			return Changes{}, fmt.Errorf("controller: changes since %d: %w", timestampMs, err)
		} // else the log start moved away under the reading
	}
}

// changesBetween reads what was committed after a time and below the offset end.
func (c *Controller) changesBetween(ctx context.Context, end, after int64, maxRecords int) (Changes, error) {
	if err := c.WaitFor(ctx, end); err != nil { // the image is published a moment before the log shows what it was made of
		return Changes{}, err
	}
	from, err := c.firstAfter(after, end)
	if err != nil {
		return Changes{}, err
	}
	reader := changesReader{maxRecords: maxRecords, next: after}
	for from < end {
		if err := ctx.Err(); err != nil {
			return Changes{}, err
		}
		batches, err := c.log.Read(from, changesAtATime)
		if err != nil {
			return Changes{}, err
		}
		for len(batches) > 0 && from < end {
			var b records.Batch
			if b, batches, err = records.ParseBatch(batches); err != nil {
				return Changes{}, err
			}
			if reader.full(b) {
				return Changes{Changes: reader.changes, Next: reader.next, More: true}, nil
			}
			if err := reader.take(b); err != nil {
				return Changes{}, err
			}
			from = b.EndOffset()
		}
	}
	return Changes{Changes: reader.changes, Next: reader.next}, nil
}

// firstAfter returns the offset of the first batch that is later than a time, or end if there is none below it. It is
// errNotKept when there may have been others that the log does not have any more.
func (c *Controller) firstAfter(timestampMs, end int64) (int64, error) {
	start := c.log.StartOffset()
	low, high := start, end
	for low < high {
		raw, err := c.log.Read(low+(high-low)/2, 1)
		if err != nil {
			return 0, err
		}
		b, _, err := records.ParseBatch(raw)
		if err != nil {
			return 0, err
		}
		if b.Timestamp() > timestampMs {
			high = b.BaseOffset()
		} else {
			low = b.EndOffset()
		}
	}
	if low > start || start == 0 {
		return low, nil
	}
	switch compacted, err := c.lastCompacted(start); {
	case err != nil:
		return 0, err
	case timestampMs < compacted:
		return 0, errNotKept
	}
	return low, nil
}

// lastCompacted returns the timestamp of the last batch before the log start, as the snapshot that ends there has it.
func (c *Controller) lastCompacted(start int64) (int64, error) {
	id, ok := c.log.OldestSnapshot()
	if !ok || id.EndOffset != start {
		return 0, errNotKept // it has just gone
	}
	snapshot, err := c.log.OpenSnapshot(id)
	if errors.Is(err, fs.ErrNotExist) {
		err = errNotKept
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = snapshot.Close() }()
	checkpoint, err := records.ReadCheckpoint(io.NewSectionReader(snapshot, 0, snapshot.Size()))
	if err != nil {
		return 0, err
	}
	return checkpoint.Header.LastContainedLogTimestamp, nil
}

// changesReader turns batches into changes.
type changesReader struct {
	maxRecords int

	changes       []Change
	next          int64 // timestamp up to which changes is complete
	inTransaction bool
	undecided     []Change // of the open transaction
	records       int      // of all batches taken
	bytes         int
}

// full says whether b is too much. Something is always taken, and a transaction to its end.
func (r *changesReader) full(b records.Batch) bool {
	return r.records > 0 && !r.inTransaction && (r.records+b.Count() > r.maxRecords || r.bytes+len(b) > maxChangesBytes)
}

// take adds what a batch changed.
func (r *changesReader) take(b records.Batch) error {
	r.records += b.Count()
	r.bytes += len(b)
	if !b.Control() {
		for raw, err := range b.Records() {
			if err != nil {
				return err
			}
			record, version, err := records.ReadRecord(raw.Value)
			if err != nil {
				return fmt.Errorf("offset %d: %w", raw.Offset, err)
			}
			if err := r.add(Change{Offset: raw.Offset, Timestamp: b.Timestamp(), Record: record, Version: version}); err != nil {
				return err
			}
		}
	}
	if !r.inTransaction {
		r.next = b.Timestamp()
	}
	return nil
}

// add decides what becomes of one record.
func (r *changesReader) add(c Change) error {
	switch c.Record.(type) {
	case *records.NoOp:
	case *records.BeginTransaction:
		r.inTransaction = true
	case *records.EndTransaction, *records.AbortTransaction:
		if !r.inTransaction {
			return errNotKept // the time lies within the transaction, when none of it counted: its beginning was passed by
		}
		if _, ended := c.Record.(*records.EndTransaction); ended {
			r.changes = append(r.changes, r.undecided...)
		}
		r.inTransaction, r.undecided = false, nil
	default:
		if r.inTransaction {
			r.undecided = append(r.undecided, c)
		} else {
			r.changes = append(r.changes, c)
		}
	}
	return nil
}

package records

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
)

// A checkpoint is the metadata at one offset as a file of batches:
//
//	control batch   SnapshotHeader, and with kraft.version 1 also KRaftVersion and KRaftVoters
//	data batches    the records of the image
//	control batch   SnapshotFooter
//
// Offsets in it start at 0 and have nothing to do with those of the log; every batch carries the
// checkpoint's epoch. A file without its footer was never finished.

// SnapshotID names a snapshot of the metadata log.
type SnapshotID struct {
	EndOffset int64 // the first offset that is not contained
	Epoch     int32 // leader epoch of the last contained batch
}

const checkpointSuffix = ".checkpoint"

// FileName is the name Kafka gives the snapshot's file.
func (id SnapshotID) FileName() string {
	return fmt.Sprintf("%020d-%010d%s", id.EndOffset, id.Epoch, checkpointSuffix)
}

// String returns the file name without its suffix.
func (id SnapshotID) String() string {
	return fmt.Sprintf("%020d-%010d", id.EndOffset, id.Epoch)
}

var checkpointName = regexp.MustCompile(`^(\d{20})-(\d{10})\` + checkpointSuffix + `$`)

// ParseSnapshotFileName is the inverse of FileName. Parts and files marked for deletion are not snapshots.
func ParseSnapshotFileName(name string) (SnapshotID, bool) {
	m := checkpointName.FindStringSubmatch(name)
	if m == nil {
		return SnapshotID{}, false
	}
	end, err1 := strconv.ParseInt(m[1], 10, 64)
	epoch, err2 := strconv.ParseInt(m[2], 10, 32)
	return SnapshotID{EndOffset: end, Epoch: int32(epoch)}, err1 == nil && err2 == nil
}

// checkpointGroup is how many records go into a batch together or not at all, as in Apache's writer.
const checkpointGroup = 1024

// CheckpointWriter writes a checkpoint. The first error stays; it serves one goroutine. It holds
// one batch and one group of records at most, and takes no more memory than that: what it makes
// beside a running controller the collector would have to follow.
type CheckpointWriter struct {
	w         io.Writer
	epoch     int32
	timestamp int64
	offset    int64 // of the next batch
	batch     *BatchBuilder
	group     codec // its buffer has the values of the group's records, one after another
	ends      []int // where in it each ends
	err       error
}

// NewCheckpointWriter begins a checkpoint. nowMs becomes the timestamp of its batches;
// lastContainedTimestamp is that of the last batch of the log that is contained. kraft and voters
// are nil when the log has none.
func NewCheckpointWriter(w io.Writer, id SnapshotID, lastContainedTimestamp, nowMs int64, kraft *KRaftVersion, voters *KRaftVoters) *CheckpointWriter {
	cw := &CheckpointWriter{w: w, epoch: id.Epoch, timestamp: nowMs, batch: NewBatchBuilder(0, id.Epoch, nowMs)}
	header := []ControlRecord{&SnapshotHeader{LastContainedLogTimestamp: lastContainedTimestamp}}
	if kraft != nil {
		header = append(header, kraft)
	}
	if voters != nil {
		header = append(header, voters)
	}
	cw.control(header...)
	return cw
}

func (w *CheckpointWriter) control(records ...ControlRecord) {
	for _, r := range records {
		if err := w.batch.AddControl(r); err != nil && w.err == nil {
			w.err = err
		}
	}
	w.flush()
}

// Append adds records in the versions of the given level. It is done with them when it returns.
func (w *CheckpointWriter) Append(records []Record, level MetadataVersion) error {
	for _, r := range records {
		if w.err != nil {
			break
		}
		if w.err = w.group.appendRecord(r, VersionOf(r, level)); w.err != nil {
			break
		}
		w.ends = append(w.ends, len(w.group.buf))
		if len(w.ends) == checkpointGroup || len(w.group.buf) >= MaxBatchBytes {
			w.endGroup()
		}
	}
	return w.err
}

// endGroup puts the group into the batch there is, or into the next one if that has no room for
// all of it. A group too large for any batch fills as many as it takes.
func (w *CheckpointWriter) endGroup() {
	if size := w.groupSize(); w.batch.Size()+size > MaxBatchBytes && atRecords+size <= MaxBatchBytes {
		w.flush()
	}
	start := 0
	for _, end := range w.ends {
		value := w.group.buf[start:end]
		err := w.batch.add(false, nil, value)
		if err == ErrBatchFull && w.batch.Len() > 0 {
			w.flush()
			err = w.batch.add(false, nil, value)
		}
		if err != nil && w.err == nil {
			w.err = err
		}
		start = end
	}
	w.group.buf, w.ends = w.group.buf[:0], w.ends[:0]
}

// groupSize is how much longer the group would make the batch.
func (w *CheckpointWriter) groupSize() int {
	size, start := 0, 0
	for i, end := range w.ends {
		n := envelopeSize(int32(w.batch.Len()+i), nil, end-start)
		size += varintSize(int32(n)) + n
		start = end
	}
	return size
}

// flush writes the batch there is and begins the next one.
func (w *CheckpointWriter) flush() {
	if b := w.batch.Batch(); b != nil && w.err == nil {
		w.offset = b.EndOffset()
		_, w.err = w.w.Write(b)
	}
	w.batch.begin(w.offset, w.epoch, w.timestamp)
}

// Close writes what is left and the footer. It does not close the underlying writer.
func (w *CheckpointWriter) Close() error {
	if w.err == nil {
		w.endGroup()
		w.flush()
		w.control(&SnapshotFooter{})
	}
	if w.err != nil {
		return fmt.Errorf("records: writing a checkpoint: %w", w.err)
	}
	w.err = errClosed
	return nil
}

var errClosed = errors.New("the checkpoint is closed")

// CheckpointReader reads a checkpoint, one batch at a time. It serves one goroutine.
type CheckpointReader struct {
	Epoch  int32 // in every batch
	Header SnapshotHeader
	KRaft  *KRaftVersion // nil: none
	Voters *KRaftVoters  // nil: none

	batches *BatchReader
	next    int64
	done    bool
}

// ReadCheckpoint begins to read a checkpoint: it returns when the header has been read.
func ReadCheckpoint(r io.Reader) (*CheckpointReader, error) {
	cr := &CheckpointReader{batches: NewBatchReader(r)}
	b, err := cr.batch()
	if err == io.EOF {
		return nil, errors.New("records: the checkpoint is empty")
	}
	if err != nil {
		return nil, err
	}
	if !b.Control() {
		return nil, errors.New("records: the checkpoint has no header")
	}
	controls, err := b.DecodeControl()
	if err != nil {
		return nil, err
	}
	for i, c := range controls {
		switch c := c.(type) {
		case *SnapshotHeader:
			if i > 0 {
				return nil, errors.New("records: the checkpoint has a header inside")
			}
			cr.Header = *c
		case *KRaftVersion:
			cr.KRaft = c
		case *KRaftVoters:
			cr.Voters = c
		default:
			return nil, fmt.Errorf("records: the checkpoint has a %v in its header", c.ControlType())
		}
		if _, ok := controls[0].(*SnapshotHeader); !ok {
			return nil, errors.New("records: the checkpoint does not begin with its header")
		}
	}
	return cr, nil
}

// batch returns the next batch, which must follow the one before.
func (r *CheckpointReader) batch() (Batch, error) {
	pos := r.batches.Position()
	b, err := r.batches.Next()
	if err != nil {
		return nil, err
	}
	if pos == 0 {
		r.Epoch = b.LeaderEpoch()
	}
	if b.BaseOffset() != r.next || b.LeaderEpoch() != r.Epoch {
		return nil, fmt.Errorf("records: byte %d: a batch at offset %d of epoch %d does not come next in the checkpoint: expected offset %d of epoch %d",
			pos, b.BaseOffset(), b.LeaderEpoch(), r.next, r.Epoch)
	}
	r.next = b.EndOffset()
	return b, nil
}

// NextBatch returns the next data batch. After the last one it makes sure of the footer, and that
// nothing follows it, and returns io.EOF. A file that ends without the footer gives io.ErrUnexpectedEOF.
func (r *CheckpointReader) NextBatch() (Batch, error) {
	if r.done {
		return nil, io.EOF
	}
	b, err := r.batch()
	if err == io.EOF {
		return nil, fmt.Errorf("records: the checkpoint has no footer: %w", io.ErrUnexpectedEOF)
	}
	if err != nil || !b.Control() {
		return b, err
	}
	controls, err := b.DecodeControl()
	if err != nil {
		return nil, err
	}
	if _, ok := controls[0].(*SnapshotFooter); !ok || len(controls) > 1 {
		return nil, fmt.Errorf("records: the checkpoint has a %v where only its footer may be", controls[0].ControlType())
	}
	pos := r.batches.Position()
	if _, err := r.batches.Next(); err != io.EOF {
		return nil, fmt.Errorf("records: byte %d: something follows the checkpoint's footer", pos)
	}
	r.done = true
	return nil, io.EOF
}

// Next returns the records of the next data batch, io.EOF after the last, as NextBatch does.
func (r *CheckpointReader) Next() ([]Record, error) {
	b, err := r.NextBatch()
	if err != nil {
		return nil, err
	}
	return b.Decode()
}

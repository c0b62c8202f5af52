package records

import (
	"errors"
	"fmt"
	"io"
)

// maxReadBytes is the length from which on BatchReader does not believe a batch. It is well above
// what KRaft writes and bounds what a reader holds.
const maxReadBytes = 8 * MaxBatchBytes

// BatchReader reads batches one after another from a stream: a log segment or a checkpoint. It
// holds one batch at a time. It serves one goroutine.
type BatchReader struct {
	r   io.Reader
	pos int64
}

// NewBatchReader reads from r, in few and mostly large reads.
func NewBatchReader(r io.Reader) *BatchReader { return &BatchReader{r: r} }

// Position is where in the stream the next batch begins; after an error, where the damaged one does.
func (r *BatchReader) Position() int64 { return r.pos }

// Next returns the next batch, checked as ParseBatch does. It has memory of its own. At the end it
// returns io.EOF, within a batch an error that is io.ErrUnexpectedEOF.
func (r *BatchReader) Next() (Batch, error) {
	head := make([]byte, atRecords)
	n, err := io.ReadFull(r.r, head)
	if err == io.EOF {
		return nil, io.EOF
	}
	if err != nil && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("records: byte %d: %w", r.pos, err)
	}
	size, sizeErr := batchSize(head[:n])
	if sizeErr == nil && size > maxReadBytes {
		sizeErr = fmt.Errorf("a batch of %d bytes is longer than any in a metadata log", size)
	}
	if sizeErr == nil && size < atRecords {
		sizeErr = Batch(head[:min(size, n)]).checkHeader()
	}
	if sizeErr != nil {
		return nil, fmt.Errorf("records: byte %d: %w", r.pos, sizeErr)
	}
	if err != nil {
		return nil, fmt.Errorf("records: byte %d: %w", r.pos, err)
	}
	b, err := readUpTo(r.r, head, size)
	if err != nil {
		return nil, fmt.Errorf("records: byte %d: the batch should have %d bytes: %w", r.pos, size, err)
	}
	if err := Batch(b).checkHeader(); err != nil {
		return nil, fmt.Errorf("records: byte %d: %w", r.pos, err)
	}
	r.pos += int64(size)
	return b, nil
}

// readUpTo reads until b has size bytes. It takes memory as the bytes come, since the size was only announced.
func readUpTo(r io.Reader, b []byte, size int) ([]byte, error) {
	const step = 64 << 10
	for len(b) < size {
		have := len(b)
		want := min(size, max(2*have, step))
		b = append(make([]byte, 0, want), b...)[:want]
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return b, nil
}

package records

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// ErrBatchFull means that a record would make the batch longer than MaxBatchBytes.
var ErrBatchFull = fmt.Errorf("records: a batch takes at most %d bytes", MaxBatchBytes)

// BatchBuilder makes one batch, of metadata records or of control records. It serves one goroutine.
// A record that is refused leaves no trace.
type BatchBuilder struct {
	buf     []byte
	value   codec // its buffer is where values are made before their length is known
	count   int32
	control bool
	sealed  bool
}

// NewBatchBuilder begins a batch whose first record has the base offset; the timestamp is in
// milliseconds since the epoch.
func NewBatchBuilder(baseOffset int64, epoch int32, timestampMs int64) *BatchBuilder {
	b := &BatchBuilder{buf: make([]byte, atRecords, 512)}
	b.begin(baseOffset, epoch, timestampMs)
	return b
}

// begin drops what there is and begins a batch in the same memory: the one before is gone then.
func (b *BatchBuilder) begin(baseOffset int64, epoch int32, timestampMs int64) {
	b.buf, b.count, b.control, b.sealed = b.buf[:atRecords], 0, false, false
	clear(b.buf)
	binary.BigEndian.PutUint64(b.buf, uint64(baseOffset))
	binary.BigEndian.PutUint32(b.buf[atEpoch:], uint32(epoch))
	b.buf[atMagic] = batchMagic
	binary.BigEndian.PutUint64(b.buf[atBaseTimestamp:], uint64(timestampMs))
	binary.BigEndian.PutUint64(b.buf[atMaxTimestamp:], uint64(timestampMs))
	for i := atProducerID; i < atCount; i++ {
		b.buf[i] = 0xff // no producer: -1 in all three fields
	}
}

// Add appends a metadata record. ErrBatchFull says that it belongs into the next batch.
func (b *BatchBuilder) Add(r Record, version int16) error {
	b.value.buf = b.value.buf[:0]
	if err := b.value.appendRecord(r, version); err != nil {
		return err
	}
	return b.add(false, nil, b.value.buf)
}

// AddControl appends a control record.
func (b *BatchBuilder) AddControl(r ControlRecord) error {
	b.value.buf = b.value.buf[:0]
	if err := b.value.appendControl(r); err != nil {
		return err
	}
	var key [controlKeySize]byte
	return b.add(true, AppendControlKey(key[:0], r.ControlType()), b.value.buf)
}

func (b *BatchBuilder) add(control bool, key, value []byte) error {
	if b.sealed {
		return errors.New("records: the batch is sealed")
	}
	if b.count > 0 && control != b.control {
		return errors.New("records: a batch takes metadata records or control records, not both")
	}
	length := envelopeSize(b.count, key, len(value))
	if len(b.buf)+varintSize(int32(length))+length > MaxBatchBytes {
		return ErrBatchFull
	}
	if need := length + maxVarint; need > cap(b.buf)-len(b.buf) {
		b.buf = slices.Grow(b.buf, max(need, len(b.buf)))
	}
	b.buf = appendEnvelope(b.buf, b.count, key, value)
	b.count++
	b.control = control
	return nil
}

// appendEnvelope appends a record the way KRaft writes it; a nil key is none.
func appendEnvelope(dst []byte, offsetDelta int32, key, value []byte) []byte {
	dst = appendVarint(dst, int32(envelopeSize(offsetDelta, key, len(value))))
	dst = append(dst, 0, 0) // attributes, timestamp delta
	dst = appendVarint(dst, offsetDelta)
	if key == nil {
		dst = appendVarint(dst, -1)
	} else {
		dst = appendVarint(dst, int32(len(key)))
		dst = append(dst, key...)
	}
	dst = appendVarint(dst, int32(len(value)))
	dst = append(dst, value...)
	return append(dst, 0) // headers
}

// envelopeSize is the length of a record without the varint that tells it.
func envelopeSize(offsetDelta int32, key []byte, value int) int {
	n := 2 + varintSize(offsetDelta) + 1 + varintSize(int32(value)) + value + 1
	if key != nil {
		n += varintSize(int32(len(key))) - 1 + len(key)
	}
	return n
}

// Reserve makes room for n more bytes, as far as a batch may have them.
func (b *BatchBuilder) Reserve(n int) {
	b.buf = slices.Grow(b.buf, min(n, MaxBatchBytes-len(b.buf)))
}

// Len is the number of records so far.
func (b *BatchBuilder) Len() int { return int(b.count) }

// Size is the length the batch would have now.
func (b *BatchBuilder) Size() int { return len(b.buf) }

// BatchMark is a point in the making of a batch to which it can go back.
type BatchMark struct {
	size  int
	count int32
}

// Mark returns the point that has been reached.
func (b *BatchBuilder) Mark() BatchMark { return BatchMark{len(b.buf), b.count} }

// Rollback takes back every record added since the mark. If that was most of the batch the memory goes, too: what is left may be kept
// for long.
func (b *BatchBuilder) Rollback(m BatchMark) {
	b.buf, b.count = b.buf[:m.size], m.count
	if cap(b.buf) > 4*m.size+wasteful {
		b.buf = append(make([]byte, 0, 2*m.size), b.buf...)
	}
}

// wasteful is how much memory beyond its size a batch does not keep after a Rollback.
const wasteful = 64 << 10

// Batch seals the batch and returns it; nil when it has no records.
func (b *BatchBuilder) Batch() Batch {
	if b.count == 0 {
		return nil
	}
	if !b.sealed {
		b.sealed = true
		binary.BigEndian.PutUint32(b.buf[atLength:], uint32(len(b.buf)-beforeLength))
		if b.control {
			binary.BigEndian.PutUint16(b.buf[atAttributes:], controlAttribute)
		}
		binary.BigEndian.PutUint32(b.buf[atLastOffsetDelta:], uint32(b.count-1))
		binary.BigEndian.PutUint32(b.buf[atCount:], uint32(b.count))
		binary.BigEndian.PutUint32(b.buf[atCRC:], crc32.Checksum(b.buf[atAttributes:], crcTable))
	}
	return Batch(b.buf[:len(b.buf):len(b.buf)])
}

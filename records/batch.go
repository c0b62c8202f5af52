package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
)

// Batch is one whole v2 record batch, the unit in which the metadata log is replicated, committed,
// kept and fetched. Its methods trust the header: ParseBatch, BatchReader and BatchBuilder are
// where batches come from.
//
//	 0  int64   base offset
//	 8  int32   bytes that follow this field
//	12  int32   leader epoch (in a checkpoint: the checkpoint's epoch)
//	16  int8    magic, 2
//	17  uint32  CRC-32C of everything from byte 21 on
//	21  int16   attributes: 0 data, 0x20 control; the metadata log has no others
//	23  int32   last offset delta: count - 1
//	27  int64   base timestamp, milliseconds
//	35  int64   max timestamp, the same
//	43  int64   producer id -1, int16 producer epoch -1, int32 base sequence -1
//	57  int32   count of records
//	61  records
//
// Offset, length, epoch and magic lie in front of what the CRC covers. A batch is never modified.
type Batch []byte

// MaxBatchBytes is the size no batch exceeds, as with Apache's controller.
const MaxBatchBytes = 8 << 20

// Positions in a batch.
const (
	atLength          = 8
	atEpoch           = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
	atRecords         = 61
	beforeLength      = 12 // what the length field does not count
	leastLengthField  = 14 // below this Apache takes the length field for corrupt
)

const (
	batchMagic       = 2
	controlAttribute = 0x20
	compressionMask  = 0x07
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// BaseOffset is the offset of the first record.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b)) }

// LastOffset is the offset of the last record.
func (b Batch) LastOffset() int64 { return b.EndOffset() - 1 }

// EndOffset is the offset after the last record.
func (b Batch) EndOffset() int64 { return b.BaseOffset() + int64(b.Count()) }

// LengthField is the number of bytes after the length field.
func (b Batch) LengthField() int32 { return int32(binary.BigEndian.Uint32(b[atLength:])) }

// Magic is 2.
func (b Batch) Magic() int8 { return int8(b[atMagic]) }

// LeaderEpoch is the epoch of the leader that wrote the batch.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[atEpoch:])) }

// CRC is the stored checksum.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[atCRC:]) }

// Attributes are the attribute bits.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[atAttributes:])) }

// Control reports whether the batch holds control records rather than metadata records.
func (b Batch) Control() bool { return b.Attributes()&controlAttribute != 0 }

// LastOffsetDelta is what the header says of the last record's offset; readers of the metadata log go by Count.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[atLastOffsetDelta:]))
}

// Timestamp is when the batch was made, in milliseconds since the epoch.
func (b Batch) Timestamp() int64 { return int64(binary.BigEndian.Uint64(b[atBaseTimestamp:])) }

// MaxTimestamp is the same as Timestamp in every batch KRaft writes.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[atMaxTimestamp:])) }

// ProducerID is -1 in every batch KRaft writes.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[atProducerID:])) }

// ProducerEpoch is -1 in every batch KRaft writes.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[atProducerEpoch:])) }

// BaseSequence is -1 in every batch KRaft writes.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[atBaseSequence:])) }

// Count is the number of records.
func (b Batch) Count() int { return int(int32(binary.BigEndian.Uint32(b[atCount:]))) }

// ParseBatch takes the first batch off b; the batch and the rest share b's memory. It checks
// length, magic, CRC and that there is at least one record, not the records. A batch that is not
// complete gives io.ErrUnexpectedEOF, nothing at all io.EOF.
func ParseBatch(b []byte) (first Batch, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, io.EOF
	}
	size, err := batchSize(b)
	if err == io.ErrUnexpectedEOF {
		return nil, b, err
	}
	if err != nil {
		return nil, b, fmt.Errorf("records: %w", err)
	}
	if size > len(b) {
		return nil, b, io.ErrUnexpectedEOF
	}
	first = Batch(b[:size:size])
	if err := first.checkHeader(); err != nil {
		return nil, b, fmt.Errorf("records: %w", err)
	}
	return first, b[size:], nil
}

// batchSize tells from the first bytes of a batch how long it is; it needs atMagic+1 of them.
func batchSize(b []byte) (int, error) {
	if len(b) < beforeLength {
		return 0, io.ErrUnexpectedEOF
	}
	length := int32(binary.BigEndian.Uint32(b[atLength:]))
	if length < leastLengthField {
		return 0, fmt.Errorf("the batch's length field is %d", length)
	}
	if len(b) <= atMagic {
		return 0, io.ErrUnexpectedEOF
	}
	if b[atMagic] != batchMagic {
		return 0, fmt.Errorf("the batch's magic is %d, not %d", int8(b[atMagic]), batchMagic)
	}
	return int(length) + beforeLength, nil
}

// checkHeader checks a batch that has the length it says.
func (b Batch) checkHeader() error {
	if len(b) < atRecords {
		return fmt.Errorf("a batch of %d bytes has no room for its header", len(b))
	}
	if crc := crc32.Checksum(b[atAttributes:], crcTable); crc != b.CRC() {
		return fmt.Errorf("the batch at offset %d is damaged: its CRC is %08x and should be %08x", b.BaseOffset(), b.CRC(), crc)
	}
	if n := b.Count(); n < 1 {
		return fmt.Errorf("the batch at offset %d says it has %d records", b.BaseOffset(), n)
	}
	return nil
}

// RawRecord is one record of a batch. Key and Value share the batch's memory.
type RawRecord struct {
	Offset int64
	Key    []byte // nil in a data batch
	Value  []byte
}

// Records goes through the records as Apache's raft reader does: timestamps must not differ, there
// are no headers, a data record has a value and no key, a control record has both. Offsets follow
// from the position. After an error nothing comes.
func (b Batch) Records() iter.Seq2[RawRecord, error] {
	return func(yield func(RawRecord, error) bool) {
		if b.Attributes()&compressionMask != 0 {
			yield(RawRecord{}, fmt.Errorf("records: the batch at offset %d is compressed, which the metadata log never is", b.BaseOffset()))
			return
		}
		rest := []byte(b[atRecords:])
		for i := range b.Count() {
			offset := b.BaseOffset() + int64(i)
			n, size := readVarint(rest)
			if size == 0 || n <= 0 || int(n) > len(rest)-size {
				yield(RawRecord{}, fmt.Errorf("records: the record at offset %d has no valid length", offset))
				return
			}
			r := RawRecord{Offset: offset}
			if err := r.parse(rest[size:size+int(n)], b.Control()); err != nil {
				yield(RawRecord{}, fmt.Errorf("records: the record at offset %d %w", offset, err))
				return
			}
			if !yield(r, nil) {
				return
			}
			rest = rest[size+int(n):]
		}
	}
}

// What may be wrong with a record's envelope.
var (
	errEnvelope  = errors.New("is cut off or malformed")
	errTimestamp = errors.New("has a timestamp of its own")
	errHeaders   = errors.New("has headers")
	errKeyInData = errors.New("has a key, which only control records have")
	errNoKey     = errors.New("has no key, which control records have")
	errNoValue   = errors.New("has no value")
)

// parse reads the record's envelope, without the length in front:
//
//	int8 attributes | varlong timestamp delta | varint offset delta
//	varint key length (-1: none) | key | varint value length | value | varint headers
func (r *RawRecord) parse(b []byte, control bool) error {
	pos := 1 // attributes mean nothing
	if pos >= len(b) {
		return errEnvelope
	}
	timestamp, n := readVarlong(b[pos:])
	if n == 0 {
		return errEnvelope
	}
	if timestamp != 0 {
		return errTimestamp
	}
	pos += n
	if _, n = readVarint(b[pos:]); n == 0 { // the offset follows from the position
		return errEnvelope
	}
	pos += n
	var err error
	if r.Key, pos, err = envelopeBytes(b, pos); err != nil {
		return err
	}
	if r.Value, _, err = envelopeBytes(b, pos); err != nil {
		return err
	}
	// Apache looks at the last byte, wherever the value ends.
	if b[len(b)-1] != 0 {
		return errHeaders
	}
	switch {
	case len(r.Value) == 0:
		return errNoValue
	case control && len(r.Key) == 0:
		return errNoKey
	case !control && r.Key != nil:
		return errKeyInData
	}
	return nil
}

// envelopeBytes reads a length and that many bytes; a negative length is null.
func envelopeBytes(b []byte, pos int) ([]byte, int, error) {
	length, n := readVarint(b[pos:])
	if n == 0 {
		return nil, 0, errEnvelope
	}
	pos += n
	if length < 0 {
		return nil, pos, nil
	}
	if int(length) > len(b)-pos {
		return nil, 0, errEnvelope
	}
	return b[pos : pos+int(length) : pos+int(length)], pos + int(length), nil
}

// leastRecord is about what a record takes at least; it bounds what a count of records is believed.
const leastRecord = 10

// Decode reads a data batch's records as Apache does. They keep nothing of the batch.
func (b Batch) Decode() ([]Record, error) {
	if b.Control() {
		return nil, fmt.Errorf("records: the batch at offset %d holds control records", b.BaseOffset())
	}
	c := newCodec()
	defer c.free()
	records := make([]Record, 0, min(b.Count(), len(b)/leastRecord+1))
	for raw, err := range b.Records() {
		if err != nil {
			return nil, err
		}
		r, _, err := c.readRecord(raw.Value)
		if err != nil {
			return nil, fmt.Errorf("records: offset %d: %w", raw.Offset, err)
		}
		records = append(records, r)
	}
	return records, nil
}

// DecodeControl reads a control batch's records as Apache's raft reader does.
func (b Batch) DecodeControl() ([]ControlRecord, error) {
	if !b.Control() {
		return nil, fmt.Errorf("records: the batch at offset %d holds no control records", b.BaseOffset())
	}
	var records []ControlRecord
	for raw, err := range b.Records() {
		if err != nil {
			return nil, err
		}
		r, err := ReadControl(raw.Key, raw.Value)
		if err != nil {
			return nil, fmt.Errorf("records: offset %d: %w", raw.Offset, err)
		}
		records = append(records, r)
	}
	return records, nil
}

// Check reports what in the batch is not as KRaft writes it, though its readers do not look:
// header fields, offset deltas, record attributes, lengths in their shortest form, nothing left
// over. Control records are checked whole, metadata records only for their envelope.
func (b Batch) Check() error {
	if err := b.check(); err != nil {
		return fmt.Errorf("records: the batch at offset %d %w", b.BaseOffset(), err)
	}
	return nil
}

func (b Batch) check() error {
	switch {
	case b.BaseOffset() < 0 || b.EndOffset() <= b.BaseOffset():
		return errors.New("has an offset out of range")
	case b.LeaderEpoch() < 0:
		return fmt.Errorf("has leader epoch %d", b.LeaderEpoch())
	case b.Attributes()&^controlAttribute != 0:
		return fmt.Errorf("has attributes %#x", b.Attributes())
	case int(b.LastOffsetDelta()) != b.Count()-1:
		return fmt.Errorf("has last offset delta %d and %d records", b.LastOffsetDelta(), b.Count())
	case b.Timestamp() != b.MaxTimestamp():
		return errors.New("has two timestamps")
	case b.ProducerID() != -1 || b.ProducerEpoch() != -1 || b.BaseSequence() != -1:
		return errors.New("has a producer")
	case len(b) > MaxBatchBytes:
		return fmt.Errorf("has %d bytes, more than %d", len(b), MaxBatchBytes)
	}
	var as []byte // each record as KRaft would have written it
	size := atRecords
	for raw, err := range b.Records() {
		if err != nil {
			return err
		}
		as = appendEnvelope(as[:0], int32(raw.Offset-b.BaseOffset()), raw.Key, raw.Value)
		if !bytes.HasPrefix(b[size:], as) {
			return fmt.Errorf("has a record at offset %d whose attributes, offset delta or lengths are not as KRaft writes them", raw.Offset)
		}
		size += len(as)
		if b.Control() {
			if _, err := ReadControlStrict(raw.Key, raw.Value); err != nil {
				return fmt.Errorf("has a record at offset %d: %w", raw.Offset, err)
			}
		}
	}
	if size != len(b) {
		return fmt.Errorf("has %d bytes after its last record", len(b)-size)
	}
	return nil
}

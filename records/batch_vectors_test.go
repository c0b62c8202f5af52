package records

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

// batchContent is a batch as a dump shows it.
type batchContent struct {
	BaseOffset           int64
	BatchLength          int32
	PartitionLeaderEpoch int32
	Magic                int8
	CRC                  uint32
	Attributes           int16
	LastOffsetDelta      int32
	BaseTimestamp        int64
	MaxTimestamp         int64
	ProducerID           int64
	ProducerEpoch        int16
	BaseSequence         int32
	RecordCount          int
	Control              bool
	Records              []struct {
		Offset      int64
		ControlType ControlType
		Type        string
		APIKey      Key
		Version     int16
		JSON        json.RawMessage
		KeyHex      hexBytes
		ValueHex    hexBytes
	}
}

type batchVector struct {
	Kind    string
	Batches int
	Content []batchContent
	Hex     hexBytes
}

func TestEveryBatchVectorIsReproduced(t *testing.T) {
	readVectors(t, "batches.jsonl.gz", func(line int, v batchVector) {
		rest := []byte(v.Hex)
		var made []byte
		for i, content := range v.Content {
			b, after, err := ParseBatch(rest)
			if err != nil {
				t.Fatalf("line %d: batch %d: %v", line, i, err)
			}
			if err := b.Check(); err != nil {
				t.Errorf("line %d: batch %d: %v", line, i, err)
			}
			rest = after
			compareBatch(t, line, b, content)
			made = append(made, rebuild(t, line, content)...)
		}
		if len(rest) != 0 || v.Batches != len(v.Content) {
			t.Errorf("line %d: %d bytes left", line, len(rest))
		}
		if !bytes.Equal(made, v.Hex) {
			t.Errorf("line %d: rebuilt from JSON\n got %x\nwant %x", line, made, []byte(v.Hex))
		}

		stream := NewBatchReader(iotest(v.Hex))
		for i := range v.Content {
			if _, err := stream.Next(); err != nil {
				t.Errorf("line %d: batch %d from a stream: %v", line, i, err)
			}
		}
		if _, err := stream.Next(); err != io.EOF || stream.Position() != int64(len(v.Hex)) {
			t.Errorf("line %d: the stream ends with %v at %d", line, err, stream.Position())
		}
	})
}

// iotest gives the bytes one at a time.
func iotest(b []byte) io.Reader { return io.MultiReader(byByte(b)...) }

func byByte(b []byte) []io.Reader {
	var rs []io.Reader
	for i := range b {
		rs = append(rs, bytes.NewReader(b[i:i+1]))
	}
	return rs
}

func compareBatch(t *testing.T, line int, b Batch, want batchContent) {
	t.Helper()
	got := batchContent{
		BaseOffset: b.BaseOffset(), BatchLength: int32(len(b) - beforeLength), PartitionLeaderEpoch: b.LeaderEpoch(), Magic: 2,
		CRC: b.CRC(), Attributes: b.Attributes(), LastOffsetDelta: b.LastOffsetDelta(), BaseTimestamp: b.Timestamp(),
		MaxTimestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence(),
		RecordCount: b.Count(), Control: b.Control(),
	}
	head := want
	head.Records = nil
	if a, b := mustJSON(t, got), mustJSON(t, head); !bytes.Equal(a, b) {
		t.Errorf("line %d: header\n got %s\nwant %s", line, a, b)
	}
	if b.LastOffset() != want.BaseOffset+int64(want.LastOffsetDelta) || b.EndOffset() != b.LastOffset()+1 {
		t.Errorf("line %d: offsets to %d", line, b.LastOffset())
	}
	i := 0
	for raw, err := range b.Records() {
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		w := want.Records[i]
		if raw.Offset != w.Offset || !bytes.Equal(raw.Value, w.ValueHex) || !bytes.Equal(raw.Key, w.KeyHex) {
			t.Errorf("line %d: record %d differs", line, i)
		}
		i++
	}
	if i != len(want.Records) {
		t.Errorf("line %d: %d records", line, i)
	}
	if b.Control() {
		controls, err := b.DecodeControl()
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		for i, c := range controls {
			if printed, err := MarshalControlJSON(c); err != nil || !sameJSON(t, printed, want.Records[i].JSON) ||
				c.ControlType() != want.Records[i].ControlType || c.ControlType().String() != want.Records[i].Type {
				t.Errorf("line %d: %v: %v %s, want %s", line, c.ControlType(), err, printed, want.Records[i].JSON)
			}
		}
		return
	}
	records, err := b.Decode()
	if err != nil {
		t.Fatalf("line %d: %v", line, err)
	}
	for i, r := range records {
		w := want.Records[i]
		if printed, err := MarshalJSON(r, w.Version); err != nil || !sameJSON(t, printed, w.JSON) || r.APIKey() != w.APIKey {
			t.Errorf("line %d: %v: %v %s, want %s", line, r.APIKey(), err, printed, w.JSON)
		}
	}
}

func rebuild(t *testing.T, line int, content batchContent) Batch {
	t.Helper()
	builder := NewBatchBuilder(content.BaseOffset, content.PartitionLeaderEpoch, content.BaseTimestamp)
	for _, r := range content.Records {
		var err error
		if content.Control {
			var c ControlRecord
			if c, err = UnmarshalControlJSON(r.ControlType, r.JSON); err == nil {
				err = builder.AddControl(c)
			}
		} else {
			var m Record
			if m, err = UnmarshalJSON(r.APIKey, r.Version, r.JSON); err == nil {
				if read, _, err := ReadRecord(r.ValueHex); err == nil {
					SetUnknownTags(m, UnknownTags(read)) // the one thing the JSON does not have
				}
				err = builder.Add(m, r.Version)
			}
		}
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
	}
	if builder.Len() != content.RecordCount || builder.Size() != int(content.BatchLength)+beforeLength {
		t.Errorf("line %d: %d records, %d bytes", line, builder.Len(), builder.Size())
	}
	return builder.Batch()
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOddBatchesAreReadAsApacheReadsThem(t *testing.T) {
	readVectors(t, "invalid.jsonl", func(line int, v invalidVector) {
		if v.Kind != "batch" {
			return
		}
		batches, records, err := readAll(v.Hex)
		if (err == nil) != v.Apache.Accepted {
			t.Errorf("line %d: %s: %v, Apache accepts: %v", line, v.Case, err, v.Apache.Accepted)
			return
		}
		if err == nil && (batches != v.Apache.Batches || records != v.Apache.Records) {
			t.Errorf("line %d: %s: %d batches and %d records, Apache %d and %d", line, v.Case, batches, records, v.Apache.Batches, v.Apache.Records)
		}
	})
}

// readAll reads until the end or up to a batch that is not complete.
func readAll(b []byte) (batches, records int, err error) {
	for {
		var first Batch
		if first, b, err = ParseBatch(b); err == io.EOF || err == io.ErrUnexpectedEOF {
			return batches, records, nil
		}
		if err != nil {
			return batches, records, err
		}
		var n int
		if first.Control() {
			var rs []ControlRecord
			rs, err = first.DecodeControl()
			n = len(rs)
		} else {
			var rs []Record
			rs, err = first.Decode()
			n = len(rs)
		}
		if err != nil {
			return batches, records, err
		}
		batches, records = batches+1, records+n
	}
}

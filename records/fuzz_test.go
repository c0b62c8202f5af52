package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
)

// seedRecords calls fn with a few vectors of every type and version, short ones.
func seedRecords(t testing.TB, fn func(v recordVector)) {
	count := map[string]int{}
	for _, v := range recordVectors(t) {
		id := v.Type + string(rune('0'+v.Version))
		if len(v.UnknownTaggedFields) > 0 {
			id += " with unknown tags"
		}
		if len(v.Hex) <= 300 && count[id] < 3 {
			count[id]++
			fn(v)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	seedRecords(f, func(v recordVector) { f.Add([]byte(v.Hex)) })
	readVectors(f, "invalid.jsonl", func(_ int, v invalidVector) {
		if v.Kind == "record" {
			f.Add([]byte(v.Hex))
		}
	})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, version, err := ReadRecord(value)
		if err != nil {
			if _, _, err := ReadRecordStrict(value); err == nil {
				t.Error("the strict reader takes what the other does not")
			}
			return
		}
		checkIdentity(t, r, version)
		if again, _, err := ReadRecordStrict(value); err == nil {
			if written, err := AppendRecord(nil, again, version); err != nil || !bytes.Equal(written, value) {
				t.Errorf("%v version %d passes as strict and is written as %x: %v", r.APIKey(), version, written, err)
			}
		}
	})
}

// checkIdentity writes, reads and writes a record again, and takes it through JSON.
func checkIdentity(t *testing.T, r Record, version int16) {
	t.Helper()
	written, err := AppendRecord(nil, r, version)
	if err != nil {
		return // read from something that cannot be written, such as unknown tags out of order
	}
	again, v, err := ReadRecord(written)
	if err != nil || v != version || !same(again, r) {
		t.Fatalf("%v version %d read back as %+v version %d: %v", r.APIKey(), version, again, v, err)
	}
	text, err := MarshalJSON(r, version)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := UnmarshalJSON(r.APIKey(), version, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if text2, err := MarshalJSON(parsed, version); err != nil || !bytes.Equal(text, text2) {
		t.Errorf("%s became %s: %v", text, text2, err)
	}
}

// same compares records; one with a NaN, which differs from itself, counts as the same.
func same(a, b Record) bool {
	if q, ok := a.(*ClientQuota); ok && q.Value != q.Value {
		return true
	}
	return reflect.DeepEqual(a, b)
}

func FuzzParseBatch(f *testing.F) {
	readVectors(f, "batches.jsonl.gz", func(_ int, v batchVector) {
		if len(v.Hex) < 600 {
			f.Add([]byte(v.Hex))
		}
	})
	readVectors(f, "invalid.jsonl", func(_ int, v invalidVector) {
		if v.Kind == "batch" {
			f.Add([]byte(v.Hex))
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= atRecords && b[0]&1 == 0 {
			b = fixHeader(b) // else the checksum keeps nearly everything out
		}
		first, rest, err := ParseBatch(b)
		if err != nil {
			return
		}
		if len(first)+len(rest) != len(b) {
			t.Fatalf("%d + %d bytes of %d", len(first), len(rest), len(b))
		}
		checkErr := first.Check()
		n := 0
		for _, err := range first.Records() {
			if err != nil {
				if checkErr == nil {
					t.Errorf("a checked batch cannot be read: %v", err)
				}
				return
			}
			n++
		}
		if n != first.Count() {
			t.Errorf("%d records, %d counted", n, first.Count())
		}
		if first.Control() {
			controls, err := first.DecodeControl()
			if err == nil && checkErr == nil {
				builder := NewBatchBuilder(first.BaseOffset(), first.LeaderEpoch(), first.Timestamp())
				for _, c := range controls {
					if err := builder.AddControl(c); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(builder.Batch(), first) {
					t.Errorf("a checked batch is written as %x", builder.Batch())
				}
			}
			return
		}
		rs, err := first.Decode()
		if err == nil && len(rs) != n {
			t.Errorf("%d records decoded", len(rs))
		}
	})
}

// fixHeader gives bytes the length, magic and checksum that a batch of them has.
func fixHeader(b []byte) []byte {
	builder := &BatchBuilder{buf: bytes.Clone(b), count: int32(Batch(b).Count()), control: Batch(b).Control()}
	builder.buf[atMagic] = batchMagic
	return builder.Batch()
}

func FuzzReadCheckpoint(f *testing.F) {
	readVectors(f, "batches.jsonl.gz", func(_ int, v batchVector) {
		if len(v.Kind) > 9 && v.Kind[:9] == "snapshot-" {
			f.Add([]byte(v.Hex))
		}
	})
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 0 && file[0] == 0 {
			file = fixChecksums(file)
		}
		cr, err := ReadCheckpoint(bytes.NewReader(file))
		for err == nil {
			_, err = cr.Next()
		}
		if err == io.EOF && len(file) < 2*atRecords {
			t.Errorf("%d bytes pass as a checkpoint", len(file))
		}
	})
}

// fixChecksums gives each batch of a file the checksum that belongs to it.
func fixChecksums(file []byte) []byte {
	file = bytes.Clone(file)
	for rest := file; ; {
		size, err := batchSize(rest)
		if err != nil || size < atRecords || size > len(rest) {
			return file
		}
		binary.BigEndian.PutUint32(rest[atCRC:], crc32.Checksum(rest[atAttributes:size], crcTable))
		rest = rest[size:]
	}
}

func FuzzUnmarshalJSON(f *testing.F) {
	seedRecords(f, func(v recordVector) { f.Add(uint16(v.APIKey), v.Version, []byte(v.JSON)) })
	f.Fuzz(func(t *testing.T, key uint16, version int16, text []byte) {
		r, err := UnmarshalJSON(Key(key), version, text)
		if err != nil {
			return
		}
		if version >= 0 {
			checkIdentity(t, r, version)
		}
	})
}

// allocated returns how many bytes fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// hostile returns inputs that announce more than they hold, and damaged ones.
func hostile(rng *rand.Rand, value []byte) [][]byte {
	var all [][]byte
	for range 20 {
		b := bytes.Clone(value)
		at := 3 + rng.IntN(max(1, len(b)-3))
		switch rng.IntN(3) {
		case 0: // a huge length or count
			b = append(append(bytes.Clone(b[:min(at, len(b))]), 0xff, 0xff, 0xff, 0xff, byte(rng.IntN(16))), b[min(at, len(b)):]...)
		case 1: // a large one
			b = append(append(bytes.Clone(b[:min(at, len(b))]), 0xff, byte(rng.IntN(128))), b[min(at, len(b)):]...)
		default:
			if at < len(b) {
				b[at] = byte(rng.Uint32())
			}
		}
		all = append(all, b)
	}
	return all
}

func TestReadingAllocatesNoMoreThanASmallMultipleOfTheInput(t *testing.T) {
	const times, fixed = 24, 4 << 10
	check := func(what string, size int, fn func()) {
		t.Helper()
		if got, most := allocated(fn), uint64(times*size+fixed); got > most {
			t.Errorf("%s of %d bytes: %d bytes allocated, more than %d", what, size, got, most)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	seedRecords(t, func(v recordVector) {
		for _, b := range hostile(rng, v.Hex) {
			check(v.Type, len(b), func() { _, _, _ = ReadRecord(b) })
		}
	})

	// The densest things there are: thousands of elements in hardly any bytes.
	dense := func(head []byte, count int, element []byte) []byte {
		b := appendUvarint(bytes.Clone(head), uint32(count+1))
		for range count {
			b = append(b, element...)
		}
		return b
	}
	noOp := []byte{1, 20, 0}
	tags := appendUvarint(bytes.Clone(noOp), 30000)
	for i := range uint32(30000) {
		tags = append(appendUvarint(tags, i), 0)
	}
	for what, b := range map[string][]byte{
		"renewers":             dense([]byte{1, 10, 0, 1, 1}, 60000, []byte{1}),
		"quota entities":       dense([]byte{1, 14, 0}, 30000, []byte{1, 0, 0}),
		"unknown tags":         tags,
		"announced tags":       {1, 20, 0, 0xff, 0xff, 0xff, 0xff, 7, 5, 0},
		"announced replicas":   append(append([]byte{1, 3, 0}, make([]byte, 20)...), 0xff, 0xff, 0xff, 0xff, 7),
		"announced end points": append(append([]byte{1, 0, 0}, make([]byte, 28)...), 0xff, 0xff, 0xff, 0xff, 7),
		"announced salt":       {1, 11, 0, 2, 'u', 1, 0xff, 0xff, 0xff, 0xff, 7},
	} {
		check(what, len(b), func() { _, _, _ = ReadRecord(b) })
	}

	// A batch that announces 2^31-1 records, and a stream that announces 60 MB.
	full := NewBatchBuilder(0, 1, 0)
	for range 1000 {
		if err := full.Add(&NoOp{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	full.count = 1<<31 - 1
	b := full.Batch()
	check("batch", len(b), func() { _, _ = b.Decode() })
	long := bytes.Clone(b[:100])
	long[atLength], long[atLength+1] = 3, 0
	check("stream", 64<<10, func() {
		if _, err := NewBatchReader(bytes.NewReader(long)).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v", err)
		}
	})
}

package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func TestSnapshotFileNames(t *testing.T) {
	for name, id := range map[string]SnapshotID{
		"00000000000000000000-0000000000.checkpoint": {},
		"00000000000000000328-0000000001.checkpoint": {EndOffset: 328, Epoch: 1},
		"09223372036854775807-2147483647.checkpoint": {EndOffset: 1<<63 - 1, Epoch: 1<<31 - 1},
	} {
		if got, ok := ParseSnapshotFileName(name); !ok || got != id || id.FileName() != name {
			t.Errorf("%s: %v, %v, %s", name, got, ok, id.FileName())
		}
		if id.String()+".checkpoint" != name {
			t.Errorf("%s", id)
		}
	}
	for _, name := range []string{
		"", "bootstrap.checkpoint", "00000000000000000328-0000000001.checkpoint.deleted",
		"00000000000000000328-0000000001-5647382910.checkpoint.part", "328-1.checkpoint", "00000000000000000328-0000000001xcheckpoint",
		"99999999999999999999-0000000001.checkpoint", "00000000000000000328-9999999999.checkpoint", "-0000000000000000328-0000000001.checkpoint",
	} {
		if id, ok := ParseSnapshotFileName(name); ok {
			t.Errorf("%q: %v", name, id)
		}
	}
}

func TestSnapshotFilesOfApacheAreReadAndWrittenAgain(t *testing.T) {
	files := 0
	readVectors(t, "batches.jsonl.gz", func(line int, v batchVector) {
		name, ok := strings.CutPrefix(v.Kind, "snapshot-file/")
		if !ok {
			return
		}
		files++
		id, ok := ParseSnapshotFileName(name)
		if !ok {
			t.Fatalf("line %d: %s", line, name)
		}
		cr, err := ReadCheckpoint(bytes.NewReader(v.Hex))
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		if cr.Epoch != id.Epoch {
			t.Errorf("line %d: epoch %d", line, cr.Epoch)
		}
		var again bytes.Buffer
		w := NewCheckpointWriter(&again, id, cr.Header.LastContainedLogTimestamp, v.Content[0].BaseTimestamp, cr.KRaft, cr.Voters)
		for {
			rs, err := cr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("line %d: %v", line, err)
			}
			if err := w.Append(rs, LatestMetadataVersion); err != nil {
				t.Fatalf("line %d: %v", line, err)
			}
		}
		if _, err := cr.Next(); err != io.EOF {
			t.Errorf("line %d: after the end: %v", line, err)
		}
		if err := w.Close(); err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		// The vectors' records have versions of all kinds, the writer chooses its own: only what is
		// around them can be the same.
		if len(v.Content) == 2 && !bytes.Equal(again.Bytes(), v.Hex) {
			t.Errorf("line %d:\n got %x\nwant %x", line, again.Bytes(), v.Hex)
		}
		for i, content := range v.Content {
			if i != 1 && !strings.Contains(fmt.Sprintf("%x", again.Bytes()), fmt.Sprintf("%x", v.Hex[batchStart(v, i):][atLastOffsetDelta:content.BatchLength])) {
				t.Errorf("line %d: batch %d is not there", line, i)
			}
		}
	})
	if files < 6 {
		t.Errorf("%d snapshot files", files)
	}
}

func batchStart(v batchVector, i int) (pos int) {
	for _, c := range v.Content[:i] {
		pos += int(c.BatchLength) + beforeLength
	}
	return pos
}

// someCheckpoint has n records, of so many bytes each at least.
func someCheckpoint(t testing.TB, n, size int) []byte {
	t.Helper()
	var file bytes.Buffer
	w := NewCheckpointWriter(&file, SnapshotID{EndOffset: 500, Epoch: 3}, 1000, 2000, &KRaftVersion{Version: 1},
		&KRaftVoters{Voters: []Voter{{ID: 1, DirectoryID: MetadataTopicID, Endpoints: []VoterEndpoint{{Name: "CONTROLLER", Host: "localhost", Port: 9093}}, MaxKRaft: 1}}})
	value := strings.Repeat("x", size)
	for i := range n {
		if err := w.Append([]Record{&Config{ResourceType: 2, ResourceName: fmt.Sprint(i), Name: "k", Value: &value}}, LatestMetadataVersion); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestCheckpointIsCutIntoBatchesByGroups(t *testing.T) {
	for _, c := range []struct {
		records, size int
		counts        []int
	}{
		{0, 0, nil},
		{1, 0, []int{1}},
		{5000, 10, []int{5000}},
		{5000, 3000, []int{2048, 2048, 904}},     // two groups of 1024 fit into 8 MiB, three do not
		{1500, 20000, []int{418, 418, 418, 246}}, // not even one fits, so it is cut where the batch is full
	} {
		file := someCheckpoint(t, c.records, c.size)
		cr, err := ReadCheckpoint(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var counts []int
		next := 0
		for {
			b, err := cr.NextBatch()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Check(); err != nil {
				t.Error(err)
			}
			counts = append(counts, b.Count())
			rs, err := b.Decode()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rs {
				if name := r.(*Config).ResourceName; name != fmt.Sprint(next) {
					t.Fatalf("record %d is %s", next, name)
				}
				next++
			}
		}
		if next != c.records {
			t.Errorf("%d records, want %d", next, c.records)
		}
		if !reflect.DeepEqual(counts, c.counts) {
			t.Errorf("%d records of %d bytes: batches of %v, want %v", c.records, c.size, counts, c.counts)
		}
	}
}

func TestUnfinishedOrDamagedCheckpointIsNotTakenForWhole(t *testing.T) {
	file := someCheckpoint(t, 20, 5)
	readAll := func(file []byte) (records int, err error) {
		cr, err := ReadCheckpoint(bytes.NewReader(file))
		for err == nil {
			var rs []Record
			rs, err = cr.Next()
			records += len(rs)
		}
		return records, err
	}
	if n, err := readAll(file); n != 20 || err != io.EOF {
		t.Fatalf("%d records, %v", n, err)
	}
	for cut := range file {
		if _, err := readAll(file[:cut]); err == io.EOF || err == nil {
			t.Fatalf("cut to %d bytes: %v", cut, err)
		}
	}
	for at := range file {
		damaged := bytes.Clone(file)
		damaged[at] ^= 1 << (at % 8)
		// Even where no checksum covers it: offsets must be dense and epochs equal.
		if _, err := readAll(damaged); err == io.EOF {
			t.Errorf("a bit flipped at %d is not noticed", at)
		}
	}
	if _, err := readAll(append(bytes.Clone(file), 0)); err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a byte after the footer: %v", err)
	}
	first, rest, err := ParseBatch(file)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := ParseBatch(rest)
	if err != nil {
		t.Fatal(err)
	}
	for what, file := range map[string][]byte{
		"without its header": file[len(first):],
		"header twice":       append(bytes.Clone(first), file...),
		"data twice":         append(bytes.Clone(file[:len(first)+len(second)]), rest...),
		"footer first":       rest[len(second):],
	} {
		if _, err := readAll(file); err == io.EOF {
			t.Errorf("%s: taken for whole", what)
		}
	}
}

// failingWriter takes so many bytes and then fails.
type failingWriter int

func (w *failingWriter) Write(b []byte) (int, error) {
	if *w -= failingWriter(len(b)); *w < 0 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

func TestCheckpointWriterReportsTheFirstFailure(t *testing.T) {
	size := len(someCheckpoint(t, 3, 0))
	for room := range size {
		out := failingWriter(room)
		w := NewCheckpointWriter(&out, SnapshotID{}, 0, 0, nil, nil)
		_ = w.Append([]Record{&NoOp{}, &NoOp{}}, LatestMetadataVersion)
		err := w.Close()
		if room < 200 && (err == nil || !strings.Contains(err.Error(), "disk full")) {
			t.Fatalf("%d bytes of room: %v", room, err)
		}
	}
	w := NewCheckpointWriter(io.Discard, SnapshotID{}, 0, 0, nil, nil)
	if err := w.Append([]Record{&Partition{Directories: make([]UUID, 1)}}, MinMetadataVersion); err == nil {
		t.Error("directories written at a level that has none")
	}
	if err := w.Close(); err == nil {
		t.Error("closed in spite of it")
	}
	w = NewCheckpointWriter(io.Discard, SnapshotID{}, 0, 0, nil, nil)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if w.Append([]Record{&NoOp{}}, LatestMetadataVersion) == nil || w.Close() == nil {
		t.Error("a closed checkpoint can be written to")
	}
}

func TestBatchReaderPassesOnWhatItsSourceFailedWith(t *testing.T) {
	file := someCheckpoint(t, 1, 0)
	broken := errors.New("broken disk")
	for _, at := range []int{0, 10, 70, len(file) - 3} {
		r := NewBatchReader(io.MultiReader(bytes.NewReader(file[:at]), errReader{broken}))
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestRandomBatchesSurviveARoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	all := recordVectors(t)
	for range 50 {
		b := NewBatchBuilder(rng.Int64N(1<<40), rng.Int32N(100), rng.Int64N(1<<41))
		var want []json.RawMessage
		var versions []int16
		for range 1 + rng.IntN(40) {
			v := all[rng.IntN(len(all))]
			r, err := UnmarshalJSON(v.APIKey, v.Version, v.JSON)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Add(r, v.Version); err != nil {
				t.Fatal(err)
			}
			want, versions = append(want, v.JSON), append(versions, v.Version)
		}
		batch := b.Batch()
		if err := batch.Check(); err != nil {
			t.Fatal(err)
		}
		rs, err := batch.Decode()
		if err != nil || len(rs) != len(want) {
			t.Fatal(err)
		}
		for i, r := range rs {
			if text, err := MarshalJSON(r, versions[i]); err != nil || !sameJSON(t, text, want[i]) {
				t.Errorf("%s, want %s: %v", text, want[i], err)
			}
		}
	}
}

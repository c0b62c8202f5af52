package records

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
)

// hexBytes is a byte string that JSON has as hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type tagVector struct {
	Tag  uint32
	Data hexBytes `json:"hex"`
}

type recordVector struct {
	Type                string
	APIKey              Key
	Version             int16
	Sample              string
	JSON                json.RawMessage
	UnknownTaggedFields []tagVector
	Hex                 hexBytes
}

func (v *recordVector) unknown() []UnknownTag {
	var tags []UnknownTag
	for _, t := range v.UnknownTaggedFields {
		tags = append(tags, UnknownTag{Tag: t.Tag, Data: t.Data})
	}
	return tags
}

// readVectors calls fn with each line of a file in testdata.
func readVectors[T any](t testing.TB, name string, fn func(line int, v T)) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		n++
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s:%d: %v", name, n, err)
		}
		fn(n, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func recordVectors(t testing.TB) []recordVector {
	var all []recordVector
	readVectors(t, "records.jsonl.gz", func(_ int, v recordVector) { all = append(all, v) })
	return all
}

// sameJSON compares as JSON values, with numbers as they are written.
func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	return reflect.DeepEqual(jsonValue(t, a), jsonValue(t, b))
}

func jsonValue(t testing.TB, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.200s: %v", b, err)
	}
	return v
}

func TestEveryRecordVectorIsReproduced(t *testing.T) {
	seen := map[string]bool{}
	for i, v := range recordVectors(t) {
		seen[v.Type+string(rune('0'+v.Version))] = true
		r, version, err := ReadRecord(v.Hex)
		if err != nil {
			t.Errorf("line %d: %v version %d: %v", i+1, v.Type, v.Version, err)
			continue
		}
		if r.APIKey() != v.APIKey || r.APIKey().String() != v.Type || version != v.Version {
			t.Errorf("line %d: read as %v version %d, is %v version %d", i+1, r.APIKey(), version, v.Type, v.Version)
		}
		printed, err := MarshalJSON(r, version)
		if err != nil || !sameJSON(t, printed, v.JSON) {
			t.Errorf("line %d: %v\n got %.300s\nwant %.300s", i+1, err, printed, v.JSON)
		}
		if !reflect.DeepEqual(UnknownTags(r), v.unknown()) {
			t.Errorf("line %d: unknown tags %v, want %v", i+1, UnknownTags(r), v.unknown())
		}
		if again, err := AppendRecord(nil, r, version); err != nil || !bytes.Equal(again, v.Hex) {
			t.Errorf("line %d: %v\n got %.300x\nwant %.300x", i+1, err, again, v.Hex)
		}

		parsed, err := UnmarshalJSON(v.APIKey, v.Version, v.JSON)
		if err != nil {
			t.Errorf("line %d: %v", i+1, err)
			continue
		}
		SetUnknownTags(parsed, v.unknown())
		if made, err := AppendRecord([]byte("before"), parsed, v.Version); err != nil || !bytes.Equal(made, append([]byte("before"), v.Hex...)) {
			t.Errorf("line %d: from JSON: %v\n got %.300x\nwant %.300x", i+1, err, made, v.Hex)
		}
		if !reflect.DeepEqual(parsed, r) && !strings.Contains(string(v.JSON), "NaN") {
			t.Errorf("line %d: %#v parsed from JSON, %#v read", i+1, parsed, r)
		}
	}
	for _, k := range Keys() {
		for v := range HighestVersion(k) + 1 {
			if !seen[k.String()+string(rune('0'+v))] {
				t.Errorf("no vector for %v version %d", k, v)
			}
		}
	}
}

type invalidVector struct {
	Kind, Case string
	Hex        hexBytes
	Apache     struct {
		Accepted      bool
		Type          string
		Version       int16
		JSON          json.RawMessage
		ReencodedHex  *hexBytes
		ReencodeError string
		Batches       int
		Records       int
	}
}

// laterVersion says that a vector's record has a version above the highest known, which Apache
// takes for some types and this package for none.
func (v *invalidVector) laterVersion() bool {
	return strings.Contains(v.Case, "with version") && (strings.Contains(v.Case, "127") || strings.Contains(v.Case, "above the highest"))
}

func TestOddRecordsAreReadAsApacheReadsThem(t *testing.T) {
	readVectors(t, "invalid.jsonl", func(line int, v invalidVector) {
		if v.Kind != "record" {
			return
		}
		r, version, err := ReadRecord(v.Hex)
		if want := v.Apache.Accepted && !v.laterVersion(); (err == nil) != want {
			t.Errorf("line %d: %s: %v, Apache accepts: %v", line, v.Case, err, v.Apache.Accepted)
		}
		if err != nil {
			return
		}
		if r.APIKey().String() != v.Apache.Type || version != v.Apache.Version {
			t.Errorf("line %d: %s: read as %v version %d", line, v.Case, r.APIKey(), version)
		}
		if printed, err := MarshalJSON(r, version); err != nil || !sameJSON(t, printed, v.Apache.JSON) {
			t.Errorf("line %d: %s: %v\n got %s\nwant %s", line, v.Case, err, printed, v.Apache.JSON)
		}
		again, err := AppendRecord(nil, r, version)
		if v.Apache.ReencodedHex == nil {
			if err == nil {
				t.Errorf("line %d: %s: written again as %x, Apache says %s", line, v.Case, again, v.Apache.ReencodeError)
			}
			return
		}
		if err != nil || !bytes.Equal(again, *v.Apache.ReencodedHex) {
			t.Errorf("line %d: %s: %v\n got %x\nwant %x", line, v.Case, err, again, *v.Apache.ReencodedHex)
		}
	})
}

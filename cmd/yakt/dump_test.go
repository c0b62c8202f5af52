package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"yakt/records"
)

// clusterFiles are the files of a real controller by name, see testdata/cluster-small/README.md.
func clusterFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, dir := range []string{"testdata/cluster-small", "../../controller/image/testdata/cluster-small"} {
		for _, pattern := range []string{"*.log", "*.checkpoint"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				files[filepath.Base(f)] = f
			}
		}
	}
	return files
}

func recordedDump(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open("testdata/cluster-small/" + name + ".jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n")
}

// value parses JSON without taking whole numbers for floats.
func value(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return v
}

func dump(c dumpCmd, stdin string) ([]string, error) {
	var out bytes.Buffer
	err := c.run(strings.NewReader(stdin), &out, io.Discard)
	if out.Len() == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), err
}

func TestDumpPrintsWhatApachesToolsPrint(t *testing.T) {
	files := clusterFiles(t)
	if len(files) != 7 {
		t.Fatalf("%d files", len(files))
	}
	for name, path := range files {
		for _, strict := range []bool{false, true} {
			got, err := dump(dumpCmd{Files: []string{path}, Strict: strict}, "")
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			want := recordedDump(t, name)
			if len(got) != len(want) {
				t.Fatalf("%s: %d lines, want %d", name, len(got), len(want))
			}
			for i := range want {
				if !reflect.DeepEqual(value(t, got[i]), value(t, want[i])) {
					t.Errorf("%s line %d:\n got %s\nwant %s", name, i+1, got[i], want[i])
				}
			}
		}
	}
}

func TestDumpOfADamagedFilePrintsWhatCanBeReadAndSaysWhereItEnds(t *testing.T) {
	log, err := os.ReadFile(clusterFiles(t)["00000000000000000000.log"])
	if err != nil {
		t.Fatal(err)
	}
	whole := recordedDump(t, "00000000000000000000.log")
	first, rest, err := records.ParseBatch(log)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := records.ParseBatch(rest)
	if err != nil {
		t.Fatal(err)
	}
	two := len(first) + len(second)
	flip := func(at int) []byte {
		damaged := bytes.Clone(log)
		damaged[at] ^= 0x10
		return damaged
	}
	for _, c := range []struct {
		what  string
		file  []byte
		lines int
		pos   int
	}{
		{"a flipped bit in the third batch's records", flip(two + 70), 2, two},
		{"a flipped bit in the third batch's magic", flip(two + 16), 2, two},
		{"a file that ends in the third batch's header", log[:two+20], 2, two},
		{"a file that ends in the third batch's length", log[:two+3], 2, two},
		{"a file that ends with the third batch's records", log[:two+70], 2, two},
		{"zeros after the second batch", append(bytes.Clone(log[:two]), make([]byte, 100)...), 2, two},
		{"a flipped bit in the first batch's length", flip(9), 0, 0},
	} {
		path := filepath.Join(t.TempDir(), "damaged.log")
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := dump(dumpCmd{Files: []string{path}}, "")
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s: ", path)) || !strings.Contains(err.Error(), fmt.Sprintf("byte %d: ", c.pos)) {
			t.Errorf("%s: %v, want byte %d", c.what, err, c.pos)
		}
		if len(got) != c.lines || c.lines > 0 && !reflect.DeepEqual(value(t, got[c.lines-1]), value(t, whole[c.lines-1])) {
			t.Errorf("%s: %d lines, want %d", c.what, len(got), c.lines)
		}
	}
}

func TestDumpKnowsASnapshotThatWasNeverFinished(t *testing.T) {
	file, err := os.ReadFile(clusterFiles(t)["00000000000000000328-0000000001.checkpoint"])
	if err != nil {
		t.Fatal(err)
	}
	first, rest, err := records.ParseBatch(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.checkpoint")
	for cut, lines := range map[int]int{len(first): 1, len(file) - len(lastBatch(t, rest)): 2, 0: 0} {
		if err := os.WriteFile(path, file[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := dump(dumpCmd{Files: []string{path}}, "")
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s: byte %d:", path, cut)) || len(got) != lines {
			t.Errorf("cut at %d: %d lines, %v", cut, len(got), err)
		}
	}
}

// withChecksum gives the batch the checksum that belongs to it.
func withChecksum(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func lastBatch(t *testing.T, file []byte) (last records.Batch) {
	t.Helper()
	for len(file) > 0 {
		var err error
		if last, file, err = records.ParseBatch(file); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

func TestDumpGoesOnAfterARecordItCannotRead(t *testing.T) {
	good := records.NewBatchBuilder(3, 1, 1760000000000)
	for range 3 {
		if err := good.Add(&records.NoOp{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	// The middle record becomes one of a type nobody knows, in a batch whose checksum is right.
	b := good.Batch()
	at := bytes.LastIndex(b[:len(b)-8], []byte{1, 20, 0, 0})
	file := withChecksum(append(append(bytes.Clone(b[:at+1]), 6), b[at+2:]...))
	path := filepath.Join(t.TempDir(), "later.log")
	if err := os.WriteFile(path, append(file, b...), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := dump(dumpCmd{Files: []string{path, filepath.Join(t.TempDir(), "none")}}, "")
	if err == nil || !strings.Contains(err.Error(), path+": byte 0: offset 4") || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v", err)
	}
	if len(got) != 2 {
		t.Fatalf("%d lines", len(got))
	}
	rs := value(t, got[0]).(map[string]any)["records"].([]any)
	if len(rs) != 3 || rs[1].(map[string]any)["error"] == nil || rs[2].(map[string]any)["type"] != "NoOpRecord" {
		t.Errorf("%s", got[0])
	}
}

func TestDumpOfHexAnswersEveryLine(t *testing.T) {
	register := "010000000000a438a7e1352f7b03a6c15d32424b235e8800000000000029cf01010000"
	lines := []struct{ in, json, again string }{
		{"01140000", `{"type":"NoOpRecord","version":0,"data":{}}`, "01140000"},
		{"", `{"error":"byte 0: frame version begins with a varint that is too long or cut off"}`, ""},
		{"zz", `{"error":"encoding/hex: invalid byte: U+007A 'z'"}`, ""},
		{"011", `{"error":"encoding/hex: odd length hex string"}`, ""},
		{" 011400014a047e8eb3ac\t\r", `{"type":"NoOpRecord","version":0,"data":{},"unknownTaggedFields":[{"tag":74,"hex":"7e8eb3ac"}]}`, "011400014a047e8eb3ac"},
		{"0194000000", `{"type":"NoOpRecord","version":0,"data":{}}`, "01140000"},
		{strings.ToUpper(register[:len(register)-2]) + "0100",
			`{"type":"RegisterBrokerRecord","version":0,"data":{"brokerId":164,"incarnationId":"OKfhNS97A6bBXTJCSyNeiA","brokerEpoch":10703,"endPoints":[],"features":[],"rack":null,"fenced":true}}`,
			register[:len(register)-2] + "0100"},
		{"011c0100", `{"error":"ClearElrRecord has no version 1: the highest known is 0"}`, ""},
		{strings.Repeat("0", maxHexLine+100), fmt.Sprintf(`{"error":"the line is longer than any record value, %d characters"}`, maxHexLine), ""},
		{"01180000", `{"type":"EndTransactionRecord","version":0,"data":{}}`, "01180000"},
	}
	var in []string
	for _, l := range lines {
		in = append(in, l.in)
	}
	for _, end := range []string{"", "\n"} {
		got, err := dump(dumpCmd{Hex: true}, strings.Join(in, "\n")+end)
		if err != nil || len(got) != len(lines) {
			t.Fatalf("%v, %d lines", err, len(got))
		}
		again, err := dump(dumpCmd{Hex: true, Roundtrip: true}, strings.Join(in, "\n")+end)
		if err != nil || len(again) != len(lines) {
			t.Fatalf("%v, %d lines", err, len(again))
		}
		for i, l := range lines {
			if l.json != "" && !reflect.DeepEqual(value(t, got[i]), value(t, l.json)) {
				t.Errorf("%.40q: %s, want %s", l.in, got[i], l.json)
			}
			if l.again != "" && again[i] != l.again {
				t.Errorf("%.40q: %s, want %s", l.in, again[i], l.again)
			}
			if l.again == "" && !strings.HasPrefix(again[i], `{"error":`) {
				t.Errorf("%.40q: %s", l.in, again[i])
			}
		}
	}
	strict, err := dump(dumpCmd{Hex: true, Strict: true}, "0194000000\n01140000\n")
	if err != nil || len(strict) != 2 || !strings.HasPrefix(strict[0], `{"error":`) || !strings.HasPrefix(strict[1], `{"type":`) {
		t.Errorf("%v, %q", err, strict)
	}
}

func TestDumpOfHexAnswersBeforeTheInputEnds(t *testing.T) {
	in, type_ := io.Pipe()
	read, out := io.Pipe()
	done := make(chan error)
	go func() { done <- (&dumpCmd{Hex: true}).run(in, out, io.Discard) }()
	answers := bufio.NewReader(read)
	for range 3 {
		if _, err := type_.Write([]byte("01140000\n")); err != nil {
			t.Fatal(err)
		}
		if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "NoOp") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	type_.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDumpRefusesFlagsThatDoNotGoTogether(t *testing.T) {
	for _, c := range []dumpCmd{{}, {Roundtrip: true, Files: []string{"x"}}, {Hex: true, Files: []string{"x"}}} {
		if got, err := dump(c, ""); err == nil || got != nil {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

func TestDumpReproducesEveryVectorOfTheRecordsPackage(t *testing.T) {
	f, err := os.Open("../../records/testdata/records.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	type vector struct {
		Type                string
		Version             int
		JSON                json.RawMessage
		UnknownTaggedFields json.RawMessage
		Hex                 string
	}
	var vectors []vector
	var in strings.Builder
	for d := json.NewDecoder(z); ; {
		var v vector
		if err := d.Decode(&v); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, v)
		in.WriteString(v.Hex + "\n")
	}
	got, err := dump(dumpCmd{Hex: true}, in.String())
	if err != nil || len(got) != len(vectors) {
		t.Fatalf("%v, %d lines", err, len(got))
	}
	again, err := dump(dumpCmd{Hex: true, Roundtrip: true}, in.String())
	if err != nil || len(again) != len(vectors) {
		t.Fatalf("%v, %d lines", err, len(again))
	}
	for i, v := range vectors {
		want := map[string]any{"type": v.Type, "version": json.Number(fmt.Sprint(v.Version)), "data": value(t, string(v.JSON))}
		if v.UnknownTaggedFields != nil {
			want["unknownTaggedFields"] = value(t, string(v.UnknownTaggedFields))
		}
		if !reflect.DeepEqual(value(t, got[i]), any(want)) {
			t.Errorf("line %d: %.300s", i+1, got[i])
		}
		if b, err := hex.DecodeString(again[i]); err != nil || again[i] != v.Hex {
			t.Errorf("line %d: %.200x", i+1, b)
		}
	}
}

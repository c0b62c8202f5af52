package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yakt/controller/image"
	"yakt/raftlog"
	"yakt/records"
)

// A directory that a node has left: what it served last, from its log's start on, and its image there.
type left struct {
	dir    string
	log    []byte
	start  int64
	image  *image.Image
	newest records.SnapshotID
}

// leftBehind runs a node until its log begins with a snapshot, and stops it.
func leftBehind(t *testing.T) left {
	t.Helper()
	dir := t.TempDir()
	n, stop := testNode(t, dir)
	for w := range 3 {
		changeMuch(t, n.controller, 0, w)
		if w < 2 {
			snapshot(t, n)
		}
	}
	for _, run := range []func() error{
		func() error { return (&dumpCmd{Files: []string{dir}}).run(nil, io.Discard, io.Discard) },
		func() error {
			return (&exportCmd{Dir: dir, To: filepath.Join(t.TempDir(), "out")}).run(io.Discard, 1<<20)
		},
		func() error { return (&recoverCmd{Dir: dir, Yes: true}).run(io.Discard) },
	} {
		if err := run(); !errors.Is(err, raftlog.ErrInUse) || !strings.Contains(err.Error(), "stop it first") || exitCode(err) != 2 {
			t.Fatal("on a running node:", err)
		}
	}
	l := left{dir: dir, start: n.log.StartOffset(), image: n.controller.Image()}
	for at := l.start; at < l.image.EndOffset(); {
		data, err := n.log.Read(at, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		l.log = append(l.log, data...)
		for len(data) > 0 {
			b, rest, err := records.ParseBatch(data)
			if err != nil {
				t.Fatal(err)
			}
			at, data = b.EndOffset(), rest
		}
	}
	l.newest, _ = n.log.LatestSnapshot()
	stop()
	if l.start == 0 || len(l.log) == 0 || l.newest.EndOffset <= l.start {
		t.Fatalf("a log from %d with %d bytes, and snapshot %v", l.start, len(l.log), l.newest)
	}
	return l
}

// TestDumpAndExportGiveWhatTheNodeServed: the same batches to the byte, from the log's start to its end, and an image to match.
func TestDumpAndExportGiveWhatTheNodeServed(t *testing.T) {
	l := leftBehind(t)
	var printed, said bytes.Buffer
	if err := (&dumpCmd{Strict: true, Files: []string{l.dir}}).run(nil, &printed, &said); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(t.TempDir(), "served.log")
	if err := os.WriteFile(segment, l.log, 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := dump(dumpCmd{Files: []string{segment}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(printed.String(), "\n"), "\n"); !slices.Equal(got, want) {
		t.Fatalf("%d lines, and the node served %d batches", len(got), len(want))
	}
	for _, s := range []string{"all of it is committed", ".checkpoint", "node 1 of cluster"} {
		if !strings.Contains(said.String(), s) {
			t.Errorf("it does not say %q: %s", s, said.String())
		}
	}

	for _, perSegment := range []int64{segmentBytes, 5000} {
		out := filepath.Join(t.TempDir(), "out")
		export := &exportCmd{Dir: l.dir, To: out}
		if err := export.run(io.Discard, perSegment); err != nil {
			t.Fatal(err)
		}
		checkExport(t, filepath.Join(out, metadataDir), l, perSegment)
		if err := export.run(io.Discard, perSegment); err == nil || !strings.Contains(err.Error(), "there already") {
			t.Error("exported over what was there:", err)
		}
		if names, err := os.ReadDir(out); err != nil || len(names) != 1 {
			t.Error(names, err)
		}
	}

	s, err := openStopped(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	img, err := replayed(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := image.Diff(img, l.image); diff != "" {
		t.Error(diff)
	}
}

func checkExport(t *testing.T, dir string, l left, perSegment int64) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(segments) == 0 || (len(segments) == 1) != (int64(len(l.log)) <= perSegment) {
		t.Fatal(segments, err)
	}
	var all []byte
	at := l.start
	for _, path := range segments {
		text, err := os.ReadFile(path)
		if err != nil || int64(len(text)) > perSegment {
			t.Fatal(len(text), err)
		}
		b, _, err := records.ParseBatch(text)
		if name := filepath.Base(path); err != nil || b.BaseOffset() < at || name != (records.SnapshotID{EndOffset: b.BaseOffset()}).String()[:20]+".log" {
			t.Fatalf("%s begins at %d: %v", name, b.BaseOffset(), err)
		}
		at = b.EndOffset()
		all = append(all, text...)
	}
	if !bytes.Equal(all, l.log) {
		t.Error("the segments are not what the node served")
	}
	checkpoints, err := filepath.Glob(filepath.Join(dir, "*.checkpoint"))
	if err != nil || len(checkpoints) != 2 || filepath.Base(checkpoints[1]) != l.newest.FileName() {
		t.Fatal(checkpoints, err)
	}
	for _, path := range checkpoints {
		got, err1 := os.ReadFile(path)
		want, err2 := os.ReadFile(filepath.Join(l.dir, metadataDir, filepath.Base(path)))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is another one: %v", path, err)
		}
	}
}

// TestSoleVoterIsNotRecovered: there is nothing to do, and nothing is done.
func TestSoleVoterIsNotRecovered(t *testing.T) {
	dir := t.TempDir()
	n, stop := testNode(t, dir)
	id := n.log.DirectoryID()
	stop()
	var out bytes.Buffer
	if err := (&recoverCmd{Dir: dir, Yes: true}).run(&out); err != nil || !strings.Contains(out.String(), "nothing to recover") {
		t.Fatal(err, out.String())
	}
	n, stop = testNode(t, dir)
	defer stop()
	if n.log.DirectoryID() != id {
		t.Error("it has another directory id")
	}
}

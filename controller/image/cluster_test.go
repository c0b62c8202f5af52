package image_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yakt/controller/image"
	"yakt/records"
)

// clusterLog is the log of a real controller, see testdata/cluster-small/README.md.
func clusterLog(t testing.TB) []records.Batch {
	t.Helper()
	rest, err := os.ReadFile("testdata/cluster-small/00000000000000000000.log")
	if err != nil {
		t.Fatal(err)
	}
	var all []records.Batch
	for len(rest) > 0 {
		b, more, err := records.ParseBatch(rest)
		if err != nil {
			t.Fatal(err)
		}
		all, rest = append(all, b), more
	}
	return all
}

// replayFrom replays what of the log comes after the image.
func replayFrom(from *image.Image, log []records.Batch) *image.Image {
	e := from.Edit()
	for _, b := range log {
		if b.BaseOffset() >= from.EndOffset() {
			e.ReplayBatch(b)
		}
	}
	return e.Image()
}

// canonical is the record as the line of image.jsonl: the lists whose order means nothing are sorted.
func canonical(t *testing.T, r records.Record) string {
	t.Helper()
	version := records.VersionOf(r, records.LatestMetadataVersion)
	b, err := records.MarshalJSON(r, version)
	if err != nil {
		t.Fatal(err)
	}
	return sorted(t, r.APIKey().String(), b)
}

func sorted(t *testing.T, kind string, b []byte) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		list, ok := value.([]any)
		if !ok || name == "replicas" || name == "directories" {
			continue
		}
		slices.SortFunc(list, func(a, b any) int {
			x, _ := json.Marshal(a)
			y, _ := json.Marshal(b)
			return bytes.Compare(x, y)
		})
	}
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return kind + " " + string(b)
}

func TestLogOfARealClusterGivesApachesImage(t *testing.T) {
	var want []string
	file, err := os.ReadFile("testdata/cluster-small/image.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(file))
	for lines.Scan() {
		var l struct {
			Type string          `json:"type"`
			JSON json.RawMessage `json:"json"`
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		want = append(want, sorted(t, l.Type, l.JSON))
	}
	slices.Sort(want)

	var got []string
	i := replayFrom(new(image.Image), clusterLog(t))
	for r := range i.Records() {
		got = append(got, canonical(t, r))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("image:\n%s\nApache's image:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLogOfARealClusterLeavesItsPositionAndQuorum(t *testing.T) {
	log := clusterLog(t)
	last := log[len(log)-1]
	i := replayFrom(new(image.Image), log)
	if i.EndOffset() != last.EndOffset() || i.Epoch() != last.LeaderEpoch() || i.Timestamp() != last.Timestamp() || i.InTransaction() {
		t.Errorf("position %d, %d, %d", i.EndOffset(), i.Epoch(), i.Timestamp())
	}
	if leader, epoch := i.Leader(); epoch != last.LeaderEpoch() || leader < 1 || leader > 2 {
		t.Errorf("leader %d, %d", leader, epoch)
	}
	if i.KRaftVersion() != 1 || len(i.Voters().Voters) == 0 || i.MetadataVersion() != records.LatestMetadataVersion || !i.ELREnabled() {
		t.Errorf("kraft.version %d, metadata.version %v, voters %+v", i.KRaftVersion(), i.MetadataVersion(), i.Voters())
	}
	if b, ok := i.Broker(103); !ok || b.Epoch > b.RegistrationOffset {
		t.Errorf("broker 103: %+v", b)
	}
}

func TestCheckpointAndRestOfLogGiveWhatTheLogGives(t *testing.T) {
	log := clusterLog(t)
	want := replayFrom(new(image.Image), log)
	files, err := filepath.Glob("testdata/cluster-small/*.checkpoint")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		id, ok := records.ParseSnapshotFileName(filepath.Base(file))
		if !ok {
			t.Fatal(file)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at, err := image.ReadCheckpoint(id, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		there := new(image.Image).Edit()
		for _, b := range log {
			if b.EndOffset() <= id.EndOffset {
				there.ReplayBatch(b)
			}
		}
		if id.EndOffset > 0 { // the first one was written by the format tool, before the log
			if diff := image.Diff(at, there.Image()); diff != "" {
				t.Errorf("%v: the checkpoint, the log until there: %s", id, diff)
			}
			if at.Timestamp() != there.Image().Timestamp() || at.Epoch() != there.Image().Epoch() || at.EndOffset() != there.Image().EndOffset() {
				t.Errorf("%v: timestamp %d, epoch %d; log %d, %d", id, at.Timestamp(), at.Epoch(), there.Image().Timestamp(), there.Image().Epoch())
			}
		}
		if diff := image.Diff(replayFrom(at, log), want); diff != "" {
			t.Errorf("%v: checkpoint and rest of the log, the whole log: %s", id, diff)
		}
	}
}

func TestEveryImageOfARealClusterSurvivesItsCheckpoint(t *testing.T) {
	e := new(image.Image).Edit()
	for _, b := range clusterLog(t) {
		e.ReplayBatch(b)
		i := e.Image()
		if i.InTransaction() {
			continue
		}
		var file bytes.Buffer
		if err := i.WriteCheckpoint(&file, i.Timestamp()+1); err != nil {
			t.Fatal(err)
		}
		id := records.SnapshotID{EndOffset: i.EndOffset(), Epoch: i.Epoch()}
		back, err := image.ReadCheckpoint(id, bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := image.Diff(i, back); diff != "" {
			t.Fatalf("at %d: image, after a checkpoint: %s", i.EndOffset(), diff)
		}
		if back.EndOffset() != i.EndOffset() || back.Epoch() != i.Epoch() || back.Timestamp() != i.Timestamp() {
			t.Fatalf("position %d, %d, %d after a checkpoint at %d", back.EndOffset(), back.Epoch(), back.Timestamp(), i.EndOffset())
		}
	}
}

// TestCheckpointTakesNoMemoryForEachPartition: it is written beside changes, and what it takes the collector has to look after.
func TestCheckpointTakesNoMemoryForEachPartition(t *testing.T) {
	e := cluster(30, 10, 1000).Edit()
	e.Replay(&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(records.LatestMetadataVersion)}, e.View().EndOffset())
	i := e.Image()
	allocations := testing.AllocsPerRun(1, func() {
		if err := i.WriteCheckpoint(io.Discard, 0); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > float64(i.NumPartitions())/10 {
		t.Errorf("%.0f allocations for %d partitions", allocations, i.NumPartitions())
	}
}

func TestBadCheckpointIsRefused(t *testing.T) {
	good := new(bytes.Buffer)
	i := replay(new(image.Image), &records.FeatureLevel{Name: "metadata.version", Level: 30}, &records.Topic{Name: "a", TopicID: id(1)})
	if err := i.WriteCheckpoint(good, 1); err != nil {
		t.Fatal(err)
	}
	at := records.SnapshotID{EndOffset: i.EndOffset(), Epoch: i.Epoch()}
	if _, err := image.ReadCheckpoint(at, bytes.NewReader(good.Bytes())); err != nil {
		t.Fatal(err)
	}
	if _, err := image.ReadCheckpoint(records.SnapshotID{EndOffset: 2, Epoch: 3}, bytes.NewReader(good.Bytes())); err == nil {
		t.Error("a checkpoint of another epoch was taken")
	}
	if _, err := image.ReadCheckpoint(at, bytes.NewReader(good.Bytes()[:good.Len()-1])); err == nil {
		t.Error("a checkpoint that is cut off was taken")
	}
	bad := new(bytes.Buffer)
	w := records.NewCheckpointWriter(bad, at, 0, 0, nil, nil)
	_ = w.Append([]records.Record{&records.RemoveTopic{TopicID: id(1)}}, 30)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var senseless *image.ReplayError
	if _, err := image.ReadCheckpoint(at, bad); !errors.As(err, &senseless) {
		t.Errorf("a checkpoint with a senseless record: %v", err)
	}
	open := replay(new(image.Image), &records.BeginTransaction{})
	if err := open.WriteCheckpoint(io.Discard, 0); err == nil {
		t.Error("a checkpoint was taken inside a transaction")
	}
}

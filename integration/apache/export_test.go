package apache

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// TestKafkaReadsAnExport: what a stopped node leaves, exported, is to Kafka's tools what it is to YAKt, record by record, and
// the image they make of it is the one that the node served last.
func TestKafkaReadsAnExport(t *testing.T) {
	classpath(t, Current) // before anything is started: this may skip
	t.Run("FromTheBeginning", func(t *testing.T) {
		y := harness.StartYakt(t)
		history(t, y)
		files, served := exported(t, y)
		if len(files) != 1 || filepath.Base(files[0]) != "00000000000000000000.log" {
			t.Fatal(files)
		}
		sameDump(t, files[0])
		sameTree(t, files[0], served)
	})
	t.Run("AfterCompaction", func(t *testing.T) {
		y := harness.StartYakt(t, "--config", propertiesFile(t,
			"metadata.log.max.record.bytes.between.snapshots=3000", "metadata.log.max.snapshot.interval.ms=1000"))
		history(t, y)
		harness.Eventually(t, 30*time.Second, "a checkpoint of all there is", func() error {
			checkpoints, err := filepath.Glob(filepath.Join(y.Dir, "__cluster_metadata-0", "*.checkpoint"))
			if want := fmt.Sprintf("%020d-", y.MustMetadata(t).Offset); err == nil && (len(checkpoints) != 2 || !strings.HasPrefix(filepath.Base(checkpoints[1]), want)) {
				err = fmt.Errorf("there are %q, and the log ends at %s", checkpoints, want)
			}
			return err
		})
		files, served := exported(t, y)
		if len(files) != 3 || filepath.Base(files[1])[:20] == strings.Repeat("0", 20) {
			t.Fatal(files)
		}
		for _, file := range files {
			sameDump(t, file)
		}
		sameTree(t, files[2], served)
	})
}

// history makes brokers, topics, partitions, configs and producer ids, changes them, and takes some away again.
func history(t *testing.T, y *harness.Yakt) {
	t.Helper()
	harness.Eventually(t, 30*time.Second, "the controller has registered itself", func() error {
		var m image
		byHand(t, y, "GET", "/get_metadata", "", &m)
		if len(m.Controllers) != 1 {
			return fmt.Errorf("controllers %+v", m.Controllers)
		}
		return nil
	})
	for i := range 3 {
		byHand(t, y, "POST", "/register_broker", fmt.Sprintf(`{"brokerId": %d, "brokerHost": "127.0.0.1", "brokerPort": %d, "rackId": "rack-%d"}`, 101+i, 9001+i, i%2), nil)
	}
	byHand(t, y, "POST", "/register_broker", `{"brokerId": 104, "brokerHost": "gone.example", "brokerPort": 9004, "securityProtocol": "SSL"}`, nil)
	client, err := kgo.NewClient(kgo.SeedBrokers(y.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		name := fmt.Sprintf("topic-%d", i)
		byHand(t, y, "POST", "/create_topic", fmt.Sprintf(`{"name": %q, "numPartitions": %d, "replicationFactor": %d, "configs": {"retention.ms": "%d", "cleanup.policy": "compact"}}`,
			name, 1+i%3, 1+i%3, 1000+i), nil)
		if i%3 == 0 {
			byHand(t, y, "POST", "/create_partition", fmt.Sprintf(`{"topicName": %q}`, name), nil)
		}
		if i%4 == 1 {
			_, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "retention.ms", Value: ptr("5")}, {Op: kadm.DeleteConfig, Name: "cleanup.policy"}}, name)
			check(err)
		}
		if i%4 == 2 {
			deleted, err := admin.DeleteTopics(t.Context(), fmt.Sprintf("topic-%d", i-1))
			check(err)
			check(deleted.Error())
		}
	}
	_, err = admin.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: "log.segment.bytes", Value: ptr("2000000")}})
	check(err)
	byHand(t, y, "POST", "/register_producer/102", "", nil)
	byHand(t, y, "PUT", "/broker_registration_change", `{"brokerId": 103, "fenced": true}`, nil)
	byHand(t, y, "PUT", "/delete_broker/104", "", nil)
}

// exported stops the node and exports its directory. It returns the files, segments before checkpoints, and what the node served last.
func exported(t *testing.T, y *harness.Yakt) (files []string, served image) {
	t.Helper()
	text, err := y.Get("/get_metadata")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &served); err != nil {
		t.Fatal(err)
	}
	y.Stop(t)
	out := harness.TempDir(t)
	yakt(t, "export", y.Dir, "--to", out)
	for _, pattern := range []string{"*.log", "*.checkpoint"} {
		found, err := filepath.Glob(filepath.Join(out, "__cluster_metadata-0", pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if left, err := os.ReadDir(filepath.Join(out, "__cluster_metadata-0")); err != nil || len(left) != len(files) {
		t.Fatal(left, err)
	}
	if segment := filepath.Base(files[0]); !strings.HasSuffix(segment, ".log") {
		t.Fatal(files)
	}
	// The segment of the directory is what dump prints of the directory itself.
	if yakt(t, "dump", y.Dir) != yakt(t, "dump", files[0]) {
		t.Error("the segment is not what the directory holds")
	}
	return files, served
}

// yakt is what a command of YAKt's prints that succeeds.
func yakt(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), harness.Binary(t), args...).Output()
	if err != nil {
		t.Fatalf("yakt %q: %v", args, err)
	}
	return string(out)
}

// sameDump compares every batch and record of a file as DumpLogSegments and as `yakt dump` print it.
func sameDump(t *testing.T, file string) {
	t.Helper()
	theirs, ours := dumpedByKafka(t, file), dumpedByYakt(t, file)
	if len(ours) == 0 || len(ours) != len(theirs) {
		t.Fatalf("%s: %d batches and records to YAKt, %d to Kafka", file, len(ours), len(theirs))
	}
	for i := range ours {
		if ours[i] != theirs[i] {
			t.Errorf("%s:\nYAKt  %s\nKafka %s", file, ours[i], theirs[i])
		}
	}
	t.Logf("%s: %d batches and records", filepath.Base(file), len(ours))
}

var (
	dumpedBatch = regexp.MustCompile(`^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 ` +
		`partitionLeaderEpoch: (\d+) isTransactional: false isControl: (\w+) deleteHorizonMs: OptionalLong.empty position: \d+ ` +
		`CreateTime: (\d+) size: (\d+) magic: 2 compresscodec: none crc: (\d+) isvalid: true$`)
	dumpedRecord  = regexp.MustCompile(`^\| offset: (\d+) CreateTime: \d+ keySize: -1 valueSize: \d+ sequence: -1 headerKeys: \[\] payload: (\{.*\})$`)
	dumpedControl = regexp.MustCompile(`^\| offset: (\d+) CreateTime: \d+ keySize: 4 valueSize: \d+ sequence: -1 headerKeys: \[\] (\w+):? (\{.*\})$`)
)

func dumpedByKafka(t *testing.T, file string) (lines []string) {
	t.Helper()
	out, stderr, err := runTool(t, Current, "", dumpTool, "--cluster-metadata-decoder", "--files", file)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr)
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[2:] { // after the file's name and what the name says
		if m := dumpedBatch.FindStringSubmatch(line); m != nil {
			lines = append(lines, "batch "+strings.Join(m[1:], " "))
		} else if m := dumpedRecord.FindStringSubmatch(line); m != nil {
			var r struct {
				Type    string
				Version int
				Data    any
			}
			decode(t, m[2], &r)
			lines = append(lines, fmt.Sprintf("%s %s %d %s", m[1], plain(r.Type), r.Version, encode(t, r.Data)))
		} else if m := dumpedControl.FindStringSubmatch(line); m != nil {
			var data any
			decode(t, m[3], &data)
			lines = append(lines, fmt.Sprintf("%s %s %s", m[1], plain(m[2]), encode(t, data)))
		} else {
			t.Fatalf("DumpLogSegments prints a line that is none of a log's: %s", line)
		}
	}
	return lines
}

func dumpedByYakt(t *testing.T, file string) (lines []string) {
	t.Helper()
	for line := range strings.Lines(yakt(t, "dump", "--strict", file)) {
		var b struct {
			BaseOffset, LastOffsetDelta, RecordCount, PartitionLeaderEpoch, BatchLength, BaseTimestamp, CRC int64
			Control                                                                                         bool
			Records                                                                                         []struct {
				Offset  int64
				Type    string
				Version int
				JSON    any
			}
		}
		decode(t, line, &b)
		lines = append(lines, fmt.Sprintf("batch %d %d %d %d %v %d %d %d", b.BaseOffset, b.BaseOffset+b.LastOffsetDelta, b.RecordCount,
			b.PartitionLeaderEpoch, b.Control, b.BaseTimestamp, b.BatchLength+12, b.CRC))
		for _, r := range b.Records {
			if b.Control {
				lines = append(lines, fmt.Sprintf("%d %s %s", r.Offset, plain(r.Type), encode(t, r.JSON)))
			} else {
				lines = append(lines, fmt.Sprintf("%d %s %d %s", r.Offset, plain(r.Type), r.Version, encode(t, r.JSON)))
			}
		}
	}
	return lines
}

// plain is a record type's name as both would write it: TOPIC_RECORD is TopicRecord.
func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

func decode(t *testing.T, text string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// encode writes members in one order.
func encode(t *testing.T, data any) string {
	t.Helper()
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shellTree is the whole tree that MetadataShell makes of a file: what stands at each path.
func shellTree(t *testing.T, file string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	var path []string
	for line := range strings.Lines(Tool(t, Current, metadataShell, "--snapshot", file, "tree", "/")) {
		text := strings.TrimSpace(line)
		path = path[:(len(line)-len(strings.TrimLeft(line, " ")))/2]
		if name, ok := strings.CutSuffix(text, ":"); ok {
			path = append(path, name)
			continue
		}
		tree[strings.Join(path, "/")] = text
	}
	return tree
}

// sameTree compares the whole tree that MetadataShell makes of a file with what the node served: nothing may be missing, and nothing
// may be more. The shell runs its command as soon as it has read anything, so it may be asked too early.
func sameTree(t *testing.T, file string, served image) {
	t.Helper()
	want := served.tree()
	harness.Eventually(t, 3*time.Minute, "MetadataShell's tree is the node's image", func() error {
		shell := shellTree(t, file)
		delete(shell, "image/provenance") // of a checkpoint it is that of the file
		var errs []error
		for path, text := range want {
			if shell[path] != text {
				errs = append(errs, fmt.Errorf("%s is %q to Kafka, not %q", path, shell[path], text))
			}
		}
		for path, text := range shell {
			if _, ok := want[path]; !ok && strings.HasPrefix(path, "image/") {
				errs = append(errs, fmt.Errorf("only Kafka has %s: %q", path, text))
			}
		}
		return errors.Join(errs[:min(len(errs), 5)]...)
	})
	t.Logf("%d values in the tree", len(want))
}

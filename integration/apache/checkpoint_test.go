package apache

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// TestKafkaReadsACheckpoint has a broker, DumpLogSegments and MetadataShell read a checkpoint of YAKt's, and the tools one
// of Apache's.
// The tools complain even about Apache's (the shell calls control records errors), so what counts is that they say
// nothing about ours that they do not say about theirs.
func TestKafkaReadsACheckpoint(t *testing.T) {
	classpath(t, Current) // before anything is started: this may skip
	y := harness.StartYakt(t, "--config", propertiesFile(t, "metadata.log.max.record.bytes.between.snapshots=1000"))
	harness.StartStandIn(t, y, 101)
	harness.StartStandIn(t, y, 102)
	client, err := kgo.NewClient(kgo.SeedBrokers(y.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	configs := map[string]*string{"retention.ms": ptr("1000")}
	const topics = 20
	for i := range topics {
		if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 2, configs, fmt.Sprintf("topic-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	ours := copied(t, waitForCheckpoint(t, y))
	theirs := copied(t, filepath.Join("testdata", "__cluster_metadata-0", "00000000000000000328-0000000001.checkpoint"))

	t.Run("DumpLogSegments", func(t *testing.T) {
		dump := func(file string) (string, string) {
			out, stderr, err := runTool(t, Current, "", dumpTool, "--cluster-metadata-decoder", "--files", file)
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, stderr)
			}
			return out, stderr
		}
		ourOut, ourErr := dump(ours)
		theirOut, theirErr := dump(theirs)
		nothingNew(t, "standard output", ourOut, theirOut)
		nothingNew(t, "standard error", ourErr, theirErr)
		for _, want := range []string{"SnapshotHeader", "KRaftVersion", "KRaftVoters", "SnapshotFooter", "FEATURE_LEVEL_RECORD", "REGISTER_BROKER_RECORD", "TOPIC_RECORD", "PARTITION_RECORD", "CONFIG_RECORD"} {
			if !strings.Contains(ourOut, want) {
				t.Errorf("the dump has no %s:\n%s", want, ourOut)
			}
		}
	})
	t.Run("BrokerStartsFromIt", func(t *testing.T) { brokerStartsFrom(t, y, topics) })
	t.Run("MetadataShell", func(t *testing.T) {
		ourErr := findInShell(t, ours, "/image/topics/byName/topic-0/id", "/image/topics/byName/topic-0/2")
		theirErr := findInShell(t, theirs, "/image/topics/byName/orders/id")
		nothingNew(t, "standard error", ourErr, theirErr)
	})
}

// findInShell has MetadataShell find the topics of a checkpoint, some paths among them, and returns what it says to standard
// error. The shell runs its command as soon as it has read anything (shellTree), so it may be asked too early.
func findInShell(t *testing.T, file string, paths ...string) (stderr string) {
	t.Helper()
	harness.Eventually(t, 3*time.Minute, "MetadataShell finds the topics", func() error {
		out, errs, err := runTool(t, Current, "", metadataShell, "--snapshot", file, "find", "/image/topics/byName")
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, errs)
		}
		stderr = errs
		found := strings.Split(out, "\n")
		for _, path := range paths {
			if !slices.Contains(found, path) {
				return fmt.Errorf("the tree of %s has no %s:\n%s", file, path, out)
			}
		}
		return nil
	})
	return stderr
}

// brokerStartsFrom has a broker join that gets the cluster's past as a checkpoint.
func brokerStartsFrom(t *testing.T, y *harness.Yakt, topics int) {
	b := StartBroker(t, Current, 103, y, ByBootstrapServers(y))
	b.WaitRunning(t)
	if !strings.Contains(b.Log(), "snapshot OffsetAndEpoch") && !strings.Contains(b.Log(), ".checkpoint") {
		t.Error("the broker's log says nothing of a snapshot")
	}
	listed, err := kadm.NewClient(b.Client(t)).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range topics {
		name := fmt.Sprintf("topic-%d", i)
		if len(listed[name].Partitions) != 3 {
			t.Errorf("the broker has %s as %+v", name, listed[name])
		}
	}
	b.Stop(t)
}

// waitForCheckpoint returns the newest checkpoint that holds topics.
func waitForCheckpoint(t *testing.T, y *harness.Yakt) string {
	t.Helper()
	var newest string
	harness.Eventually(t, 30*time.Second, "a checkpoint of YAKt's", func() error {
		files, err := filepath.Glob(filepath.Join(y.Dir, "__cluster_metadata-0", "*.checkpoint"))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("there is none")
		}
		newest = slices.Max(files)
		content, err := os.ReadFile(newest)
		if err != nil {
			return err
		}
		if !strings.Contains(string(content), "topic-0") {
			return fmt.Errorf("%s holds no topics yet", newest)
		}
		return nil
	})
	return newest
}

// copied puts a checkpoint where the shell may lock the directory above it.
func copied(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(harness.TempDir(t), "__cluster_metadata-0")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// nothingNew fails the test for each line of ours whose kind is not among theirs.
func nothingNew(t *testing.T, what, ours, theirs string) {
	t.Helper()
	known := map[string]bool{}
	for line := range strings.Lines(theirs) {
		known[kindOf(line)] = true
	}
	for line := range strings.Lines(ours) {
		if kind := kindOf(line); !known[kind] {
			t.Errorf("%s has a line that Kafka's own file does not give:\n%s(as %s)", what, line, kind)
			known[kind] = true
		}
	}
}

// kindOf leaves out of a line what belongs to one file only: its path, numbers, and the fields of records. A record
// that could not be read has no type to show, and stays a kind of its own.
func kindOf(line string) string {
	line = paths.ReplaceAllString(strings.TrimSpace(line), "PATH")
	line = payload.ReplaceAllString(line, `$1 …`)
	line = control.ReplaceAllString(line, `$1 …`)
	return numbers.ReplaceAllString(line, "N")
}

var (
	paths   = regexp.MustCompile(`/\S*__cluster_metadata-0/\S*`)
	payload = regexp.MustCompile(`(payload: \{"type":"[A-Z_]+","version":\d+,"data":)\{.*`)
	control = regexp.MustCompile(`((?:SnapshotHeader|SnapshotFooter|KRaftVersion|KRaftVoters) )\{.*`)
	numbers = regexp.MustCompile(`\d+`)
)

func ptr[T any](v T) *T { return &v }

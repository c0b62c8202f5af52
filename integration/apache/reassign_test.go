package apache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

const (
	reassignTool = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
	electionTool = "org.apache.kafka.tools.LeaderElectionCommand"
)

// TestPartitionMovesToAnotherBroker has Kafka's own tools move a partition, with its records, from a broker with two log directories.
func TestPartitionMovesToAnotherBroker(t *testing.T) {
	y := harness.StartYakt(t)
	dir := harness.TempDir(t)
	from := StartBroker(t, Current, 101, y, ByBootstrapServers(y), "log.dirs="+filepath.Join(dir, "a")+","+filepath.Join(dir, "b"))
	to := StartBroker(t, Current, 102, y, ByBootstrapServers(y))
	from.WaitRunning(t)
	to.WaitRunning(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	Tool(t, Current, topicsTool, "--bootstrap-server", from.Addr, "--create", "--topic", "moved", "--replica-assignment", "101")
	client := from.Client(t, kgo.ConsumeTopics("moved"))
	produce(t, ctx, client, "moved", 1000)

	await := func(what string, leader int32, replicas ...int32) {
		t.Helper()
		harness.Eventually(t, time.Minute, what, func() error {
			m, err := y.Metadata()
			if err != nil {
				return err
			}
			topic, _ := m.Topic("moved")
			if p := topic.Partitions[0]; p.Leader != leader || !slices.Equal(p.Replicas, replicas) || len(p.ISR) != len(replicas) {
				return fmt.Errorf("partition %+v", p)
			}
			return nil
		})
	}
	reassign := func(replicas string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "reassign.json")
		if err := os.WriteFile(file, []byte(`{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[`+replicas+`]}]}`), 0o644); err != nil {
			t.Fatal(err)
		}
		out := Tool(t, Current, reassignTool, "--bootstrap-server", to.Addr, "--reassignment-json-file", file, "--execute")
		if !strings.Contains(out, "Successfully started partition reassignment") {
			t.Errorf("the tool says:\n%s", out)
		}
	}
	// A broker with two directories says by AssignReplicasToDirs in which it has put a replica.
	dirs := []string{directoryID(t, filepath.Join(dir, "a")), directoryID(t, filepath.Join(dir, "b"))}
	harness.Eventually(t, time.Minute, "the replica's directory", func() error {
		m, err := y.Metadata()
		if err != nil {
			return err
		}
		topic, _ := m.Topic("moved")
		if got := topic.Partitions[0].Directories; len(got) != 1 || !slices.Contains(dirs, got[0]) {
			return fmt.Errorf("directories %v of %v", got, dirs)
		}
		return nil
	})
	reassign("102,101")
	await("a second replica", 101, 102, 101)
	Tool(t, Current, electionTool, "--bootstrap-server", to.Addr, "--election-type", "preferred", "--topic", "moved", "--partition", "0")
	await("the first replica as leader", 102, 102, 101)
	reassign("102")
	await("one replica", 102, 102)
	if out := Tool(t, Current, reassignTool, "--bootstrap-server", to.Addr, "--list"); !strings.Contains(out, "No partition reassignments found") {
		t.Errorf("list says:\n%s", out)
	}
	consume(t, ctx, client, 1000)
	to.Stop(t)
	from.Stop(t)
}

// directoryID is what a broker has called one of its log directories.
func directoryID(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "meta.properties"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "directory.id=")
	if !ok {
		t.Fatalf("no directory.id in %s", text)
	}
	return strings.Fields(rest)[0]
}

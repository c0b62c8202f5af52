package apache

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	harness.Eventually(t, time.Minute, "the directory of the replica in the log", func() error {
		// The broker's registration names each directory once.
		if n := namedInLog(t, ctx, y, filepath.Join(dir, "a")) + namedInLog(t, ctx, y, filepath.Join(dir, "b")); n != 3 {
			return fmt.Errorf("the log names the two directories %d times", n)
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

// namedInLog counts how often the metadata log has the id of a broker's log directory.
func namedInLog(t *testing.T, ctx context.Context, y *harness.Yakt, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "meta.properties"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "directory.id=")
	id, err := base64.RawURLEncoding.DecodeString(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := harness.DialKafka(ctx, y.Addr, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(17)
	req.ReplicaState.ID, req.MaxBytes = 900, 8<<20
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.CurrentLeaderEpoch, partition.LastFetchedEpoch = y.MustMetadata(t).Epoch, 0
	topic := kmsg.NewFetchRequestTopic()
	topic.TopicID = [16]byte{15: 1}
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	resp, err := conn.Request(req)
	if err != nil {
		t.Fatal(err)
	}
	fetched := resp.(*kmsg.FetchResponse)
	if len(fetched.Topics) != 1 || fetched.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("fetched %+v", fetched)
	}
	return bytes.Count(fetched.Topics[0].Partitions[0].RecordBatches, id)
}

package apache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// runningTimeout is from a broker's start to its first record. It takes five seconds on an idle machine.
const runningTimeout = 90 * time.Second

// Broker is one Apache broker on its way or in service.
type Broker struct {
	ID      int32
	Addr    string
	process *harness.Process
	yakt    *harness.Yakt // its controller, unless that is Apache's
	file    string
	version string
	life    testing.TB // the test that the process may not outlive
}

// ByBootstrapServers is how a broker finds its controllers by addresses alone; the quorum's members it learns from the log.
func ByBootstrapServers(controllers ...*harness.Yakt) string {
	var addrs []string
	for _, y := range controllers {
		addrs = append(addrs, y.Addr)
	}
	return "controller.quorum.bootstrap.servers=" + strings.Join(addrs, ",")
}

// ByVoters is how a broker is told its controllers, whose ids count from 1, once and for all.
func ByVoters(controllers ...*harness.Yakt) string {
	var voters []string
	for i, y := range controllers {
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, y.Addr))
	}
	return "controller.quorum.voters=" + strings.Join(voters, ",")
}

// StartBroker formats a directory and starts a broker on it. quorum is a line of its properties, further ones follow.
// By the end of the test it must not have met a fault.
func StartBroker(t testing.TB, version string, id int32, y *harness.Yakt, quorum string, properties ...string) *Broker {
	t.Helper()
	b := newBroker(t, version, id, quorum, properties...)
	b.yakt = y
	b.Format(t)
	b.Start(t)
	return b
}

// Format gives the broker's empty directories to YAKt's cluster, with ids that they have not had before.
func (b *Broker) Format(t testing.TB) {
	t.Helper()
	Tool(t, b.version, storageTool, "format", "-t", b.yakt.ClusterID, "-c", b.file)
}

// newBroker writes a broker's properties and nothing else; its directory is still to be formatted.
func newBroker(t testing.TB, version string, id int32, quorum string, properties ...string) *Broker {
	t.Helper()
	dir := harness.TempDir(t)
	b := &Broker{ID: id, Addr: harness.FreeAddr(t), file: filepath.Join(dir, "broker.properties"), version: version, life: t}
	lines := append([]string{
		"process.roles=broker",
		fmt.Sprintf("node.id=%d", id),
		"listeners=PLAINTEXT://" + b.Addr,
		"controller.listener.names=CONTROLLER",
		quorum,
		"log.dirs=" + filepath.Join(dir, "data"),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=5",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=5",
		"group.initial.rebalance.delay.ms=0",
	}, properties...)
	if err := os.WriteFile(b.file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

// Start starts the broker, again after Stop.
func (b *Broker) Start(t testing.TB) {
	t.Helper()
	b.process = harness.StartProcess(b.life, fmt.Sprintf("broker %d", b.ID), java(b.life, b.version, brokerHeap, brokerLogLevel, logToStdout, brokerMain, b.file))
	process := b.process
	b.life.Cleanup(func() {
		for _, line := range faults(process.Output().String()) {
			b.life.Errorf("broker %d: %s", b.ID, line)
		}
	})
}

// faults are the lines with which a broker says that its metadata or its raft client is beyond help.
func faults(log string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		for _, sign := range []string{"Encountered fatal fault", "Encountered metadata loading fault", "Encountered metadata publishing fault", " FATAL ", "Unexpected error in raft IO thread"} {
			if strings.Contains(line, sign) {
				lines = append(lines, strings.TrimSpace(line))
				break
			}
		}
	}
	return lines
}

// CheckUp fails the test when the broker's process has ended.
func (b *Broker) CheckUp(t testing.TB) {
	t.Helper()
	select {
	case <-b.process.Exited():
		t.Fatalf("broker %d is gone", b.ID)
	default:
	}
}

// Log is what the broker has logged.
func (b *Broker) Log() string { return b.process.Output().String() }

// WaitRunning returns when the broker is in service: unfenced in YAKt's image, and one record has gone in and come out.
func (b *Broker) WaitRunning(t testing.TB) {
	t.Helper()
	b.WaitUnfenced(t)
	b.WaitServing(t)
}

// WaitUnfenced returns when YAKt counts the broker as active.
func (b *Broker) WaitUnfenced(t testing.TB) {
	t.Helper()
	harness.Eventually(t, runningTimeout, fmt.Sprintf("broker %d unfenced", b.ID), func() error {
		b.CheckUp(t)
		m, err := b.yakt.Metadata()
		if err != nil {
			return err
		}
		if !m.Unfenced(b.ID) {
			return fmt.Errorf("brokers: %+v", m.Brokers)
		}
		return nil
	})
}

// WaitServing returns when a record has been produced to the broker and read back.
func (b *Broker) WaitServing(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runningTimeout)
	defer cancel()
	topic := fmt.Sprintf("served-by-%d", b.ID)
	client := b.Client(t, kgo.ConsumeTopics(topic))
	// A broker opens its port a moment after it is unfenced.
	harness.Eventually(t, runningTimeout, fmt.Sprintf("create %s through broker %d", topic, b.ID), func() error {
		b.CheckUp(t)
		err := createOn(ctx, client, topic, b.ID)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			return nil
		}
		return err
	})
	value := fmt.Sprint(time.Now().UnixNano())
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatalf("produce to broker %d: %v", b.ID, err)
	}
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("consume from broker %d: %v", b.ID, err)
		}
		for r := range fetches.RecordsAll() {
			if string(r.Value) == value {
				return
			}
		}
	}
}

// createOn creates a topic whose one partition lies on one broker.
func createOn(ctx context.Context, client *kgo.Client, name string, broker int32) error {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	topic.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{broker}}}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 {
		return fmt.Errorf("%d topics in the answer", len(resp.Topics))
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

// Client connects to the broker. It is closed with the test.
func (b *Broker) Client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr), kgo.MetadataMinAge(50 * time.Millisecond)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Stop asks the broker to leave, as an operator does; it has to go by itself.
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	// A JVM that ends on SIGTERM exits with 143.
	err := b.process.Stop(60 * time.Second)
	if exit := (interface{ ExitCode() int })(nil); errors.As(err, &exit) && exit.ExitCode() == 143 {
		return
	}
	if err != nil {
		t.Fatalf("broker %d after SIGTERM: %v", b.ID, err)
	}
}

// Kill is kill -9.
func (b *Broker) Kill() { b.process.Kill() }

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

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// manyRecords is enough that batches, segments and fetches are no longer one of each.
const manyRecords = 100_000

// TestBrokerByBootstrapServers takes one broker through everything its users do, since its start is what costs time.
func TestBrokerByBootstrapServers(t *testing.T) {
	y := harness.StartYakt(t)
	b := StartBroker(t, Current, 101, y, ByBootstrapServers(y))
	b.WaitRunning(t)
	t.Run("TopicsThroughKafkasTool", func(t *testing.T) { topicsThroughTool(t, y, b) })
	t.Run("ConfigsThroughKafkasTool", func(t *testing.T) { configsThroughTool(t, y, b) })
	t.Run("ConsoleProducerAndConsumer", func(t *testing.T) { consoles(t, b) })
	t.Run("ConsumerGroup", func(t *testing.T) { consumerGroup(t, y, b) })
	t.Run("ManyRecords", func(t *testing.T) { manyRecordsThrough(t, b) })
	t.Run("Transactions", func(t *testing.T) { transactions(t, y, b) })
	t.Run("JavaTransactions", func(t *testing.T) { javaTransactions(t, y, b) })
	t.Run("ControllerRestart", func(t *testing.T) { controllerRestart(t, y, b) })
	b.Stop(t)
	if y.MustMetadata(t).Unfenced(b.ID) {
		t.Error("a broker that left as it should is still unfenced")
	}
	// It comes back before its session would have ended, and shows that it stopped cleanly.
	b.Start(t)
	b.WaitRunning(t)
	if strings.Contains(b.Log(), "DUPLICATE_BROKER_REGISTRATION") {
		t.Errorf("a broker that had stopped cleanly was not let in at once:\n%s", b.Log())
	}
	b.Stop(t)
}

// TestTwoBrokers has one that was told its controllers by voters and one by addresses. They replicate; one dies, and the
// other serves what both had.
func TestTwoBrokers(t *testing.T) {
	y := harness.StartYakt(t, "--list-controller=false", "--config", propertiesFile(t, "broker.session.timeout.ms=3000"))
	first := StartBroker(t, Current, 101, y, ByVoters(y))
	second := StartBroker(t, Current, 102, y, ByBootstrapServers(y), "broker.heartbeat.interval.ms=1000")
	first.WaitRunning(t)
	second.WaitRunning(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client := first.Client(t, kgo.ConsumeTopics("shared"))
	// Who bootstraps from the controller is told of the brokers alone, and one of them passes this on.
	direct, err := kgo.NewClient(kgo.SeedBrokers(y.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	if _, err := kadm.NewClient(direct).CreateTopic(ctx, 4, 2, nil, "shared"); err != nil {
		t.Fatal(err)
	}
	produce(t, ctx, client, "shared", 1000)
	led := map[int32]int{}
	topic, _ := y.MustMetadata(t).Topic("shared")
	for _, p := range topic.Partitions {
		led[p.Leader]++
		if len(p.ISR) != 2 {
			t.Errorf("the partition %+v has lost a replica while both brokers are up", p)
		}
	}
	if led[101] != 2 || led[102] != 2 {
		t.Errorf("leaders per broker: %v", led)
	}

	second.Kill()
	harness.Eventually(t, time.Minute, "the dead broker's partitions with the other one", func() error {
		m, err := y.Metadata()
		if err != nil {
			return err
		}
		topic, _ := m.Topic("shared")
		for _, p := range topic.Partitions {
			if p.Leader != first.ID || !slices.Equal(p.ISR, []int32{first.ID}) {
				return fmt.Errorf("partition %+v", p)
			}
		}
		return nil
	})
	produce(t, ctx, client, "shared", 1000)
	consume(t, ctx, client, 2000)

	second.Start(t)
	harness.Eventually(t, runningTimeout, "the broker back in sync", func() error {
		m, err := y.Metadata()
		if err != nil {
			return err
		}
		topic, _ := m.Topic("shared")
		for _, p := range topic.Partitions {
			if len(p.ISR) != 2 {
				return fmt.Errorf("partition %+v", p)
			}
		}
		return nil
	})
	second.Stop(t)
	first.Stop(t)
}

// propertiesFile writes lines for yakt's --config.
func propertiesFile(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBroker40(t *testing.T) {
	y := harness.StartYakt(t, "--metadata-version", "4.0-IV3")
	b := StartBroker(t, Oldest, 101, y, ByBootstrapServers(y))
	b.WaitRunning(t)
	b.Stop(t)
}

// topicsThroughTool creates, describes and deletes with kafka-topics, whose requests the broker forwards.
func topicsThroughTool(t *testing.T, y *harness.Yakt, b *Broker) {
	out := Tool(t, Current, topicsTool, "--bootstrap-server", b.Addr, "--create", "--topic", "by-tool", "--partitions", "3", "--replication-factor", "1")
	if !strings.Contains(out, "Created topic by-tool") {
		t.Errorf("create says:\n%s", out)
	}
	topic, ok := y.MustMetadata(t).Topic("by-tool")
	if !ok || len(topic.Partitions) != 3 {
		t.Fatalf("the image has %+v", topic)
	}
	out = Tool(t, Current, topicsTool, "--bootstrap-server", b.Addr, "--describe", "--topic", "by-tool")
	for _, want := range []string{"TopicId: " + topic.TopicID, "PartitionCount: 3", "Partition: 2", "Leader: 101", "Isr: 101"} {
		if !strings.Contains(out, want) {
			t.Errorf("describe does not say %q:\n%s", want, out)
		}
	}
	Tool(t, Current, topicsTool, "--bootstrap-server", b.Addr, "--delete", "--topic", "by-tool")
	if _, ok := y.MustMetadata(t).Topic("by-tool"); ok {
		t.Error("the image still has the deleted topic")
	}
	_, stderr, err := runTool(t, Current, "", topicsTool, "--bootstrap-server", b.Addr, "--delete", "--topic", "by-tool")
	if err == nil {
		t.Errorf("deleting it again succeeds: %s", stderr)
	}
}

// consoles sends lines through Kafka's own producer and consumer, to a topic that the broker creates on demand.
func consoles(t *testing.T, b *Broker) {
	var lines []string
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	ToolWithInput(t, Current, strings.Join(lines, "\n")+"\n", producerTool, "--bootstrap-server", b.Addr, "--topic", "console")
	out := Tool(t, Current, consumerTool, "--bootstrap-server", b.Addr, "--topic", "console", "--from-beginning", "--max-messages", "100", "--timeout-ms", "60000")
	if got := strings.Split(strings.TrimSpace(out), "\n"); !slices.Equal(got, lines) { // the topic has one partition
		t.Errorf("%d lines came back: %.300q", len(got), got)
	}
}

// consumerGroup reads through a group, whose offsets live in a topic that the broker asks YAKt for.
func consumerGroup(t *testing.T, y *harness.Yakt, b *Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin := kadm.NewClient(b.Client(t))
	if _, err := admin.CreateTopic(ctx, 4, 1, nil, "grouped"); err != nil {
		t.Fatal(err)
	}
	produce(t, ctx, b.Client(t), "grouped", 1000)
	member := b.Client(t, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("grouped"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	consume(t, ctx, member, 1000)
	if err := member.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	offsets, err := admin.FetchOffsets(ctx, "readers")
	if err != nil {
		t.Fatal(err)
	}
	committed := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) { committed += o.At })
	if committed != 1000 {
		t.Errorf("the group has committed %d records", committed)
	}
	if topic, ok := y.MustMetadata(t).Topic("__consumer_offsets"); !ok || len(topic.Partitions) != 5 {
		t.Errorf("__consumer_offsets in the image: %+v", topic)
	}
}

func manyRecordsThrough(t *testing.T, b *Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client := b.Client(t, kgo.ConsumeTopics("many"))
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 6, 1, nil, "many"); err != nil {
		t.Fatal(err)
	}
	produce(t, ctx, client, "many", manyRecords) // kgo is idempotent unless told otherwise: this takes a producer id
	consume(t, ctx, client, manyRecords)
}

// transactions commits one and aborts one; a reader of committed records sees the first only.
func transactions(t *testing.T, y *harness.Yakt, b *Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := kadm.NewClient(b.Client(t)).CreateTopic(ctx, 1, 1, nil, "transacted"); err != nil {
		t.Fatal(err)
	}
	producer := b.Client(t, kgo.TransactionalID("transactor"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			producer.Produce(ctx, &kgo.Record{Topic: "transacted", Value: fmt.Appendf(nil, "%v %d", end == kgo.TryCommit, i)}, nil)
		}
		if err := producer.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	// A last committed record tells the reader that it has passed the aborted ones.
	produce(t, ctx, b.Client(t), "transacted", 1)
	reader := b.Client(t, kgo.ConsumeTopics("transacted"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for _, value := range consume(t, ctx, reader, 101) {
		if strings.HasPrefix(value, "false") {
			t.Errorf("the aborted record %q was read", value)
		}
	}
	if _, ok := y.MustMetadata(t).Topic("__transaction_state"); !ok {
		t.Error("__transaction_state is not in the image")
	}
}

// javaTransactions has Kafka's own producer send the records, in transactions of 100 ms.
func javaTransactions(t *testing.T, y *harness.Yakt, b *Broker) {
	out := Tool(t, Current, perfProducer, "--topic", "perf", "--num-records", "20000", "--record-size", "100", "--throughput", "-1",
		"--transactional-id", "java", "--transaction-duration-ms", "100", "--producer-props", "bootstrap.servers="+b.Addr)
	if !strings.Contains(out, "20000 records sent") {
		t.Errorf("it says:\n%s", out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	consume(t, ctx, b.Client(t, kgo.ConsumeTopics("perf"), kgo.FetchIsolationLevel(kgo.ReadCommitted())), 20000)
}

// controllerRestart kills YAKt beneath a running broker and starts it again: nothing is lost, and the broker goes on.
func controllerRestart(t *testing.T, y *harness.Yakt, b *Broker) {
	before := y.MustMetadata(t)
	y.Kill()
	y.Start(t)
	b.WaitRunning(t)
	b.CheckUp(t)
	after := y.MustMetadata(t)
	for _, topic := range before.Topics {
		if now, ok := after.Topic(topic.Name); !ok || now.TopicID != topic.TopicID || len(now.Partitions) != len(topic.Partitions) {
			t.Errorf("topic %+v is now %+v", topic, now)
		}
	}
	if after.Epoch <= before.Epoch || after.Offset <= before.Offset {
		t.Errorf("epoch and offset were %d and %d, and are %d and %d", before.Epoch, before.Offset, after.Epoch, after.Offset)
	}
	if _, err := kadm.NewClient(b.Client(t)).CreateTopic(t.Context(), 3, 1, nil, "after-restart"); err != nil {
		t.Errorf("create through the broker after the restart: %v", err)
	}
}

// produce sends n numbered records and waits until all are acknowledged.
func produce(t *testing.T, ctx context.Context, client *kgo.Client, topic string, n int) {
	t.Helper()
	failed := make(chan error, 1)
	for i := range n {
		client.Produce(ctx, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "record %d", i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
	select {
	case err := <-failed:
		t.Fatalf("produce to %s: %v", topic, err)
	default:
	}
}

// consume reads until n records have come and returns their values.
func consume(t *testing.T, ctx context.Context, client *kgo.Client, n int) []string {
	t.Helper()
	var values []string
	for _, r := range consumeRecords(t, ctx, client, n) {
		values = append(values, string(r.Value))
	}
	return values
}

// consumeRecords reads until n records have come; those of one partition are in its order.
func consumeRecords(t *testing.T, ctx context.Context, client *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("consume: %v after %d of %d records", err, len(records), n)
		}
		fetches.EachError(func(topic string, partition int32, err error) { t.Logf("consume %s-%d: %v", topic, partition, err) })
		records = append(records, fetches.Records()...)
	}
	return records
}

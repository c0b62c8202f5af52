package apache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

const (
	// defaultKills is for every run; YAKT_KILLS=50 is for a release.
	defaultKills = 10
	// creators is how many creates are in flight when the controller dies.
	creators       = 24
	enoughInFlight = 16
	// partitionsEach makes a create more than one record, so that half of it could be lost.
	partitionsEach = 3
	// tailEntries is how much lies behind the last snapshot in some of the rounds.
	tailEntries = 10_000
	// keptOf: one topic in this many stays until the end, the others are deleted after their round, to keep the broker small.
	keptOf = 8
)

// kills is how often controllers are killed.
func kills(t testing.TB) int {
	text := os.Getenv("YAKT_KILLS")
	if text == "" {
		return defaultKills
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("YAKT_KILLS: %v", err)
	}
	return n
}

// TestKilledControllerLosesNothing kills YAKt with creates in flight, again and again, beneath a broker that serves a
// producer. Every acknowledged topic is there afterwards, whole, in YAKt's image and in the broker's; the broker does
// not notice more than a pause; nobody who follows the log is told anything that takes back what was said.
//
// One kill in five comes while snapshots follow each other, one with ten thousand entries behind the last of them.
func TestKilledControllerLosesNothing(t *testing.T) {
	kills := kills(t)
	y := harness.StartYakt(t)
	snapshots := snapshotsAllTheTime(t)
	b := StartBroker(t, Current, 101, y, ByBootstrapServers(y))
	b.WaitRunning(t)
	observer := harness.StartObserver(t, y, 900)
	steady := startSteadyProducer(t, b, partitionsEach, 1)

	kept, sum := map[string]bool{}, 0
	for round := range kills {
		if round%5 == 3 {
			writeTail(t, y, b)
		}
		y.With() // after the kill
		if round%5 == 0 {
			y.With("--config", snapshots)
		}
		acknowledged, deleted := killRound(t, y, b, round)
		sum += len(acknowledged)
		for _, name := range acknowledged {
			if !deleted[name] {
				kept[name] = true
			}
		}
	}

	sent := steady.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	consume(t, ctx, b.Client(t, kgo.ConsumeTopics(steady.topic)), sent)
	t.Logf("%d kills, %d creates acknowledged, %d of their topics kept, %d records produced meanwhile", kills, sum, len(kept), sent)
	if sum < kills {
		t.Errorf("only %d creates were acknowledged: the rounds show nothing", sum)
	}

	m := y.MustMetadata(t)
	for name := range kept {
		if topic, ok := m.Topic(name); !ok || len(topic.Partitions) != partitionsEach {
			t.Errorf("the acknowledged topic %s is %+v in the end", name, topic)
		}
	}
	observer.WaitFor(t, m.Offset)
	if start := y.LogStart(t); start == 0 {
		t.Error("the log still begins at offset 0: no round was one of snapshots")
	} else {
		t.Logf("the log begins at %d and ends at %d", start, m.Offset)
	}
	for _, v := range observer.Violations() {
		t.Errorf("the observer: %s", v)
	}
	b.CheckUp(t)
	b.Stop(t) // whether it met a fault is looked at when the test ends
}

// snapshotsAllTheTime is a configuration with which one snapshot, and the compaction that goes with it, is over just before the next one is due.
func snapshotsAllTheTime(t *testing.T) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("metadata.log.max.record.bytes.between.snapshots=4096\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// writeTail puts entries into the log, one by one, that the next start has to read after its last snapshot.
func writeTail(t *testing.T, y *harness.Yakt, b *Broker) {
	t.Helper()
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID = b.ID
	for _, known := range y.MustMetadata(t).Brokers {
		if known.BrokerID == b.ID {
			req.BrokerEpoch = known.BrokerEpoch
		}
	}
	conn, err := harness.DialKafka(t.Context(), y.Addr, "tail")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range tailEntries {
		resp, err := conn.Request(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := kerr.ErrorForCode(resp.(*kmsg.AllocateProducerIDsResponse).ErrorCode); err != nil {
			t.Fatal(err)
		}
	}
}

// killRound starts creates, kills YAKt amid them, starts it again and compares.
func killRound(t *testing.T, y *harness.Yakt, b *Broker, round int) (acknowledged []string, deleted map[string]bool) {
	t.Helper()
	prefix := fmt.Sprintf("round-%d-", round)
	var mu sync.Mutex
	var inFlight atomic.Int32
	var sending, creating sync.WaitGroup
	dead, answered := make(chan struct{}), make(chan struct{})
	var first sync.Once
	sending.Add(creators)
	for worker := range creators {
		creating.Go(func() {
			conn, err := harness.DialKafka(t.Context(), y.Addr, "creator")
			sending.Done()
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			defer conn.Close()
			// One after another, so that the number in flight stays up while the first ones are answered.
			for n := 0; ; n++ {
				name := fmt.Sprintf("%s%d-%d", prefix, worker, n)
				inFlight.Add(1)
				err := createTopic(conn, name)
				select {
				case <-dead: // what was in flight has been counted
				default:
					inFlight.Add(-1)
				}
				switch {
				case err == nil:
					first.Do(func() { close(answered) })
					mu.Lock()
					acknowledged = append(acknowledged, name)
					mu.Unlock()
				case errors.As(err, new(*kerr.Error)):
					t.Errorf("create %s: %v", name, err)
					return
				default:
					return // cut off: nobody knows
				}
			}
		})
	}
	sending.Wait()
	if round%2 == 1 { // else the creates may not even have arrived
		select {
		case <-answered:
		case <-time.After(10 * time.Second):
			t.Error("no create was answered")
		}
	}
	<-time.After(time.Duration(rand.IntN(5000)) * time.Microsecond) // anywhere in the life of a commit
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for patience := time.After(10 * time.Second); inFlight.Load() < enoughInFlight; {
		select { // on a busy machine the creators may be between two creates
		case <-tick.C:
		case <-patience:
			t.Fatalf("round %d: never more than %d creates in flight", round, inFlight.Load())
		}
	}
	atDeath := inFlight.Load()
	close(dead)
	y.Kill()
	creating.Wait()
	y.Start(t)
	if t.Failed() {
		t.FailNow()
	}

	m := y.MustMetadata(t)
	for _, name := range acknowledged {
		if _, ok := m.Topic(name); !ok {
			t.Errorf("round %d: the acknowledged topic %s is lost", round, name)
		}
	}
	survivors := map[string]bool{}
	for _, topic := range m.Topics {
		if !strings.HasPrefix(topic.Name, prefix) {
			continue
		}
		survivors[topic.Name] = true
		if len(topic.Partitions) != partitionsEach {
			t.Errorf("round %d: topic %s has %d partitions", round, topic.Name, len(topic.Partitions))
		}
	}
	t.Logf("round %d: killed with %d creates in flight; %d acknowledged, %d there", round, atDeath, len(acknowledged), len(survivors))
	b.CheckUp(t)
	sameInBroker(t, b, prefix, survivors)
	return acknowledged, deleteMost(t, y, survivors)
}

// createTopic creates one topic straight at YAKt.
func createTopic(conn *harness.Conn, name string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(7)
	req.TimeoutMillis = 5000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitionsEach, 1
	req.Topics = append(req.Topics, topic)
	answered, err := conn.Request(req)
	if err != nil {
		return err
	}
	topics := answered.(*kmsg.CreateTopicsResponse).Topics
	if len(topics) != 1 {
		return fmt.Errorf("%d topics in the answer", len(topics))
	}
	return kerr.ErrorForCode(topics[0].ErrorCode)
}

// sameInBroker waits until the broker's Metadata has exactly these topics, each whole and led.
func sameInBroker(t *testing.T, b *Broker, prefix string, want map[string]bool) {
	t.Helper()
	admin := kadm.NewClient(b.Client(t))
	harness.Eventually(t, 30*time.Second, "the topics in the broker's metadata", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			return err
		}
		for name := range want {
			topic, ok := topics[name]
			if !ok || len(topic.Partitions) != partitionsEach {
				return fmt.Errorf("%s is %+v", name, topic)
			}
			for _, p := range topic.Partitions {
				if p.Leader != b.ID {
					return fmt.Errorf("%s-%d is led by %d: %w", name, p.Partition, p.Leader, p.Err)
				}
			}
		}
		for name := range topics {
			if strings.HasPrefix(name, prefix) && !want[name] {
				return fmt.Errorf("%s is in the broker only", name)
			}
		}
		return nil
	})
}

// deleteMost deletes all but a few of a round's topics.
func deleteMost(t *testing.T, y *harness.Yakt, topics map[string]bool) map[string]bool {
	t.Helper()
	deleted := map[string]bool{}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.SetVersion(6)
	req.TimeoutMillis = 10000
	n := 0
	for name := range topics {
		if n++; n%keptOf == 0 {
			continue
		}
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
		deleted[name] = true
	}
	conn, err := harness.DialKafka(t.Context(), y.Addr, "deleter")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answered, err := conn.Request(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range answered.(*kmsg.DeleteTopicsResponse).Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			t.Errorf("delete %s: %v", *topic.Topic, err)
		}
	}
	return deleted
}

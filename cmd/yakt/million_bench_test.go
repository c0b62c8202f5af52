package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

// The large cluster: a million partitions with three replicas, placed by this controller on thirty brokers in three
// racks, one in ten with a replica that is not in sync.
const (
	largeBrokers    = 30
	largeTopics     = 10_000
	largePartitions = 100 // of each topic
	largeRequest    = 50  // topics: an operation may have ten thousand records
	largeLagging    = 10  // one partition in so many
)

// BenchmarkMillion measures what a million partitions cost a whole node that keeps its log on the disk of the temporary
// directory. It is one scenario with many figures, so run it once: -benchtime 1x.
func BenchmarkMillion(b *testing.B) {
	keepHeapFloor()
	for b.Loop() {
		million(b)
	}
}

func million(b *testing.B) {
	heap := heapInUse()
	dir := b.TempDir()
	n, _ := benchmarkNodeIn(b, dir)
	start := time.Now()
	c := &large{b: b, controller: n.controller}
	c.fill()
	partitions := n.controller.Image().NumPartitions()
	b.ReportMetric(float64(partitions)/time.Since(start).Seconds(), "partitions/s")
	b.ReportMetric(float64(heapInUse()-heap)/float64(partitions), "heap-B/partition")

	quiet := c.alterations()
	b.ReportMetric(mean(quiet), "alter-µs")
	b.ReportMetric(float64(slices.Max(quiet).Microseconds())/1000, "quiet-ms")

	// A snapshot, with changes going on: the longest of them is how long the writer stood still, a sync included. As long may one take
	// without a snapshot, on a machine with other things to do: quiet-ms tells.
	var snapshotting atomic.Bool
	snapshotting.Store(true)
	done := make(chan error, 1)
	start = time.Now()
	go func() {
		defer snapshotting.Store(false)
		done <- n.log.Snapshot()
	}()
	var beside []time.Duration
	for i := 0; snapshotting.Load(); i++ {
		beside = append(beside, c.alter(i, i+1))
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "snapshot-ms")
	slices.Sort(beside)
	b.ReportMetric(float64(beside[len(beside)-1].Microseconds())/1000, "stall-ms")
	b.ReportMetric(float64(beside[len(beside)*99/100].Microseconds())/1000, "stall-99%-ms")

	start = time.Now()
	c.setFenced(105, true)
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "fence-ms")
	n.controller.Image().EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		if p.Leader == 105 {
			b.Errorf("%s-%d is led by the fenced broker", t.Name, id)
		}
		return !b.Failed()
	})

	stopNode(b, n)
	start = time.Now()
	n, _ = benchmarkNodeIn(b, dir)
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "restart-ms")
	if got := n.controller.Image().NumPartitions(); got != partitions {
		b.Errorf("%d partitions after the restart, there were %d", got, partitions)
	}
	stopNode(b, n)
	c.inMemory(dir)
}

// inMemory measures changes on a copy of the directory whose files lie in memory, where a sync costs a system call: all of a change but
// the disk. Without such a file system it measures nothing.
func (c *large) inMemory(dir string) {
	const memory = "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		return
	}
	copied, err := os.MkdirTemp(memory, "yakt-")
	if err != nil {
		c.b.Fatal(err)
	}
	defer os.RemoveAll(copied)
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		c.b.Fatal(err)
	}
	n, _ := benchmarkNodeIn(c.b, copied)
	defer stopNode(c.b, n)
	c.controller = n.controller
	c.setFenced(105, false) // it may be in sync again
	c.b.ReportMetric(mean(c.alterations()), "alter-in-memory-µs")
}

func (c *large) setFenced(broker int32, fenced bool) {
	answer, err := c.controller.ChangeRegistration(c.b.Context(), controller.Caller{}, plan.RegistrationChange{BrokerID: broker, Fenced: &fenced})
	if err != nil || answer.Refusal != nil {
		c.b.Fatal(err, answer.Refusal)
	}
}

// alterations are some thousand changes, one after another, and how long each took.
func (c *large) alterations() []time.Duration {
	took := make([]time.Duration, 2000)
	for i := range took {
		took[i] = c.alter(i, i+1)
	}
	return took
}

// mean is in microseconds.
func mean(all []time.Duration) float64 {
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return float64(sum.Microseconds()) / float64(len(all))
}

// heapInUse is what is reachable.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// large makes the large cluster and changes it.
type large struct {
	b          *testing.B
	controller *controller.Controller
	topics     []records.UUID
}

// ask sends one request to the controller as wire does.
func (c *large) ask(req kmsg.Request) kmsg.Response {
	resp, err := c.controller.Handle(c.b.Context(), controller.Caller{}, req)
	if err != nil {
		c.b.Fatal(err)
	}
	return resp
}

func (c *large) fill() {
	for id := range int32(largeBrokers) {
		rack := fmt.Sprintf("rack-%d", id%3)
		answer, err := c.controller.RegisterByHand(c.b.Context(), controller.Caller{},
			plan.HandRegistration{BrokerID: 100 + id, Host: "127.0.0.1", Port: uint16(9000 + id), Rack: &rack})
		if err != nil || answer.Refusal != nil {
			c.b.Fatal(err, answer.Refusal)
		}
	}
	for len(c.topics) < largeTopics {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version = 7
		for i := range largeRequest {
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic = fmt.Sprintf("topic-%06d", len(c.topics)+i)
			topic.NumPartitions, topic.ReplicationFactor = largePartitions, 3
			req.Topics = append(req.Topics, topic)
		}
		for _, topic := range c.ask(req).(*kmsg.CreateTopicsResponse).Topics {
			if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
				c.b.Fatalf("create %s: %v", topic.Topic, err)
			}
			c.topics = append(c.topics, topic.TopicID)
		}
	}
	for from := 0; from < largeTopics*largePartitions/largeLagging; from += 1000 {
		c.alter(from, from+1000)
	}
}

// alter shrinks or grows the ISRs of some of the partitions that lag, as their leaders ask for it, and says how long
// that took from the requests to the published image. Counting goes on from the beginning after the last one.
func (c *large) alter(from, to int) (took time.Duration) {
	img := c.controller.Image()
	byLeader := map[int32]*kmsg.AlterPartitionRequest{}
	for i := from; i < to; i++ {
		at := i * largeLagging % (largeTopics * largePartitions)
		id, partition := c.topics[at/largePartitions], int32(at%largePartitions)
		topic, _ := img.Topic(id)
		p, _ := topic.Partition(partition)
		req := byLeader[p.Leader]
		if req == nil {
			broker, _ := img.Broker(p.Leader)
			req = kmsg.NewPtrAlterPartitionRequest()
			req.Version, req.BrokerID, req.BrokerEpoch = 3, p.Leader, broker.Epoch
			byLeader[p.Leader] = req
		}
		isr := p.Replicas
		if len(p.ISR) == len(p.Replicas) {
			isr = p.Replicas[:2]
			if p.Leader == p.Replicas[2] {
				isr = p.Replicas[1:]
			}
		}
		change := kmsg.NewAlterPartitionRequestTopicPartition()
		change.Partition, change.LeaderEpoch, change.PartitionEpoch = partition, p.LeaderEpoch, p.PartitionEpoch
		for _, r := range isr {
			change.NewEpochISR = append(change.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: r, BrokerEpoch: -1})
		}
		if n := len(req.Topics); n == 0 || req.Topics[n-1].TopicID != id {
			t := kmsg.NewAlterPartitionRequestTopic()
			t.TopicID = id
			req.Topics = append(req.Topics, t)
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, change)
	}
	start := time.Now()
	for _, req := range byLeader {
		resp := c.ask(req).(*kmsg.AlterPartitionResponse)
		if resp.ErrorCode != 0 {
			c.b.Fatal(kerr.ErrorForCode(resp.ErrorCode))
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					c.b.Fatal(kerr.ErrorForCode(p.ErrorCode))
				}
			}
		}
	}
	return time.Since(start)
}

package http

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// webClients is how many clients of HTTP there are at a time, kafkaClients how many of Kafka's beside them.
const webClients, kafkaClients = 64, 4

// TestManyClientsOfBothKinds: nobody gets an error, and nothing that was answered is lost.
func TestManyClientsOfBothKinds(t *testing.T) {
	l := newLoad(t)
	l.run(3000)
	l.check()
	if len(l.made) == 0 || l.kafka.Load() == 0 {
		t.Errorf("%d topics were made by HTTP, and there were %d requests of Kafka's", len(l.made), l.kafka.Load())
	}
	t.Log(l)
}

// BenchmarkManyClientsOfBothKinds measures requests of 64 clients of HTTP, one at a time each: one in four makes a topic, others add a
// partition, allocate producer ids, fence brokers, and read. Meanwhile clients of Kafka make and delete topics and ask for metadata.
//
//	go test ./integration/http -run xxx -bench ManyClients -benchtime 20000x
func BenchmarkManyClientsOfBothKinds(b *testing.B) {
	l := newLoad(b)
	b.ResetTimer()
	l.run(b.N)
	b.StopTimer()
	l.check()
	b.ReportMetric(float64(b.N)/l.took.Seconds(), "requests/s")
	b.ReportMetric(float64(len(l.writes))/l.took.Seconds(), "writes/s")
	b.ReportMetric(float64(l.kafka.Load())/l.took.Seconds(), "kafka-requests/s")
	b.ReportMetric(milliseconds(l.writes, 0.5), "write-p50-ms")
	b.ReportMetric(milliseconds(l.writes, 0.99), "write-p99-ms")
	b.ReportMetric(milliseconds(l.reads, 0.5), "read-p50-ms")
	b.ReportMetric(milliseconds(l.reads, 0.99), "read-p99-ms")
	b.ReportMetric(float64(l.errors.Load()), "errors")
}

// load is the work of many clients on one server, and what came of it.
type load struct {
	t      testing.TB
	y      *harness.Yakt
	web    *http.Client
	topics atomic.Int64 // that were begun by HTTP
	kafka  atomic.Int64 // requests of Kafka's clients
	errors atomic.Int64
	took   time.Duration

	mu            sync.Mutex
	reads, writes []time.Duration
	made          map[string]int            // topics by HTTP with the partitions they were created with
	added         map[string]map[int32]bool // partitions by topic
	blocks        map[int64]bool            // of producer ids
	kept          map[string]bool           // topics by Kafka: made and not deleted
}

func newLoad(t testing.TB) *load {
	transport := &http.Transport{MaxIdleConnsPerHost: webClients}
	t.Cleanup(transport.CloseIdleConnections)
	l := &load{
		t: t, y: harness.StartYakt(t), web: &http.Client{Transport: transport},
		made: map[string]int{}, added: map[string]map[int32]bool{}, blocks: map[int64]bool{}, kept: map[string]bool{},
	}
	registerBrokers(t, l.y, 101, 102, 103)
	for i := range webClients {
		registerBrokers(t, l.y, 200+i)
	}
	for i := range webClients { // nothing is placed on them, so that fencing them is no work for all partitions
		must[any](t, l.y, "PUT", "/broker_registration_change", fmt.Sprintf(`{"brokerId":%d,"inControlledShutdown":true}`, 200+i))
	}
	return l
}

func (l *load) String() string {
	return fmt.Sprintf("%.0f requests/s (reads p50 %.1f ms, p99 %.1f ms; writes p50 %.1f ms, p99 %.1f ms) beside %.0f of Kafka's a second; %d errors",
		float64(len(l.reads)+len(l.writes))/l.took.Seconds(), milliseconds(l.reads, 0.5), milliseconds(l.reads, 0.99),
		milliseconds(l.writes, 0.5), milliseconds(l.writes, 0.99), float64(l.kafka.Load())/l.took.Seconds(), l.errors.Load())
}

// milliseconds is a quantile.
func milliseconds(all []time.Duration, quantile float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return float64(all[int(quantile*float64(len(all)-1))].Microseconds()) / 1000
}

// run makes requests by HTTP, and goes on with Kafka's until they are done.
func (l *load) run(requests int) {
	ctx, cancel := context.WithCancel(l.t.Context())
	defer cancel()
	var web, kafka sync.WaitGroup
	for i := range kafkaClients {
		kafka.Go(func() { l.kafkaClient(ctx, i) })
	}
	var left atomic.Int64
	left.Store(int64(requests))
	began := time.Now()
	for i := range webClients {
		web.Go(func() {
			c := webClient{load: l, id: i, rnd: rand.New(rand.NewPCG(*seed, uint64(i)))}
			for left.Add(-1) >= 0 {
				c.request(ctx)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.reads, l.writes = append(l.reads, c.reads...), append(l.writes, c.writes...)
		})
	}
	web.Wait()
	l.took = time.Since(began)
	cancel()
	kafka.Wait()
}

func (l *load) fail(format string, args ...any) {
	l.errors.Add(1)
	l.t.Errorf(format, args...)
}

// webClient makes one request at a time.
type webClient struct {
	*load
	id            int
	rnd           *rand.Rand
	since         int64
	fenced        bool
	reads, writes []time.Duration
}

func (c *webClient) request(ctx context.Context) {
	topic := fmt.Sprintf("web-%d", c.rnd.Int64N(c.topics.Load()+1))
	switch n := c.rnd.IntN(100); {
	case n < 25:
		name, partitions := fmt.Sprintf("web-%d", c.topics.Add(1)), 1+c.rnd.IntN(3)
		if c.send(ctx, "POST", "/create_topic", fmt.Sprintf(`{"name":%q,"numPartitions":%d,"replicationFactor":2}`, name, partitions), nil) == 201 {
			c.mu.Lock()
			c.made[name] = partitions
			c.mu.Unlock()
		}
	case n < 35:
		var answer struct{ PartitionID int32 }
		if c.send(ctx, "POST", "/create_partition", fmt.Sprintf(`{"topicName":%q}`, topic), &answer) == 201 {
			c.mu.Lock()
			if c.added[topic] == nil {
				c.added[topic] = map[int32]bool{}
			}
			if c.added[topic][answer.PartitionID] {
				c.fail("partition %d of %s was given twice", answer.PartitionID, topic)
			}
			c.added[topic][answer.PartitionID] = true
			c.mu.Unlock()
		}
	case n < 40:
		var answer struct{ ProducerIDStart int64 }
		if c.send(ctx, "POST", "/register_producer/101", "", &answer) == 200 {
			c.mu.Lock()
			if c.blocks[answer.ProducerIDStart] {
				c.fail("producer ids from %d were given twice", answer.ProducerIDStart)
			}
			c.blocks[answer.ProducerIDStart] = true
			c.mu.Unlock()
		}
	case n < 50: // each client has a broker of its own, and sees its own changes at once
		c.fenced = !c.fenced
		c.send(ctx, "PUT", "/broker_registration_change", fmt.Sprintf(`{"brokerId":%d,"fenced":%v}`, 200+c.id, c.fenced), nil)
		var broker struct{ Fenced bool }
		if c.send(ctx, "GET", fmt.Sprintf("/get_broker/%d", 200+c.id), "", &broker); broker.Fenced != c.fenced {
			c.fail("broker %d was told to be fenced: %v, and is: %v", 200+c.id, c.fenced, broker.Fenced)
		}
	case n < 70:
		c.send(ctx, "GET", "/get_topic/"+topic, "", nil)
	case n < 80:
		c.send(ctx, "GET", "/get_partitions?topic="+topic, "", nil)
	case n < 85:
		c.send(ctx, "GET", "/get_producer_ids", "", nil)
	default:
		var answer struct {
			Timestamp int64
			More      bool
		}
		if c.since == 0 {
			c.since = time.Now().UnixMilli() // only what is new: the whole image is another benchmark's
		}
		if c.send(ctx, "GET", fmt.Sprintf("/client_mgmt/%d?limit=100", c.since), "", &answer) == 200 {
			c.since = answer.Timestamp
		}
	}
}

// send makes one request and measures it. A topic that is not there yet is no error.
func (c *webClient) send(ctx context.Context, method, path, body string, into any) int {
	began := time.Now()
	a, err := ask(ctx, c.web, method, "http://"+c.y.Addr+path, body)
	took := time.Since(began)
	if method == "GET" {
		c.reads = append(c.reads, took)
	} else {
		c.writes = append(c.writes, took)
	}
	switch {
	case err != nil:
		c.fail("%s %s: %v", method, path, err)
		return 0
	case a.Status == 404 && strings.Contains(string(a.Body), "UNKNOWN_TOPIC_OR_PARTITION"):
	case a.Status/100 != 2:
		c.fail("%s %s %s: %v", method, path, body, a)
	case into != nil:
		if err := json.Unmarshal(a.Body, into); err != nil {
			c.fail("%s %s: %v in %s", method, path, err, a.Body)
		}
	}
	return a.Status
}

// kafkaClient makes topics, deletes every other one, and looks at some of the other side's. It speaks to YAKt alone: the
// brokers that clients would turn to are not there.
func (l *load) kafkaClient(ctx context.Context, id int) {
	conn, err := harness.DialKafka(ctx, l.y.Addr, fmt.Sprintf("kafka-%d", id))
	if err != nil {
		l.fail("a client of Kafka: %v", err)
		return
	}
	defer conn.Close()
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("kafka-%d-%d", id, n)
		create := kmsg.NewPtrCreateTopicsRequest()
		create.SetVersion(7)
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 2, 2
		create.Topics = append(create.Topics, topic)
		created, ok := kafkaRequest[*kmsg.CreateTopicsResponse](l, conn, create)
		if !ok {
			return
		}
		if code := created.Topics[0].ErrorCode; code != 0 {
			l.fail("%s: error %d", name, code)
		}
		if n%2 == 0 {
			remove := kmsg.NewPtrDeleteTopicsRequest()
			remove.SetVersion(6)
			remove.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
			if resp, ok := kafkaRequest[*kmsg.DeleteTopicsResponse](l, conn, remove); ok && resp.Topics[0].ErrorCode != 0 {
				l.fail("%s deleted: error %d", name, resp.Topics[0].ErrorCode)
			}
		} else {
			l.mu.Lock()
			l.kept[name] = true
			l.mu.Unlock()
		}
		web := fmt.Sprintf("web-%d", 1+n)
		look := kmsg.NewPtrMetadataRequest()
		look.SetVersion(12)
		look.Topics = []kmsg.MetadataRequestTopic{{Topic: &web}}
		if resp, ok := kafkaRequest[*kmsg.MetadataResponse](l, conn, look); ok {
			if code := resp.Topics[0].ErrorCode; code != 0 && code != kerr.UnknownTopicOrPartition.Code {
				l.fail("metadata of %s: error %d", web, code)
			}
		}
	}
}

func kafkaRequest[R kmsg.Response](l *load, conn *harness.Conn, req kmsg.Request) (resp R, ok bool) {
	l.kafka.Add(1)
	got, err := conn.Request(req)
	if err != nil {
		l.fail("a client of Kafka: %v", err)
		return resp, false
	}
	return got.(R), true
}

// check sees that everything is there that was answered.
func (l *load) check() {
	l.t.Helper()
	m := l.y.MustMetadata(l.t)
	for name, partitions := range l.made {
		topic, _ := m.Topic(name)
		if len(topic.Partitions) != partitions+len(l.added[name]) {
			l.fail("topic %s was made with %d partitions, %d were added, and it has %d", name, partitions, len(l.added[name]), len(topic.Partitions))
		}
	}
	for name := range l.kept {
		if topic, _ := m.Topic(name); len(topic.Partitions) != 2 {
			l.fail("topic %s is %+v", name, topic)
		}
	}
	if ids := must[struct{ NextProducerID int64 }](l.t, l.y, "GET", "/get_producer_ids", ""); ids.NextProducerID != int64(1000*len(l.blocks)) {
		l.fail("%d blocks were given, and the next producer id is %d", len(l.blocks), ids.NextProducerID)
	}
}

package http

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"yakt/integration/harness"
)

// promises are what was answered with success.
type promises struct {
	mu         sync.Mutex
	topics     map[string]promisedTopic
	partitions map[string]int32 // the highest that was created, by topic
	brokers    map[int32]int64  // epochs
	blocks     map[int64]bool   // of producer ids
	nextID     int64
	offset     int64
	answered   int
	cut        int // requests without an answer
}

type promisedTopic struct {
	id         string
	partitions int32
}

// TestWhatWasAnsweredIsThereAfterAKill kills the server while clients change things, again and again, and looks each time whether
// everything is there that a client was told is done.
func TestWhatWasAnsweredIsThereAfterAKill(t *testing.T) {
	const kills, clients = 5, 8
	rnd := rand.New(rand.NewPCG(*seed, 1))
	y := harness.StartYakt(t, "--config", propertiesFile(t, "metadata.log.max.record.bytes.between.snapshots=20000"))
	p := &promises{topics: map[string]promisedTopic{}, partitions: map[string]int32{}, brokers: map[int32]int64{}, blocks: map[int64]bool{}}
	registerBrokers(t, y, 101, 102)
	for kill := range kills {
		enough := p.answered + 20 + rnd.IntN(60)
		ctx, cancel := context.WithTimeout(t.Context(), webTimeout)
		reached := make(chan struct{})
		var once, running = sync.Once{}, sync.WaitGroup{}
		for client := range clients {
			transport := &http.Transport{}
			web := &http.Client{Transport: transport}
			running.Go(func() {
				defer transport.CloseIdleConnections()
				for n := 0; p.send(ctx, t, web, y.Addr, fmt.Sprintf("%d-%d-%d", kill, client, n), client, n); n++ {
					if p.count() >= enough {
						once.Do(func() { close(reached) })
					}
				}
			})
		}
		select {
		case <-reached: // and others are under way
		case <-ctx.Done():
			t.Error("too few answers")
		}
		y.Kill()
		running.Wait()
		cancel()
		y.Start(t)
		p.check(t, y)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d answers kept over %d kills; %d requests were cut off", p.answered, kills, p.cut)
}

func (p *promises) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered
}

// send makes one change and notes what was answered. It is false when there is no answer.
func (p *promises) send(ctx context.Context, t *testing.T, web *http.Client, addr, name string, client, n int) bool {
	topic := "topic-" + name
	broker := int32(200 + 10*client + n%10)
	var method, path, body string
	switch n % 4 {
	case 0:
		method, path, body = "POST", "/create_topic", fmt.Sprintf(`{"name":%q,"numPartitions":%d,"replicationFactor":2}`, topic, 1+n%3)
	case 1:
		topic = fmt.Sprintf("topic-%s-%d", name[:len(name)-len(fmt.Sprint(n))-1], n-1)
		method, path, body = "POST", "/create_partition", fmt.Sprintf(`{"topicName":%q,"replicas":[101,102]}`, topic)
	case 2:
		method, path = "POST", "/register_producer/101"
	case 3:
		method, path, body = "POST", "/register_broker", fmt.Sprintf(`{"brokerId":%d,"brokerHost":"h%s","brokerPort":9}`, broker, name)
	}
	a, err := ask(ctx, web, method, "http://"+addr+path, body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.cut++
		return false
	}
	if a.Status/100 != 2 {
		t.Errorf("%s %s: %v", path, body, a)
		return false
	}
	var answered struct {
		TopicID         string
		PartitionID     int32
		BrokerEpoch     int64
		ProducerIDStart int64
		ProducerIDLen   int64
		Offset          int64
	}
	if err := json.Unmarshal(a.Body, &answered); err != nil {
		t.Errorf("%s: %v in %s", path, err, a.Body)
	}
	p.answered++
	p.offset = max(p.offset, answered.Offset)
	switch n % 4 {
	case 0:
		p.topics[topic] = promisedTopic{answered.TopicID, int32(1 + n%3)}
	case 1:
		p.partitions[topic] = answered.PartitionID
	case 2:
		if p.blocks[answered.ProducerIDStart] {
			t.Errorf("producer ids from %d were given twice", answered.ProducerIDStart)
		}
		p.blocks[answered.ProducerIDStart] = true
		p.nextID = max(p.nextID, answered.ProducerIDStart+answered.ProducerIDLen)
	case 3:
		p.brokers[broker] = max(p.brokers[broker], answered.BrokerEpoch)
	}
	return true
}

// check sees that everything is there.
func (p *promises) check(t *testing.T, y *harness.Yakt) {
	t.Helper()
	m := y.MustMetadata(t)
	if m.Offset < p.offset {
		t.Errorf("offset %d, and %d was answered", m.Offset, p.offset)
	}
	there := map[string]harness.Topic{}
	for _, topic := range m.Topics {
		there[topic.Name] = topic
		for i, partition := range topic.Partitions {
			if partition.PartitionID != int32(i) || len(partition.Replicas) != 2 {
				t.Errorf("topic %+v is torn", topic)
			}
		}
	}
	for name, promised := range p.topics {
		topic := there[name]
		most := promised.partitions + 1 // one may have been added without an answer
		if n := int32(len(topic.Partitions)); topic.TopicID != promised.id || n < promised.partitions || n > most {
			t.Errorf("topic %s: %+v, and %+v was answered", name, topic, promised)
		}
	}
	for name, partition := range p.partitions {
		if n := int32(len(there[name].Partitions)); n != partition+1 {
			t.Errorf("topic %s has %d partitions, and partition %d was answered", name, n, partition)
		}
	}
	brokers := map[int32]harness.Broker{}
	for _, b := range m.Brokers {
		brokers[b.BrokerID] = b
	}
	for id, epoch := range p.brokers {
		if b, ok := brokers[id]; !ok || b.BrokerEpoch < epoch || b.Fenced {
			t.Errorf("broker %d is %+v, and epoch %d was answered", id, b, epoch)
		}
	}
	ids := must[struct{ NextProducerID int64 }](t, y, "GET", "/get_producer_ids", "")
	if ids.NextProducerID < p.nextID {
		t.Errorf("the next producer id is %d, and %d was given", ids.NextProducerID, p.nextID-1)
	}
}

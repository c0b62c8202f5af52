package http

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"yakt/integration/harness"
)

var seed = flag.Uint64("seed", 1, "of the random changes")

// TestWhoReplaysTheChangesHasTheMetadata changes things at random, by HTTP and by Kafka, several at a time, while replicas ask at
// random times for what has changed. Snapshots are taken all the time, so that the log forgets what a slow one has not read.
func TestWhoReplaysTheChangesHasTheMetadata(t *testing.T) {
	const rounds = 50
	rnd := rand.New(rand.NewPCG(*seed, 0))
	y := harness.StartYakt(t, "--config", propertiesFile(t, "metadata.log.max.record.bytes.between.snapshots=8000"))
	client, _ := admin(t, y)
	w := &world{t: t, y: y, kafka: client}
	// One asks often, one seldom, one for little at a time.
	habits := []struct {
		often float64
		limit int
	}{{0.9, 10_000}, {0.05, 10_000}, {0.5, 1}, {0.5, 40}}
	var replicas []*replica
	for _, route := range []string{"/broker_mgmt/", "/client_mgmt/"} {
		for range habits {
			replicas = append(replicas, newReplica(y, route))
		}
	}
	compared := 0
	for round := range rounds {
		var between any       // as it was at some time during the changes
		w.burst(rnd, func() { // asking beside the changes
			for i, r := range replicas {
				h := habits[i%len(habits)]
				if rnd.Float64() > h.often {
					continue
				}
				if err := r.ask(t.Context(), h.limit); err != nil {
					t.Errorf("round %d, %s%d: %v", round, r.route, i, err)
				}
				if rnd.IntN(len(replicas)) == 0 {
					between = metadata(t, y)
				}
			}
		})
		if t.Failed() {
			return
		}
		if between != nil && compareBetween(t, replicas[rnd.IntN(len(replicas))], between, habits[rnd.IntN(len(habits))].limit) {
			compared++
		}
		if rnd.IntN(4) == 0 {
			compare(t, y, replicas[rnd.IntN(len(replicas))], habits[rnd.IntN(len(habits))].limit)
		}
	}
	for i, r := range replicas {
		compare(t, y, r, habits[i%len(habits)].limit)
	}
	for i, r := range replicas {
		t.Logf("%s%d: %d answers were whole images, %d had more after them, %d changes", r.route, i, r.fulls, r.mores, r.changes)
	}
	t.Logf("%d changes made, %d refused, %d times compared with the metadata as it was meanwhile", w.made.Load(), w.refused.Load(), compared)
	// The test is of no use when these did not happen.
	if replicas[0].changes < 300 {
		t.Error("the one that asks often did not live on changes")
	}
	if compared < 5 {
		t.Error("replicas were hardly ever at the time of an image in between")
	}
	if replicas[1].fulls+replicas[5].fulls < 3 {
		t.Error("the one that asks seldom never fell behind what the log keeps")
	}
	if replicas[2].mores+replicas[6].mores < 10 {
		t.Error("the one that asks for little never had to ask at once again")
	}
}

func metadata(t *testing.T, y *harness.Yakt) any {
	t.Helper()
	a, err := ask(t.Context(), nil, "GET", "http://"+y.Addr+"/get_metadata", "")
	if err != nil {
		t.Fatal(err)
	}
	document, err := decode(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// compare brings a replica to where the metadata is, and sees that both are the same. Nothing may change meanwhile.
func compare(t *testing.T, y *harness.Yakt, r *replica, limit int) {
	t.Helper()
	want := metadata(t, y)
	for more := true; more; more = r.waiting.More {
		if err := r.ask(t.Context(), limit); err != nil {
			t.Fatalf("%s: %v", r.route, err)
		}
	}
	r.replay(r.position)
	got := r.metadata()
	if r.route == "/client_mgmt/" {
		got, want = r.clientMetadata(), forClients(want)
	}
	checkSame(t, r, got, want)
}

// compareBetween brings a replica to where the metadata was when other changes came after it, unless it is past that. Which brokers
// are live clients are told as it is now, so they have only the topics of then.
func compareBetween(t *testing.T, r *replica, want any, limit int) bool {
	t.Helper()
	at, err := want.(map[string]any)["timestamp"].(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	for r.position < at {
		if err := r.ask(t.Context(), limit); err != nil {
			t.Fatalf("%s: %v", r.route, err)
		}
	}
	if r.at > at {
		return false
	}
	r.replay(at)
	got := r.metadata()
	if r.route == "/client_mgmt/" {
		got, want = got.(map[string]any)["topics"], want.(map[string]any)["topics"]
	}
	checkSame(t, r, got, want)
	return true
}

func checkSame(t *testing.T, r *replica, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("seed %d: %s gives\n%v\nand the metadata is\n%v", *seed, r.route, got, want)
	}
}

// forClients is the part of the metadata that clients see.
func forClients(document any) any {
	m := document.(map[string]any)
	live := []any{}
	for _, b := range m["brokers"].([]any) {
		if b.(map[string]any)["fenced"] == false {
			live = append(live, b)
		}
	}
	return map[string]any{"brokers": live, "topics": m["topics"]}
}

// world is a cluster that changes at random.
type world struct {
	t             *testing.T
	y             *harness.Yakt
	kafka         *kadm.Client
	topics        int // that were ever created
	made, refused atomic.Int64
}

// burst makes some changes at once, and does something else beside them.
func (w *world) burst(rnd *rand.Rand, beside func()) {
	var running sync.WaitGroup
	for range 1 + rnd.IntN(8) {
		change := w.change(rnd)
		running.Go(func() {
			if ok, err := change(); err != nil {
				w.t.Error(err)
			} else if ok {
				w.made.Add(1)
			} else {
				w.refused.Add(1)
			}
		})
	}
	beside()
	running.Wait()
}

// change chooses a change. It says whether it was made; being refused is no error.
func (w *world) change(rnd *rand.Rand) func() (bool, error) {
	broker, port, rack := 101+rnd.IntN(5), 9000+rnd.IntN(2), [...]string{`null`, `"left"`}[rnd.IntN(2)]
	topic, partitions, factor := fmt.Sprintf("topic-%d", rnd.IntN(w.topics+1)), 1+rnd.IntN(5), 1+rnd.IntN(3)
	switch n := rnd.IntN(20); {
	case n < 4:
		return w.http("POST", "/register_broker", fmt.Sprintf(`{"brokerId":%d,"brokerHost":"h","brokerPort":%d,"rackId":%s}`, broker, port, rack))
	case n < 7:
		return w.http("PUT", "/broker_registration_change", fmt.Sprintf(`{"brokerId":%d,"fenced":%v}`, broker, rnd.IntN(2) == 0))
	case n == 7:
		return w.http("PUT", "/broker_registration_change", fmt.Sprintf(`{"brokerId":%d,"inControlledShutdown":true}`, broker))
	case n == 8:
		dirs := [...]string{`"EAAAAAAAAAAAAAAAAA%dw"`, `"FAAAAAAAAAAAAAAAAA%dw","GAAAAAAAAAAAAAAAAA%[1]dw"`}[rnd.IntN(2)]
		return w.http("PUT", "/broker_registration_change", fmt.Sprintf(`{"brokerId":%d,"logDirs":[`+dirs+`]}`, broker, broker))
	case n == 9:
		return w.http("PUT", fmt.Sprintf("/delete_broker/%d", broker), "")
	case n < 13:
		w.topics++
		return w.http("POST", "/create_topic", fmt.Sprintf(`{"name":"topic-%d","numPartitions":%d,"replicationFactor":%d,"configs":{"retention.ms":"%d"}}`,
			w.topics, partitions, factor, 1000+rnd.IntN(1000)))
	case n < 15:
		return w.http("POST", "/create_partition", fmt.Sprintf(`{"topicName":%q}`, topic))
	case n < 17:
		return w.http("POST", fmt.Sprintf("/register_producer/%d", broker), "")
	case n < 19:
		w.topics++
		name := fmt.Sprintf("topic-%d", w.topics)
		return func() (bool, error) {
			_, err := w.kafka.CreateTopic(w.t.Context(), int32(partitions), int16(factor), map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, name)
			return madeOrRefused(err)
		}
	default:
		return func() (bool, error) {
			deleted, err := w.kafka.DeleteTopics(w.t.Context(), topic)
			if err == nil {
				err = deleted[topic].Err
			}
			return madeOrRefused(err)
		}
	}
}

func madeOrRefused(err error) (bool, error) {
	if refusal := new(kerr.Error); errors.As(err, &refusal) {
		return false, nil
	}
	return err == nil, err
}

func (w *world) http(method, path, body string) func() (bool, error) {
	return func() (bool, error) {
		a, err := ask(w.t.Context(), nil, method, "http://"+w.y.Addr+path, body)
		if err == nil && a.Status >= 500 {
			err = fmt.Errorf("%s %s %s: %v", method, path, body, a)
		}
		return a.Status/100 == 2, err
	}
}

package apache

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// TestBrokerAmongWhatIsDoneByHand: a real broker follows what HTTP requests wrote, brokers without a process among it, and its
// tools see it; and what they do HTTP sees.
func TestBrokerAmongWhatIsDoneByHand(t *testing.T) {
	y := harness.StartYakt(t)
	byHand(t, y, "POST", "/register_broker", `{"brokerId":900,"brokerHost":"127.0.0.1","brokerPort":9,"rackId":"nowhere"}`, nil)
	b := StartBroker(t, Current, 101, y, ByBootstrapServers(y))
	b.WaitRunning(t)

	var registered struct {
		Fenced        bool
		IncarnationID string
		LogDirs       []string
	}
	byHand(t, y, "GET", "/get_broker/101", "", &registered)
	if registered.Fenced || registered.IncarnationID == "AAAAAAAAAAAAAAAAAAAAAA" || len(registered.LogDirs) != 1 {
		t.Errorf("a real broker is %+v", registered)
	}
	// Not placed on the broker that is not there, so that it can be written to.
	byHand(t, y, "PUT", "/broker_registration_change", `{"brokerId":900,"inControlledShutdown":true}`, nil)
	var created struct{ TopicID string }
	byHand(t, y, "POST", "/create_topic", `{"name":"by-hand","configs":{"retention.ms":"86400000"}}`, &created)
	byHand(t, y, "POST", "/create_partition", `{"topicName":"by-hand","partitionId":1,"replicas":[101]}`, nil)
	harness.Eventually(t, runningTimeout, "the broker has replayed it", func() error {
		out := Tool(t, Current, topicsTool, "--bootstrap-server", b.Addr, "--describe", "--topic", "by-hand")
		for _, want := range []string{"TopicId: " + created.TopicID, "PartitionCount: 2", "retention.ms=86400000", "Partition: 1", "Leader: 101"} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("describe does not say %q:\n%s", want, out)
			}
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := b.Client(t, kgo.ConsumeTopics("by-hand"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "by-hand", Partition: 1, Value: []byte("hello")}).FirstErr(); err != nil {
		t.Fatalf("produce to the partition that was added: %v", err)
	}
	consume(t, ctx, client, 1)

	Tool(t, Current, topicsTool, "--bootstrap-server", b.Addr, "--create", "--topic", "by-tool", "--partitions", "3", "--replication-factor", "1")
	var topic harness.Topic
	if byHand(t, y, "GET", "/get_topic/by-tool", "", &topic); len(topic.Partitions) != 3 || topic.Partitions[2].Leader != 101 {
		t.Errorf("the tool's topic is %+v", topic)
	}

	// The broker is alive, so it is back with its next heartbeat.
	byHand(t, y, "PUT", "/broker_registration_change", `{"brokerId":101,"fenced":true}`, nil)
	b.WaitUnfenced(t)
	byHand(t, y, "PUT", "/delete_broker/900", "", nil)
	b.WaitServing(t)
	b.Stop(t)
	byHand(t, y, "PUT", "/delete_broker/101", "", nil)
	if m := y.MustMetadata(t); len(m.Brokers) != 0 {
		t.Errorf("brokers %+v", m.Brokers)
	}
}

// byHand makes a request that has to succeed, and reads the answer.
func byHand(t *testing.T, y *harness.Yakt, method, path, body string, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+y.Addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %d %s %v", method, path, response.StatusCode, text, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
}

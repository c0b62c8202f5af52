package http

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// seen is what a Kafka client sees that knows nothing yet. Others answer some questions from what they know.
func seen(t testing.TB, y *harness.Yakt, topics ...string) kadm.Metadata {
	t.Helper()
	client, ctx := admin(t, y)
	defer client.Close()
	m, err := client.Metadata(ctx, topics...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// admin connects kadm to YAKt itself.
func admin(t testing.TB, y *harness.Yakt) (*kadm.Client, context.Context) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(y.Addr), kgo.ClientID("kafka"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), webTimeout)
	t.Cleanup(cancel)
	return kadm.NewClient(client), ctx
}

// text is an id as YAKt and Kafka's tools show it.
func text(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// topicAnswer is what GET /get_topic answers.
type topicAnswer struct {
	Name       string
	TopicID    string
	Partitions []struct {
		PartitionID int32
		Leader      int32
		LeaderEpoch int32
		Replicas    []int32
		ISR         []int32
	}
}

func TestKafkaSeesWhatHTTPDoes(t *testing.T) {
	y := harness.StartYakt(t)
	client, ctx := admin(t, y)
	registerBrokers(t, y, 101, 102)
	m := seen(t, y)
	if ids := m.Brokers.NodeIDs(); !slices.Equal(ids, []int32{1, 101, 102}) {
		t.Errorf("nodes %v", ids)
	}
	for _, b := range m.Brokers {
		if b.NodeID == 101 && (b.Host != "127.0.0.1" || b.Port != 20101 || b.Rack != nil) {
			t.Errorf("broker %+v", b)
		}
	}
	created := must[struct{ TopicID string }](t, y, "POST", "/create_topic", `{"name":"orders","numPartitions":2,"replicationFactor":2}`)
	check := func(partitions int) kadm.TopicDetail {
		t.Helper()
		topics := seen(t, y).Topics
		if names := topics.Names(); !slices.Equal(names, []string{"orders"}) || len(topics["orders"].Partitions) != partitions || text(topics["orders"].ID) != created.TopicID {
			t.Errorf("%d partitions expected of %s, and there is %+v", partitions, created.TopicID, topics)
		}
		return topics["orders"]
	}
	check(2)
	must[any](t, y, "POST", "/create_partition", `{"topicName":"orders","replicas":[102,101]}`)
	orders := check(3)
	if p := orders.Partitions[2]; p.Leader != 102 || !slices.Equal(p.Replicas, []int32{102, 101}) || !slices.Equal(p.ISR, []int32{102, 101}) {
		t.Errorf("partition %+v", p)
	}
	must[any](t, y, "PUT", "/broker_registration_change", `{"brokerId":102,"fenced":true}`)
	for _, p := range check(3).Partitions {
		if p.Leader != 101 || !slices.Equal(p.ISR, []int32{101}) {
			t.Errorf("with 102 fenced: partition %+v", p)
		}
	}
	must[any](t, y, "PUT", "/delete_broker/102", "")
	if m = seen(t, y); !slices.Equal(m.Brokers.NodeIDs(), []int32{1, 101}) {
		t.Errorf("nodes %v", m.Brokers.NodeIDs())
	}
	if _, err := client.CreateTopic(ctx, 1, 1, nil, "orders"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("created again: %v", err)
	}
}

func TestHTTPSeesWhatKafkaDoes(t *testing.T) {
	y := harness.StartYakt(t)
	broker := harness.StartStandIn(t, y, 101)
	client, ctx := admin(t, y)
	created, err := client.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": kadm.StringPtr("1000")}, "orders")
	if err != nil {
		t.Fatal(err)
	}
	orders := must[topicAnswer](t, y, "GET", "/get_topic/orders", "")
	if orders.TopicID != text(created.ID) || len(orders.Partitions) != 2 || orders.Partitions[1].Leader != 101 {
		t.Errorf("%+v, created as %+v", orders, created)
	}
	a, err := ask(ctx, nil, "POST", "http://"+y.Addr+"/create_topic", `{"name":"orders"}`)
	if err != nil || a.Status != 409 {
		t.Errorf("created again: %v %v", a, err)
	}
	b := must[struct {
		Fenced        bool
		IncarnationID string
		EndPoints     []struct{ Port int }
		LogDirs       []string
	}](t, y, "GET", "/get_broker/101", "")
	if b.Fenced || b.IncarnationID == "AAAAAAAAAAAAAAAAAAAAAA" || len(b.EndPoints) != 1 || b.EndPoints[0].Port != 20101 || len(b.LogDirs) != 1 {
		t.Errorf("a real broker is %+v", b)
	}
	// The id of a broker that is alive belongs to it.
	a, err = ask(ctx, nil, "POST", "http://"+y.Addr+"/register_broker", `{"brokerId":101,"brokerHost":"h","brokerPort":1}`)
	if err != nil || a.Status != 409 || !strings.Contains(string(a.Body), "DUPLICATE_BROKER_REGISTRATION") {
		t.Errorf("registered over a live broker: %v %v", a, err)
	}
	// Producer ids given by HTTP and by Kafka are of one sequence.
	one := must[struct{ ProducerIDStart, ProducerIDLen int64 }](t, y, "POST", "/register_producer/101", "")
	two := must[struct{ ProducerIDStart, ProducerIDLen int64 }](t, y, "POST", "/register_producer/101", "")
	if two.ProducerIDStart != one.ProducerIDStart+one.ProducerIDLen {
		t.Errorf("blocks %+v and %+v", one, two)
	}
	if deleted, err := client.DeleteTopics(ctx, "orders"); err != nil || deleted["orders"].Err != nil {
		t.Fatalf("deleted: %v, %+v", err, deleted)
	}
	if a, err := ask(ctx, nil, "GET", "http://"+y.Addr+"/get_topic/orders", ""); err != nil || a.Status != 404 {
		t.Errorf("after its deletion: %v %v", a, err)
	}
	if err := broker.Err(); err != nil {
		t.Errorf("the broker suffered: %v", err)
	}
}

// TestRealBrokerTakesOverAHandMadeOne: the id was only kept for it.
func TestRealBrokerTakesOverAHandMadeOne(t *testing.T) {
	y := harness.StartYakt(t)
	registerBrokers(t, y, 101)
	must[any](t, y, "POST", "/create_topic", `{"name":"orders"}`)
	harness.StartStandIn(t, y, 101)
	harness.Eventually(t, webTimeout, "the real broker unfenced", func() error {
		b := must[struct {
			Fenced        bool
			IncarnationID string
		}](t, y, "GET", "/get_broker/101", "")
		if b.Fenced || b.IncarnationID == "AAAAAAAAAAAAAAAAAAAAAA" {
			return fmt.Errorf("broker %+v", b)
		}
		return nil
	})
}

// TestHandMadeBrokersOutliveSessions starts the controller anew and waits longer than a session lasts.
func TestHandMadeBrokersOutliveSessions(t *testing.T) {
	y := harness.StartYakt(t, "--config", propertiesFile(t, "broker.session.timeout.ms=500"))
	registerBrokers(t, y, 101)
	silent := harness.StartStandIn(t, y, 102)
	silent.Stop()
	y.Kill()
	y.Start(t)
	harness.Eventually(t, webTimeout, "the silent broker fenced", func() error {
		m, err := y.Metadata()
		if err == nil && m.Unfenced(102) {
			err = errors.New("it is unfenced")
		}
		return err
	})
	if m := y.MustMetadata(t); !m.Unfenced(101) {
		t.Errorf("brokers %+v", m.Brokers)
	}
}

// TestBothSidesAtOnce has each side make topics and the other one look for them right after the answer.
func TestBothSidesAtOnce(t *testing.T) {
	y := harness.StartYakt(t)
	registerBrokers(t, y, 101, 102, 103)
	client, ctx := admin(t, y)
	for i := range 20 {
		byHTTP, byKafka := fmt.Sprintf("http-%d", i), fmt.Sprintf("kafka-%d", i)
		must[any](t, y, "POST", "/create_topic", fmt.Sprintf(`{"name":%q,"numPartitions":%d}`, byHTTP, 1+i%3))
		if topic := seen(t, y, byHTTP).Topics[byHTTP]; topic.Err != nil || len(topic.Partitions) != 1+i%3 {
			t.Fatalf("%s: %+v", byHTTP, topic)
		}
		if _, err := client.CreateTopic(ctx, int32(1+i%3), 2, nil, byKafka); err != nil {
			t.Fatal(err)
		}
		if topic := must[topicAnswer](t, y, "GET", "/get_topic/"+byKafka, ""); len(topic.Partitions) != 1+i%3 {
			t.Fatalf("%s: %+v", byKafka, topic)
		}
	}
}

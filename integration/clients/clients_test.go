package clients

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// clientTimeout is for one step of a client, which may retry within it.
const clientTimeout = 30 * time.Second

// admin connects kadm to YAKt itself.
func admin(t *testing.T, y *harness.Yakt) (*kadm.Client, context.Context) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(y.Addr), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	t.Cleanup(cancel)
	return kadm.NewClient(client), ctx
}

func TestMetadataNamesControllerAndBrokers(t *testing.T) {
	y := harness.StartYakt(t)
	harness.StartStandIn(t, y, 101)
	client, ctx := admin(t, y)
	m, err := client.Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if m.Cluster != y.ClusterID || m.Controller != 1 {
		t.Errorf("cluster %q with controller %d", m.Cluster, m.Controller)
	}
	if ids := m.Brokers.NodeIDs(); !slices.Equal(ids, []int32{1, 101}) { // clients have to find the controller among the nodes
		t.Errorf("nodes %v", ids)
	}
}

func TestControllerIsNotListedWhereItShallNotBe(t *testing.T) {
	y := harness.StartYakt(t, "--list-controller=false")
	client, ctx := admin(t, y)
	m, err := client.Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if m.Controller != -1 || len(m.Brokers) != 0 {
		t.Errorf("without brokers: nodes %v with controller %d", m.Brokers.NodeIDs(), m.Controller)
	}
	harness.StartStandIn(t, y, 102)
	harness.StartStandIn(t, y, 101)
	client, ctx = admin(t, y)
	if m, err = client.Metadata(ctx); err != nil {
		t.Fatal(err)
	}
	if ids := m.Brokers.NodeIDs(); !slices.Equal(ids, []int32{101, 102}) || !slices.Contains(ids, m.Controller) {
		t.Errorf("nodes %v with controller %d", ids, m.Controller)
	}
}

func TestTopicFromCreationToDeletion(t *testing.T) {
	y := harness.StartYakt(t)
	for _, id := range []int32{101, 102, 103} {
		harness.StartStandIn(t, y, id)
	}
	client, ctx := admin(t, y)
	created, err := client.CreateTopic(ctx, 6, 3, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, "orders")
	if err != nil {
		t.Fatal(err)
	}
	if created.NumPartitions != 6 || created.ReplicationFactor != 3 {
		t.Errorf("created %+v", created)
	}
	topics, err := client.ListTopics(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	orders := topics["orders"]
	if orders.ID != created.ID || len(orders.Partitions) != 6 {
		t.Fatalf("described %+v", orders)
	}
	led := map[int32]int{}
	for _, p := range orders.Partitions {
		led[p.Leader]++
		if replicas := slices.Sorted(slices.Values(p.Replicas)); !slices.Equal(replicas, []int32{101, 102, 103}) || len(p.ISR) != 3 {
			t.Errorf("partition %+v", p)
		}
	}
	if led[101] != 2 || led[102] != 2 || led[103] != 2 {
		t.Errorf("leaders per broker: %v", led)
	}
	if _, err := client.CreateTopic(ctx, 1, 1, nil, "orders"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("created again: %v", err)
	}
	if deleted, err := client.DeleteTopics(ctx, "orders"); err != nil || deleted["orders"].Err != nil {
		t.Fatalf("deleted: %v, %+v", err, deleted)
	}
	topics, err = client.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(topics) != 0 {
		t.Errorf("topics after the deletion: %v", topics.Names())
	}
	if deleted, err := client.DeleteTopics(ctx, "orders"); err != nil || !errors.Is(deleted["orders"].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("deleted again: %v, %+v", err, deleted)
	}
}

// TestWithoutABroker is what a new cluster looks like before its first broker, and what one must not break.
func TestWithoutABroker(t *testing.T) {
	y := harness.StartYakt(t)
	client, ctx := admin(t, y)
	m, err := client.Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if m.Controller != 1 || len(m.Brokers) != 1 || len(m.Topics) != 0 {
		t.Errorf("metadata %+v", m)
	}
	if _, err := client.CreateTopic(ctx, 1, 1, nil, "early"); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Errorf("created without a broker: %v", err)
	}
	topics, err := client.ListTopics(ctx, "early")
	if err != nil {
		t.Fatal(err)
	}
	if err := topics["early"].Err; !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("described: %v", err)
	}
}

// TestTopicsOutliveTheirBrokers describes and deletes when all brokers are gone and YAKt has been started anew.
func TestTopicsOutliveTheirBrokers(t *testing.T) {
	y := harness.StartYakt(t, "--config", propertiesFile(t, "broker.session.timeout.ms=1000"))
	broker := harness.StartStandIn(t, y, 101)
	client, ctx := admin(t, y)
	for _, name := range []string{"kept", "removed"} {
		if _, err := client.CreateTopic(ctx, 3, 1, nil, name); err != nil {
			t.Fatal(err)
		}
	}
	broker.Stop()
	y.Kill()
	y.Start(t)
	harness.Eventually(t, clientTimeout, "the silent broker fenced", func() error {
		m, err := y.Metadata()
		if err == nil && m.Unfenced(101) {
			err = errors.New("it is unfenced")
		}
		return err
	})
	client, ctx = admin(t, y)
	topics, err := client.ListTopics(ctx, "kept")
	if err != nil {
		t.Fatal(err)
	}
	if kept := topics["kept"]; len(kept.Partitions) != 3 {
		t.Errorf("described %+v", kept)
	}
	for _, p := range topics["kept"].Partitions {
		if p.Leader != -1 {
			t.Errorf("partition %d is led by %d", p.Partition, p.Leader)
		}
	}
	if deleted, err := client.DeleteTopics(ctx, "removed"); err != nil || deleted["removed"].Err != nil {
		t.Errorf("deleted: %v, %+v", err, deleted)
	}
	if m := y.MustMetadata(t); len(m.Topics) != 1 || m.Topics[0].Name != "kept" {
		t.Errorf("topics %+v", m.Topics)
	}
}

// TestObserverReadsTheLogFromItsBeginning has the recording observer follow through a restart.
func TestObserverReadsTheLogFromItsBeginning(t *testing.T) {
	y := harness.StartYakt(t)
	observer := harness.StartObserver(t, y, 900)
	harness.StartStandIn(t, y, 101)
	client, ctx := admin(t, y)
	for _, name := range []string{"one", "two"} {
		if _, err := client.CreateTopic(ctx, 2, 1, nil, name); err != nil {
			t.Fatal(err)
		}
	}
	observer.WaitFor(t, y.MustMetadata(t).Offset)
	y.Stop(t)
	y.Start(t)
	client, ctx = admin(t, y)
	if _, err := client.CreateTopic(ctx, 2, 1, nil, "three"); err != nil {
		t.Fatal(err)
	}
	m := y.MustMetadata(t)
	observer.WaitFor(t, m.Offset)
	if _, _, epoch := observer.Position(); epoch != m.Epoch {
		t.Errorf("the observer is in epoch %d, the controller in %d", epoch, m.Epoch)
	}
	for _, v := range observer.Violations() {
		t.Error(v)
	}
}

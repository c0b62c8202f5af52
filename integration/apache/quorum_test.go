package apache

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// TestBrokerOutlivesTheLeader has a broker that was told three controllers' addresses, and kills the one that leads, twice.
func TestBrokerOutlivesTheLeader(t *testing.T) {
	q := harness.StartQuorum(t)
	addrs := []string{q.Nodes[0].Addr, q.Nodes[1].Addr, q.Nodes[2].Addr}
	b := StartBroker(t, Current, 101, q.Nodes[0], "controller.quorum.bootstrap.servers="+strings.Join(addrs, ","))
	b.WaitRunning(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	client := b.Client(t, kgo.ConsumeTopics("kept"))
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 3, 1, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	produce(t, ctx, client, "kept", 1000)
	for _, name := range []string{"after-one", "after-two"} {
		dead := q.Leader(t)
		q.Nodes[dead].Kill()
		killed := time.Now()
		harness.Eventually(t, time.Minute, "create "+name+" through the broker", func() error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			_, err := admin.CreateTopic(ctx, 1, 1, nil, name)
			return err
		})
		t.Logf("killed node %d: a topic was created through the broker %v later", dead+1, time.Since(killed).Round(time.Millisecond))
		produce(t, ctx, client, "kept", 1000)
		b.CheckUp(t)
		q.Nodes[dead].Start(t)
		q.WaitVoters(t, 3)
	}
	consume(t, ctx, client, 3000)
	out := Tool(t, Current, "org.apache.kafka.tools.MetadataQuorumCommand", "--bootstrap-controller", strings.Join(addrs, ","), "describe", "--replication")
	for _, want := range []string{"Leader", "Follower", "Observer"} {
		if !strings.Contains(out, want) {
			t.Errorf("kafka-metadata-quorum describe --replication has no %s:\n%s", want, out)
		}
	}
	if n := strings.Count(out, "Follower"); n != 2 {
		t.Errorf("%d followers:\n%s", n, out)
	}
	out = Tool(t, Current, "org.apache.kafka.tools.ClusterTool", "list-endpoints", "--bootstrap-controller", addrs[1])
	for _, addr := range addrs {
		if _, port, _ := net.SplitHostPort(addr); !strings.Contains(out, port) {
			t.Errorf("kafka-cluster list-endpoints does not list the controller at %s:\n%s", addr, out)
		}
	}
	out = Tool(t, Current, "org.apache.kafka.tools.FeatureCommand", "--bootstrap-controller", addrs[2], "describe")
	if !strings.Contains(out, "metadata.version") || !strings.Contains(out, "4.3-IV0") {
		t.Errorf("kafka-features describe:\n%s", out)
	}
	b.Stop(t)
}

// TestBrokersOfAListedQuorum: one has the controllers' own list, the other only addresses. Then two of the three controllers
// move. The last address that both were told has to stay: an Apache broker that has lost the leader asks there and nowhere else.
func TestBrokersOfAListedQuorum(t *testing.T) {
	q := harness.ListedQuorum(t)
	q.Together(t)
	var addrs, voters []string
	for i, y := range q.Nodes {
		addrs = append(addrs, y.Addr)
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, y.Addr))
	}
	brokers := []*Broker{
		StartBroker(t, Current, 101, q.Nodes[0], "controller.quorum.voters="+strings.Join(voters, ",")),
		StartBroker(t, Current, 102, q.Nodes[0], "controller.quorum.bootstrap.servers="+strings.Join(addrs, ",")),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, b := range brokers {
		b.WaitRunning(t)
	}
	client := brokers[0].Client(t, kgo.ConsumeTopics("kept"))
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 3, 2, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	produce(t, ctx, client, "kept", 1000)
	for i, y := range q.Nodes[:2] {
		y.Stop(t)
		y.Addr = harness.FreeAddr(t)
		y.Start(t)
		harness.Eventually(t, time.Minute, "the voters' addresses", func() error {
			at, err := q.Voters(ctx)
			if err == nil && at[int32(i+1)] != y.Addr {
				err = fmt.Errorf("voters %v, and node %d is at %s", at, i+1, y.Addr)
			}
			return err
		})
		q.WaitVoters(t, 3)
		name := fmt.Sprintf("moved-%d", i+1)
		harness.Eventually(t, time.Minute, "create "+name+" through the broker", func() error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			_, err := admin.CreateTopic(ctx, 1, 2, nil, name)
			return err
		})
		for _, b := range brokers {
			b.CheckUp(t)
		}
	}
	produce(t, ctx, client, "kept", 1000)
	consume(t, ctx, client, 2000)
	for _, b := range brokers {
		b.Stop(t)
	}
}

package apache

import (
	"context"
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
	b.Stop(t)
}

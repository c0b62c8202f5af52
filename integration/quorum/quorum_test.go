package quorum

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// register registers a broker by hand, through node i.
func register(t testing.TB, q *harness.Quorum, i int, id int32) {
	t.Helper()
	post(t, q, i, "/register_broker", fmt.Sprintf(`{"brokerId": %d, "brokerHost": "127.0.0.1", "brokerPort": %d}`, id, 20000+id))
}

// post changes something by HTTP, through node i.
func post(t testing.TB, q *harness.Quorum, i int, path, body string) {
	t.Helper()
	resp, err := http.Post("http://"+q.Nodes[i].Addr+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s through %s: %s %s %v", path, body, q.Nodes[i].Addr, resp.Status, text, err)
	}
}

// TestAnyOneMayDie kills the leader with creates going on, brings it back, stops the next one politely, and at last
// kills them all: nothing that was acknowledged is lost, and creates go on within seconds.
func TestAnyOneMayDie(t *testing.T) {
	q := harness.StartQuorum(t)
	register(t, q, (q.Leader(t)+1)%3, 101) // a follower sends it on
	c := &creator{client: newClient(t, q)}
	for range 5 {
		c.create(t)
	}
	for range 2 {
		dead := q.Leader(t)
		q.Nodes[dead].Kill()
		took := c.create(t)
		t.Logf("killed node %d: the next topic was created %v later", dead+1, took.Round(time.Millisecond))
		for range 5 {
			c.create(t)
		}
		q.Nodes[dead].Start(t)
		q.WaitVoters(t, 3)
		c.check(t, q)
	}

	leaving := q.Leader(t)
	before, err := q.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	longest := c.during(t, "stop", func() error { return q.Nodes[leaving].Process().Stop(15 * time.Second) })
	t.Logf("stopped node %d: the longest pause between creates was %v", leaving+1, longest.Round(time.Millisecond))
	after, err := q.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.LeaderEpoch != before.LeaderEpoch+1 || !strings.Contains(q.Nodes[leaving].Process().Output().String(), "no longer the leader") {
		t.Errorf("epoch %d before the stop and %d after: leadership was not handed over", before.LeaderEpoch, after.LeaderEpoch)
	}
	q.Nodes[leaving].Start(t)
	q.WaitVoters(t, 3)

	for _, y := range q.Nodes {
		y.Kill()
	}
	for _, y := range q.Nodes {
		y.Launch()
	}
	for _, y := range q.Nodes {
		y.WaitReady(t)
	}
	c.create(t)
	q.WaitVoters(t, 3)
	c.check(t, q)
}

// TestFollowersAnswer what they can, and say who leads for the rest.
func TestFollowersAnswer(t *testing.T) {
	q := harness.StartQuorum(t)
	leader := q.Leader(t)
	follower := (leader + 1) % 3
	register(t, q, follower, 101)
	c := &creator{client: newClient(t, q)}
	c.create(t)
	c.check(t, q) // GET /get_metadata of each

	metadata := kmsg.NewPtrMetadataRequest()
	metadata.SetVersion(12)
	resp, err := q.Ask(t.Context(), follower, metadata)
	if err != nil {
		t.Fatal(err)
	}
	if m := resp.(*kmsg.MetadataResponse); m.ControllerID != int32(leader+1) || len(m.Topics) != 1 {
		t.Errorf("a follower's metadata: controller %d, topics %+v", m.ControllerID, m.Topics)
	}

	create := kmsg.NewPtrCreateTopicsRequest()
	create.SetVersion(7)
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "not-here", 1, 1
	create.Topics = []kmsg.CreateTopicsRequestTopic{topic}
	if resp, err = q.Ask(t.Context(), follower, create); err != nil {
		t.Fatal(err)
	}
	if got := resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; got != kerr.NotController.Code {
		t.Errorf("a follower answers CreateTopics with %v", kerr.ErrorForCode(got))
	}

	p, err := q.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.SetVersion(17)
	fetch.MaxBytes, fetch.ReplicaState.ID = 1<<20, 900
	part := kmsg.NewFetchRequestTopicPartition()
	part.CurrentLeaderEpoch, part.LastFetchedEpoch, part.PartitionMaxBytes = p.LeaderEpoch, 0, 1<<20
	of := kmsg.NewFetchRequestTopic()
	of.TopicID, of.Partitions = [16]byte{15: 1}, []kmsg.FetchRequestTopicPartition{part}
	fetch.Topics = []kmsg.FetchRequestTopic{of}
	if resp, err = q.Ask(t.Context(), follower, fetch); err != nil {
		t.Fatal(err)
	}
	f := resp.(*kmsg.FetchResponse)
	if got := f.Topics[0].Partitions[0]; got.ErrorCode != kerr.NotLeaderForPartition.Code || got.CurrentLeader.LeaderID != int32(leader+1) || got.CurrentLeader.LeaderEpoch != p.LeaderEpoch {
		t.Errorf("a follower answers Fetch with %v and leader %+v", kerr.ErrorForCode(got.ErrorCode), got.CurrentLeader)
	}
	if len(f.Brokers) != 1 || fmt.Sprintf("%s:%d", f.Brokers[0].Host, f.Brokers[0].Port) != q.Nodes[leader].Addr {
		t.Errorf("the leader is said to be at %+v, it is at %s", f.Brokers, q.Nodes[leader].Addr)
	}
}

// TestAFollowerHasWhatItAcknowledged: who makes a change through it looks there next.
func TestAFollowerHasWhatItAcknowledged(t *testing.T) {
	q := harness.StartQuorum(t)
	follower := (q.Leader(t) + 1) % 3
	register(t, q, follower, 101)
	for i := range 20 {
		name := fmt.Sprintf("topic-%d", i)
		post(t, q, follower, "/create_topic", fmt.Sprintf(`{"name": %q}`, name))
		if _, err := q.Nodes[follower].Get("/get_topic/" + name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEmptiedNodeComesBack: its directory is gone; it is given what the others have, and counts again.
func TestEmptiedNodeComesBack(t *testing.T) {
	q := harness.StartQuorum(t)
	register(t, q, 0, 101)
	c := &creator{client: newClient(t, q)}
	c.create(t)
	emptied := (q.Leader(t) + 1) % 3
	if emptied == 0 {
		emptied = (emptied + 1) % 3 // node 1's command would begin another cluster
		if emptied == q.Leader(t) {
			emptied = 2
		}
	}
	q.Nodes[emptied].Kill()
	if err := os.RemoveAll(q.Nodes[emptied].Dir); err != nil {
		t.Fatal(err)
	}
	q.Nodes[emptied].Start(t)
	q.WaitVoters(t, 3)
	c.check(t, q)
	q.Nodes[q.Leader(t)].Kill()
	c.create(t) // which needs its vote
}

func TestWhoIsNotLetInSaysWhy(t *testing.T) {
	first := harness.StartYakt(t, "-i", "1")
	second := harness.StartYakt(t, "-i", "2", "-e", "1/"+first.Addr)
	for name, test := range map[string]struct {
		args []string
		says []string
	}{
		"an id in use":    {[]string{"-i", "2", "-e", "1/" + first.Addr}, []string{"node 1/" + first.Addr + " says", "node id 2 is in use", second.Addr}},
		"another cluster": {[]string{"-i", "3", "-e", "1/" + first.Addr, "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qk"}, []string{first.ClusterID, "MkU3OEVBNTcwNTJENDM2Qk"}},
	} {
		p := harness.StartServer(t, append([]string{"-a", harness.FreeAddr(t), "-d", t.TempDir()}, test.args...)...)
		if err := p.Wait(patience); err == nil {
			t.Errorf("%s: it ended well", name)
		}
		for _, s := range test.says {
			if !strings.Contains(p.Output().String(), s) {
				t.Errorf("%s: it does not say %q:\n%s", name, s, p.Output())
			}
		}
	}
}

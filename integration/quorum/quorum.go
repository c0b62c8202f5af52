// Package quorum runs several controllers and takes away one, or all, from outside.
//
//	quorum.go        three nodes by the documented commands, and what is asked of them
//	quorum_test.go   joining, killing, stopping, restarting, refusing
package quorum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// patience is for one step of the whole, on a busy machine.
const patience = 30 * time.Second

// quorum is three controllers, ids 1 to 3.
type quorum struct {
	nodes [3]*harness.Yakt
}

// start runs the three commands that the README has, and waits until all three vote.
func start(t testing.TB) *quorum {
	t.Helper()
	q := &quorum{}
	q.nodes[0] = harness.StartYakt(t, "-i", "1")
	q.nodes[1] = harness.StartYakt(t, "-i", "2", "-e", "1/"+q.nodes[0].Addr)
	q.nodes[2] = harness.StartYakt(t, "-i", "3", "-e", "1/"+q.nodes[0].Addr+",2/"+q.nodes[1].Addr)
	for _, y := range q.nodes {
		if y.ClusterID != q.nodes[0].ClusterID {
			t.Fatalf("%s is of cluster %s, the first node of %s", y.Addr, y.ClusterID, q.nodes[0].ClusterID)
		}
	}
	q.waitVoters(t, 3)
	return q
}

// waitVoters waits until so many nodes vote and all of them have everything.
func (q *quorum) waitVoters(t testing.TB, n int) {
	t.Helper()
	harness.Eventually(t, patience, fmt.Sprintf("%d voters, all caught up", n), func() error {
		p, err := q.describe(t.Context())
		if err != nil {
			return err
		}
		if len(p.CurrentVoters) != n {
			return fmt.Errorf("voters %+v", p.CurrentVoters)
		}
		for _, v := range p.CurrentVoters {
			if v.LogEndOffset != p.HighWatermark || time.Since(time.UnixMilli(v.LastCaughtUpTimestamp)) > 5*time.Second {
				return fmt.Errorf("the log ends at %d, and voter %d is at %+v", p.HighWatermark, v.ReplicaID, v)
			}
		}
		return nil
	})
}

// describe asks all until the leader answers DescribeQuorum.
func (q *quorum) describe(ctx context.Context) (kmsg.DescribeQuorumResponseTopicPartition, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.SetVersion(2)
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{kmsg.NewDescribeQuorumRequestTopicPartition()}
	req.Topics = []kmsg.DescribeQuorumRequestTopic{topic}
	var errs []error
	for i := range q.nodes {
		resp, err := q.ask(ctx, i, req)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p := resp.(*kmsg.DescribeQuorumResponse).Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			errs = append(errs, err)
			continue
		}
		return p, nil
	}
	return kmsg.DescribeQuorumResponseTopicPartition{}, errors.Join(errs...)
}

// ask sends one request to node i.
func (q *quorum) ask(ctx context.Context, i int, req kmsg.Request) (kmsg.Response, error) {
	conn, err := harness.DialKafka(ctx, q.nodes[i].Addr, "quorum-test")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Request(req)
}

// leader waits until one of the nodes leads, and returns its place in nodes.
func (q *quorum) leader(t testing.TB) int {
	t.Helper()
	leader := -1
	harness.Eventually(t, patience, "a leader", func() error {
		p, err := q.describe(t.Context())
		leader = int(p.LeaderID) - 1
		return err
	})
	return leader
}

// client is an admin client that knows all three addresses.
func (q *quorum) client(t testing.TB) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(q.nodes[0].Addr, q.nodes[1].Addr, q.nodes[2].Addr), kgo.MetadataMinAge(20*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// creator creates topics one after another, however often each has to be asked for, and notes those that were acknowledged.
type creator struct {
	client *kadm.Client
	names  []string
}

// create creates one more topic and says how long that took.
func (c *creator) create(t testing.TB) time.Duration {
	t.Helper()
	name := fmt.Sprintf("topic-%04d", len(c.names))
	start := time.Now()
	harness.Eventually(t, patience, "create "+name, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := c.client.CreateTopic(ctx, 1, 1, nil, name)
		if errors.Is(err, kerr.TopicAlreadyExists) { // the answer to an earlier attempt was lost
			return nil
		}
		return err
	})
	c.names = append(c.names, name)
	return time.Since(start)
}

// check waits until every node has all that was acknowledged: each knows it by itself, whoever leads.
func (c *creator) check(t testing.TB, q *quorum) {
	t.Helper()
	for _, y := range q.nodes {
		harness.Eventually(t, patience, "all topics on "+y.Addr, func() error {
			m, err := y.Metadata()
			if err != nil {
				return err
			}
			var missing []string
			for _, name := range c.names {
				if _, ok := m.Topic(name); !ok {
					missing = append(missing, name)
				}
			}
			if len(missing) > 0 {
				return errors.New("missing: " + strings.Join(missing, " "))
			}
			return nil
		})
	}
}

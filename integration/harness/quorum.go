package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Quorum is several controllers, node id 1 first.
type Quorum struct {
	Nodes []*Yakt
}

// StartQuorum runs the three commands that the README has, with further arguments for all, and waits until all three vote.
func StartQuorum(t testing.TB, args ...string) *Quorum {
	t.Helper()
	return startQuorum(t, func(int) *Yakt { return &Yakt{Addr: FreeAddr(t), args: args} })
}

// startQuorum starts the nodes, which place gives their addresses.
func startQuorum(t testing.TB, place func(i int) *Yakt) *Quorum {
	t.Helper()
	q := &Quorum{}
	var peers []string
	for i := range 3 {
		y := place(i)
		y.Dir, y.life = filepath.Join(TempDir(t), "yakt"), t
		y.args = append(slices.Clone(y.args), "-i", strconv.Itoa(i+1))
		if i > 0 {
			y.args = append(y.args, "-e", strings.Join(peers, ","))
		}
		peers = append(peers, fmt.Sprintf("%d/%s", i+1, y.Addr))
		y.Start(t)
		q.Nodes = append(q.Nodes, y)
	}
	for _, y := range q.Nodes {
		if y.ClusterID != q.Nodes[0].ClusterID {
			t.Fatalf("%s is of cluster %s, the first node of %s", y.Addr, y.ClusterID, q.Nodes[0].ClusterID)
		}
	}
	q.WaitVoters(t, 3)
	return q
}

// ListedQuorum makes three controllers that are told of each other by a properties file each. None is started.
func ListedQuorum(t testing.TB) *Quorum {
	t.Helper()
	q := &Quorum{Nodes: make([]*Yakt, 3)}
	var voters []string
	for i := range q.Nodes {
		q.Nodes[i] = &Yakt{Addr: FreeAddr(t), Dir: filepath.Join(TempDir(t), "yakt"), life: t}
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, q.Nodes[i].Addr))
	}
	for i, y := range q.Nodes {
		file := filepath.Join(TempDir(t), "controller.properties")
		text := fmt.Sprintf("process.roles=controller\nnode.id=%d\nlisteners=CONTROLLER://%s\ncontroller.listener.names=CONTROLLER\ncontroller.quorum.voters=%s\n",
			i+1, y.Addr, strings.Join(voters, ","))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		y.args = []string{"--config", file}
	}
	return q
}

// Together starts all of them at once and waits until all three vote.
func (q *Quorum) Together(t testing.TB) {
	t.Helper()
	for _, y := range q.Nodes {
		y.Launch()
	}
	for _, y := range q.Nodes {
		y.WaitReady(t)
	}
	for _, y := range q.Nodes {
		if y.ClusterID != q.Nodes[0].ClusterID {
			t.Fatalf("%s is of cluster %s, the first node of %s", y.Addr, y.ClusterID, q.Nodes[0].ClusterID)
		}
	}
	q.WaitVoters(t, 3)
}

// WaitVoters waits until so many nodes vote and all of them have everything.
func (q *Quorum) WaitVoters(t testing.TB, n int) {
	t.Helper()
	Eventually(t, startTimeout, fmt.Sprintf("%d voters, all caught up", n), func() error {
		p, err := q.Describe(t.Context())
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

// Describe asks all until the leader answers DescribeQuorum.
func (q *Quorum) Describe(ctx context.Context) (kmsg.DescribeQuorumResponseTopicPartition, error) {
	resp, err := q.describe(ctx)
	if err != nil {
		return kmsg.DescribeQuorumResponseTopicPartition{}, err
	}
	return resp.Topics[0].Partitions[0], nil
}

// Voters are the voters' addresses as DescribeQuorum has them.
func (q *Quorum) Voters(ctx context.Context) (map[int32]string, error) {
	resp, err := q.describe(ctx)
	if err != nil {
		return nil, err
	}
	addrs := map[int32]string{}
	for _, n := range resp.Nodes {
		addrs[n.NodeID] = net.JoinHostPort(n.Listeners[0].Host, strconv.Itoa(int(n.Listeners[0].Port)))
	}
	return addrs, nil
}

func (q *Quorum) describe(ctx context.Context) (*kmsg.DescribeQuorumResponse, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.SetVersion(2)
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{kmsg.NewDescribeQuorumRequestTopicPartition()}
	req.Topics = []kmsg.DescribeQuorumRequestTopic{topic}
	var errs []error
	for i := range q.Nodes {
		resp, err := q.Ask(ctx, i, req)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		described := resp.(*kmsg.DescribeQuorumResponse)
		if err := kerr.ErrorForCode(described.Topics[0].Partitions[0].ErrorCode); err != nil {
			errs = append(errs, err)
			continue
		}
		return described, nil
	}
	return nil, errors.Join(errs...)
}

// Ask sends one request to node i.
func (q *Quorum) Ask(ctx context.Context, i int, req kmsg.Request) (kmsg.Response, error) {
	conn, err := DialKafka(ctx, q.Nodes[i].Addr, "quorum-test")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Request(req)
}

// Leader waits until one of the nodes leads, and returns its place in Nodes.
func (q *Quorum) Leader(t testing.TB) int {
	t.Helper()
	leader := -1
	Eventually(t, startTimeout, "a leader", func() error {
		p, err := q.Describe(t.Context())
		leader = int(p.LeaderID) - 1
		return err
	})
	return leader
}

// OneLeaderAnEpoch says whether every epoch was led by one node alone, as the nodes tell it in all that their processes have said.
func OneLeaderAnEpoch(outputs ...string) error {
	led := map[string]int{}
	var errs []error
	for i, output := range outputs {
		for line := range strings.Lines(output) {
			_, rest, ok := strings.Cut(line, `msg="active controller" epoch=`)
			if !ok {
				continue
			}
			epoch, _, _ := strings.Cut(rest, " ")
			if before, ok := led[epoch]; ok && before != i {
				errs = append(errs, fmt.Errorf("epoch %s was led by node %d and by node %d", epoch, before+1, i+1))
			}
			led[epoch] = i
		}
	}
	if len(led) == 0 {
		errs = append(errs, errors.New("no process says that it was the active controller"))
	}
	return errors.Join(errs...)
}

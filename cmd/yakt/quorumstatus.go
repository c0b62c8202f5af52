package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// quorumStatusCmd prints the quorum as its leader sees it.
type quorumStatusCmd struct {
	quorumFlags
	JSON bool `help:"Print JSON."`
}

// Run is what kong calls.
func (c *quorumStatusCmd) Run() error {
	ctx, cancel := c.context()
	defer cancel()
	q, err := c.describe(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(q)
	}
	return q.print(os.Stdout)
}

// quorum is what the leader says of it. Ages are by the leader's clock, in milliseconds; -1: never, or not known.
type quorum struct {
	Cluster string   `json:"clusterId"`
	Leader  int32    `json:"leaderId"`
	Epoch   int32    `json:"leaderEpoch"`
	End     int64    `json:"highWatermark"`
	Members []member `json:"members"`

	leaderAddr, listener string
}

// member is a voter or an observer: a broker, or a controller that does not vote yet.
type member struct {
	ID        int32    `json:"id"`
	Directory string   `json:"directoryId"`
	Votes     bool     `json:"votes"`
	Leads     bool     `json:"leads"`
	End       int64    `json:"logEndOffset"`
	Lag       int64    `json:"lag"`
	HeardAgo  int64    `json:"heardAgoMs"`
	CaughtAgo int64    `json:"caughtUpAgoMs"`
	Endpoints []string `json:"endpoints"`
	MayStop   bool     `json:"mayStop"`
	Why       string   `json:"why"`

	directory records.UUID
}

// caughtUpWithin is how lately a voter must have had all there was for the others to rely on it.
const caughtUpWithin = 5 * time.Second

// describe finds the leader through --server and asks it.
func (f quorumFlags) describe(ctx context.Context) (*quorum, error) {
	var last error
	for {
		q, err := f.describeOnce(ctx)
		if err == nil || !errors.Is(err, errNoLeader) {
			return q, err
		}
		last = err
		if err := pause(ctx); err != nil {
			return nil, last
		}
	}
}

var errNoLeader = errors.New("no leader is known")

func (f quorumFlags) describeOnce(ctx context.Context) (*quorum, error) {
	q, others, err := findLeader(ctx, f.Server)
	if err != nil {
		return nil, err
	}
	for i := 0; q.leaderAddr == "" && i < len(others); i++ { // those that it knows of may know more
		if asked, _, err := findLeader(ctx, others[i]); err == nil {
			q = asked
		}
	}
	if q.leaderAddr == "" {
		return nil, fmt.Errorf("%s says: %w: an election is under way, there is no majority, or that node is not in the quorum", f.Server, errNoLeader)
	}
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Version = 2
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = image.MetadataTopic, []kmsg.DescribeQuorumRequestTopicPartition{kmsg.NewDescribeQuorumRequestTopicPartition()}
	req.Topics = []kmsg.DescribeQuorumRequestTopic{topic}
	resp, err := ask(ctx, q.leaderAddr, req)
	if err != nil {
		return nil, fmt.Errorf("%w: node %d was said to lead: %w", errNoLeader, q.Leader, err)
	}
	return q, q.fill(resp.(*kmsg.DescribeQuorumResponse))
}

// findLeader asks one node who leads, and whom it knows.
func findLeader(ctx context.Context, addr string) (q *quorum, known []string, err error) {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.Version, req.EndpointType = 1, 2 // controllers
	resp, err := ask(ctx, addr, req)
	if err != nil {
		return nil, nil, err
	}
	cluster := resp.(*kmsg.DescribeClusterResponse)
	if err := kerr.ErrorForCode(cluster.ErrorCode); err != nil && err != kerr.NotController { // which lists those who may know
		return nil, nil, fmt.Errorf("%s says: %w", addr, err)
	}
	q = &quorum{Cluster: cluster.ClusterID, Leader: cluster.ControllerID}
	for _, b := range cluster.Brokers {
		at := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		if known = append(known, at); b.NodeID == q.Leader {
			q.leaderAddr = at
		}
	}
	return q, known, nil
}

// fill takes the leader's answer.
func (q *quorum) fill(resp *kmsg.DescribeQuorumResponse) error {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errors.New("the answer to DescribeQuorum is not about the metadata log")
	}
	p := resp.Topics[0].Partitions[0]
	switch err := kerr.ErrorForCode(p.ErrorCode); err {
	case nil:
	case kerr.NotLeaderForPartition:
		return fmt.Errorf("%w: %s does not lead any more", errNoLeader, q.leaderAddr)
	default:
		return err
	}
	q.Leader, q.Epoch, q.End = p.LeaderID, p.LeaderEpoch, p.HighWatermark
	var now int64 // of the leader
	for _, v := range p.CurrentVoters {
		if v.ReplicaID == q.Leader {
			now = v.LastFetchTimestamp
		}
	}
	endpoints := map[int32][]string{}
	for _, n := range resp.Nodes {
		for _, l := range n.Listeners {
			endpoints[n.NodeID] = append(endpoints[n.NodeID], l.Name+"://"+net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))))
			q.listener = l.Name
		}
	}
	add := func(s kmsg.DescribeQuorumResponseTopicPartitionReplicaState, votes bool) {
		m := member{
			ID: s.ReplicaID, Directory: records.UUID(s.ReplicaDirectoryID).String(), directory: s.ReplicaDirectoryID, Votes: votes, Leads: votes && s.ReplicaID == q.Leader,
			End: s.LogEndOffset, Lag: -1, HeardAgo: ago(now, s.LastFetchTimestamp), CaughtAgo: ago(now, s.LastCaughtUpTimestamp),
		}
		if m.End >= 0 {
			m.Lag = max(q.End-m.End, 0)
		}
		if votes {
			m.Endpoints = endpoints[m.ID]
		}
		q.Members = append(q.Members, m)
	}
	for _, s := range p.CurrentVoters {
		add(s, true)
	}
	for _, s := range p.Observers {
		add(s, false)
	}
	q.judge()
	return nil
}

func ago(now, then int64) int64 {
	if then < 0 {
		return -1
	}
	return max(now-then, 0)
}

// judge says who may be stopped: whoever leaves a majority of all voters behind that has everything.
func (q *quorum) judge() {
	voters, current := 0, 0
	for _, m := range q.Members {
		if m.Votes {
			voters++
			current += m.current()
		}
	}
	for i := range q.Members {
		m := &q.Members[i]
		need, left := voters/2+1, current-m.current()
		switch {
		case !m.Votes:
			m.MayStop, m.Why = true, "it does not vote"
		case left >= need:
			m.MayStop, m.Why = true, fmt.Sprintf("%d of %d voters are left that have caught up, %d are needed", left, voters, need)
		default:
			m.Why = fmt.Sprintf("only %d of %d voters would be left that have caught up, and %d are needed", left, voters, need)
		}
	}
}

// current is 1 for a voter that counts when another one is stopped.
func (m member) current() int {
	if m.Votes && (m.Leads || m.CaughtAgo >= 0 && m.CaughtAgo < caughtUpWithin.Milliseconds()) {
		return 1
	}
	return 0
}

func (q *quorum) print(w io.Writer) error {
	fmt.Fprintf(w, "cluster %s, led by node %d in epoch %d, log end %d\n\n", q.Cluster, q.Leader, q.Epoch, q.End)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tROLE\tLOG END\tLAG\tCAUGHT UP\tMAY STOP\tDIRECTORY\tENDPOINTS")
	var reasons []string
	for _, m := range q.Members {
		role, stop := "observer", "no"
		switch {
		case m.Leads:
			role = "leader"
		case m.Votes:
			role = "voter"
		}
		if m.MayStop {
			stop = "yes"
		} else if !slices.Contains(reasons, m.Why) {
			reasons = append(reasons, m.Why)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, role, number(m.End), number(m.Lag), age(m.CaughtAgo), stop, m.Directory, strings.Join(m.Endpoints, " "))
	}
	if err := table.Flush(); err != nil || len(reasons) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\nmay stop: no, because %s\n", strings.Join(reasons, "; "))
	return err
}

func number(n int64) string {
	if n < 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func age(ms int64) string {
	if ms < 0 {
		return "never"
	}
	return (time.Duration(ms) * time.Millisecond).Round(10*time.Millisecond).String() + " ago"
}

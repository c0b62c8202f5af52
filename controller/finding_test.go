package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// outsideLog is of a node that is no voter; it knows the others.
type outsideLog struct{ *fakeLog }

func (l outsideLog) Voters() []records.Voter { return l.fakeLog.Voters()[1:] }

// electsBeforeWaiting has a leader when a request that saw none begins to wait for one.
type electsBeforeWaiting struct{ *fakeLog }

func (l electsBeforeWaiting) Wait(ctx context.Context, offset int64, leader, epoch int32) error {
	l.elect(2)
	return l.fakeLog.Wait(ctx, offset, leader, epoch)
}

// asksWhoLeads is how Java's admin client looks for the active controller (KIP-919).
func asksWhoLeads() *kmsg.DescribeClusterRequest {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.Version, req.EndpointType = 1, 2
	return req
}

// leaderless is a controller, not attached yet, and its log, which knows another voter and no leader.
func leaderless() (*Controller, *fakeLog) {
	c := New(Config{NodeID: 1, ListenerName: "CONTROLLER"})
	l := newFakeLog(c)
	l.others = []fakeMember{{voter: fakeVoter(2, "other.example"), votes: true}}
	l.elect(-1)
	return c, l
}

// TestWhoLooksForTheControllerIsAnsweredOnceThereIsOne, and after three seconds that there is none. Clients of brokers are answered at once.
func TestWhoLooksForTheControllerIsAnsweredOnceThereIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := leaderless()
		defer l.close()
		c.Attach(l)
		asked := time.Now()
		resp, err := c.Begin(t.Context(), Caller{}, asksWhoLeads())()
		if r := resp.(*kmsg.DescribeClusterResponse); r.ErrorCode != kerr.NotController.Code || r.ControllerID != -1 || time.Since(asked) != findingPatience || err == nil {
			t.Errorf("after %v: error %d, controller %d, and the connection is ended because of: %v", time.Since(asked), r.ErrorCode, r.ControllerID, err)
		}
		ask := func(req kmsg.Request) (kmsg.Response, time.Duration) {
			t.Helper()
			asked := time.Now()
			resp, err := c.Begin(t.Context(), Caller{}, req)()
			if err != nil {
				t.Fatal("the connection is ended:", err)
			}
			return resp, time.Since(asked)
		}
		for _, req := range []kmsg.Request{kmsg.NewPtrMetadataRequest(), kmsg.NewPtrDescribeClusterRequest()} {
			if _, took := ask(req); took != 0 {
				t.Errorf("a client of brokers waited for %v", took)
			}
		}
		time.AfterFunc(time.Second, func() { l.elect(2) })
		if _, took := ask(asksWhoLeads()); took != time.Second {
			t.Errorf("the next leader was there after a second, the answer after %v", took)
		}
		l.elect(-1)
		c.Attach(electsBeforeWaiting{l})
		if _, took := ask(asksWhoLeads()); took != 0 {
			t.Errorf("the next leader was there just before the request waited for it, the answer after %v", took)
		}
		if _, took := ask(asksWhoLeads()); took != 0 {
			t.Errorf("there is a leader, and the answer took %v", took)
		}
	})
}

// TestWhoLooksForTheControllerOutsideOfTheQuorumIsSentAway: answered, with the others that this node knows, and without the connection
// that would keep it here.
func TestWhoLooksForTheControllerOutsideOfTheQuorumIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := leaderless()
		defer l.close()
		c.Attach(outsideLog{l})
		for _, req := range []kmsg.Request{asksWhoLeads(), kmsg.NewPtrMetadataRequest()} {
			resp, err := c.Begin(t.Context(), Caller{}, req)()
			if resp == nil || err == nil {
				t.Errorf("%T: answer %v, %v", req, resp, err)
			}
			if again, err := c.Handle(t.Context(), Caller{}, req); again == nil || err != nil {
				t.Errorf("%T without a connection: answer %v, %v", req, again, err)
			}
		}
		l.elect(2)
		if _, err := c.Begin(t.Context(), Caller{}, asksWhoLeads())(); err != nil {
			t.Error("it follows, and says who leads:", err)
		}
	})
}

// TestALeaderThatHasLostItsMajorityKeepsNobody: it has not heard of the next one, so by all it knows nobody else leads its epoch. Brokers that
// fetch from it are refused and lose the connection; nobody is told any more that it leads.
func TestALeaderThatHasLostItsMajorityKeepsNobody(t *testing.T) {
	c, l := start(t)
	req := fetchRequest(18, 1, l.EndOffset(), 1)
	if _, err := c.Begin(t.Context(), Caller{}, req)(); err != nil {
		t.Fatal("while it leads:", err)
	}
	l.mu.Lock()
	l.leading = false
	l.mu.Unlock()
	resp, err := c.Begin(t.Context(), Caller{}, req)()
	p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if p.ErrorCode != kerr.NotLeaderForPartition.Code || len(p.RecordBatches) > 0 || p.CurrentLeader.LeaderID != 1 || p.CurrentLeader.LeaderEpoch != 1 || err == nil {
		t.Errorf("fetch: error %d, leader %+v, and the connection is ended because of: %v", p.ErrorCode, p.CurrentLeader, err)
	}
	describe := kmsg.NewPtrDescribeQuorumRequest()
	describe.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: metadataTopic, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	if p := handle[*kmsg.DescribeQuorumResponse](t, c, describe).Topics[0].Partitions[0]; p.ErrorCode != kerr.NotLeaderForPartition.Code {
		t.Errorf("describe quorum: %+v", p)
	}
	if id, epoch := c.Leader(); id != -1 || epoch != 1 {
		t.Errorf("leader %d in epoch %d", id, epoch)
	}
}

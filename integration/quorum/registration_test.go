package quorum

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// described asks node i for the controllers (KIP-919): "1@host:port …", and who of them leads.
func described(t *testing.T, q *harness.Quorum, i int) (nodes string, leader int32, err error) {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.SetVersion(2)
	req.EndpointType = 2
	resp, err := q.Ask(t.Context(), i, req)
	if err != nil {
		return "", -1, err
	}
	r := resp.(*kmsg.DescribeClusterResponse)
	for _, b := range r.Brokers {
		nodes += fmt.Sprintf("%d@%s:%d ", b.NodeID, b.Host, b.Port)
	}
	return nodes, r.ControllerID, kerr.ErrorForCode(r.ErrorCode)
}

// waitRegistered waits until each node lists all three where they are, and names one of them as the leader.
func waitRegistered(t *testing.T, q *harness.Quorum) {
	t.Helper()
	var want string
	for i, y := range q.Nodes {
		want += fmt.Sprintf("%d@%s ", i+1, y.Addr)
	}
	harness.Eventually(t, patience, "three registered controllers", func() error {
		for i := range q.Nodes {
			nodes, leader, err := described(t, q, i)
			if err != nil || nodes != want || leader < 1 {
				return fmt.Errorf("node %d lists %s and leader %d, wanted %s: %v", i+1, nodes, leader, want, err)
			}
		}
		return nil
	})
}

// registrations are the incarnations that each controller has registered, as often as it did, by the log of node i.
func registrations(t *testing.T, q *harness.Quorum, i int) map[int32][]string {
	t.Helper()
	body, err := q.Nodes[i].Get("/broker_mgmt/1") // all changes since 1970
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Changes []struct {
			Type string
			Data struct {
				ControllerID  int32
				IncarnationID string
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	all := map[int32][]string{}
	for _, c := range answer.Changes {
		if c.Type == "RegisterControllerRecord" {
			all[c.Data.ControllerID] = append(all[c.Data.ControllerID], c.Data.IncarnationID)
		}
	}
	return all
}

// TestControllersMakeThemselvesKnown: each process once, whoever leads, after any of them was killed and after all were.
func TestControllersMakeThemselvesKnown(t *testing.T) {
	q := harness.StartQuorum(t)
	waitRegistered(t, q)
	for id, r := range registrations(t, q, 0) {
		if len(r) != 1 {
			t.Errorf("controller %d registered %v", id, r)
		}
	}

	leader := q.Leader(t)
	first := registrations(t, q, leader)
	follower := (leader + 1) % 3
	q.Nodes[follower].Kill()
	q.Nodes[leader].Kill() // nobody leads while both are away
	q.Nodes[follower].Launch()
	q.Nodes[leader].Launch()
	q.Nodes[follower].WaitReady(t)
	q.Nodes[leader].WaitReady(t)
	harness.Eventually(t, patience, "new registrations of the two", func() error {
		now := registrations(t, q, q.Leader(t))
		for i := range q.Nodes {
			id := int32(i + 1)
			was, is := first[id][len(first[id])-1], now[id][len(now[id])-1]
			if restarted := i == leader || i == follower; restarted != (was != is) {
				return fmt.Errorf("controller %d was %s and is %s", id, was, is)
			}
		}
		return nil
	})
	waitRegistered(t, q)
	for _, y := range q.Nodes {
		if out := y.Process().Output().String(); strings.Count(out, "could not register itself") > 3 {
			t.Errorf("%s complains again and again:\n%s", y.Addr, out)
		}
	}
}

// TestWhoIsNoMemberDoesNotRegister: nothing takes a registration back.
func TestWhoIsNoMemberDoesNotRegister(t *testing.T) {
	q := &harness.Quorum{Nodes: []*harness.Yakt{harness.StartYakt(t, "-i", "1")}}
	req := kmsg.NewPtrControllerRegistrationRequest()
	req.ControllerID, req.IncarnationID = 7, [16]byte{7}
	req.Listeners = []kmsg.ControllerRegistrationRequestListener{{Name: "CONTROLLER", Host: "nowhere", Port: 1}}
	resp, err := q.Ask(t.Context(), 0, req)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.(*kmsg.ControllerRegistrationResponse).ErrorCode; got != kerr.UnknownControllerID.Code {
		t.Errorf("answered %v", kerr.ErrorForCode(got))
	}
	if r := registrations(t, q, 0); len(r) != 1 || len(r[1]) != 1 {
		t.Errorf("registered: %v", r)
	}
}

package quorum

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yakt/integration/harness"
)

// command runs `yakt quorum` against a node.
func command(t *testing.T, at *harness.Yakt, args ...string) (string, error) {
	out, err := harness.RunYakt(t, append(append([]string{"quorum"}, args...), "--server", at.Addr)...)
	if err != nil {
		err = fmt.Errorf("yakt quorum %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, err
}

// status is what `yakt quorum status --json` prints, as far as it is looked at.
type status struct {
	LeaderID int `json:"leaderId"`
	Members  []struct {
		ID      int
		Votes   bool
		MayStop bool
	}
}

func statusAt(t *testing.T, at *harness.Yakt) (s status) {
	t.Helper()
	out, err := command(t, at, "status", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestQuorumGrowsAndShrinksByHand from one node to five and to three, the leader among those that go, while topics are created
// through it all: none that was acknowledged is lost. Who was removed stays out, whatever it is started with, until it is added again.
func TestQuorumGrowsAndShrinksByHand(t *testing.T) {
	q := &harness.Quorum{Nodes: []*harness.Yakt{harness.StartYakt(t, "-i", "1")}}
	first := q.Nodes[0]
	register(t, q, 0, 101)
	for i := 2; i <= 5; i++ {
		q.Nodes = append(q.Nodes, harness.StartWaiting(t, "-i", strconv.Itoa(i), "-e", "1/"+first.Addr, "--wait"))
	}
	if s := statusAt(t, first); len(s.Members) != 1 || s.Members[0].MayStop {
		t.Fatalf("alone: %+v", s)
	}
	c := &creator{client: newClient(t, q)}
	var longest time.Duration
	at := first
	change := func(args ...string) {
		t.Helper()
		longest = max(longest, c.during(t, strings.Join(args, " "), func() error { _, err := command(t, at, args...); return err }))
	}
	for i := 1; i < 5; i++ {
		change("add", fmt.Sprintf("%d/%s", i+1, q.Nodes[i].Addr))
		q.WaitVoters(t, i+1)
	}
	c.check(t, q)
	s := statusAt(t, q.Nodes[4])
	for _, m := range s.Members {
		if !m.Votes || !m.MayStop {
			t.Errorf("of five: %+v", m)
		}
	}
	if s.LeaderID != 1 {
		change("transfer", "1")
	}
	change("remove", "5")
	change("remove", "1") // which hands over
	q.WaitVoters(t, 3)
	t.Logf("%d topics, the longest took %v", len(c.names), longest.Round(time.Millisecond))

	gone, in := q.Nodes[0], q.Nodes[1:4]
	at = in[0]
	c.checkOn(t, in...)
	harness.Eventually(t, patience, "it says that it was removed", func() error {
		if !strings.Contains(gone.Process().Output().String(), "this node was removed from the quorum") {
			return errors.New("it does not")
		}
		return nil
	})
	if err := gone.Ready(); err == nil || !strings.Contains(err.Error(), "not in the quorum") {
		t.Error("it is ready:", err)
	}
	for _, i := range []int{0, 4} {
		q.Nodes[i].Stop(t)
		q.Nodes[i].With("-i", strconv.Itoa(i+1), "-e", fmt.Sprintf("2/%s,3/%s", q.Nodes[1].Addr, q.Nodes[2].Addr))
		q.Nodes[i].Launch()
		q.Nodes[i].WaitUp(t)
	}
	for start := time.Now(); time.Since(start) < 5*time.Second; { // it would have asked long before
		c.create(t)
	}
	after, err := q.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after.CurrentVoters) != 3 || len(after.Observers) != 0 {
		t.Errorf("with the removed nodes started again: %+v", after)
	}
	change("add", "1/"+gone.Addr)
	q.WaitVoters(t, 4)
	gone.WaitReady(t)
	c.checkOn(t, slices.Concat(in, []*harness.Yakt{gone})...)
	if out, err := command(t, at, "transfer", "1"); err != nil || !strings.Contains(out, "node 1 leads") {
		t.Error(out, err)
	}
	c.create(t)
}

package quorum

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"yakt/integration/harness"
)

// TestListBeginsAQuorum of three nodes that are started at once. Then all are killed, and the one that began loses its disk.
func TestListBeginsAQuorum(t *testing.T) {
	q := harness.ListedQuorum(t)
	q.Together(t)
	register(t, q, q.Leader(t), 101)
	c := &creator{client: newClient(t, q)}
	c.create(t)
	for _, y := range q.Nodes {
		y.Kill()
	}
	q.Together(t)
	c.create(t)
	q.Nodes[0].Kill()
	if err := os.RemoveAll(q.Nodes[0].Dir); err != nil {
		t.Fatal(err)
	}
	q.Nodes[0].Start(t) // which checks the cluster id
	q.WaitVoters(t, 3)
	c.create(t)
	c.check(t, q)
}

// TestOneByOneFromAList: nobody serves, and nobody says that it does, before all have come.
func TestOneByOneFromAList(t *testing.T) {
	q := harness.ListedQuorum(t)
	for _, i := range []int{2, 0} {
		q.Nodes[i].Launch()
		says(t, q.Nodes[i], "not in the quorum yet")
	}
	says(t, q.Nodes[2], "node 2/"+q.Nodes[1].Addr)
	for _, i := range []int{2, 0} {
		if out := q.Nodes[i].Process().Output().String(); strings.Contains(out, "is up") {
			t.Fatalf("node %d is up without the others:\n%s", i+1, out)
		}
	}
	q.Nodes[1].Launch()
	for _, y := range q.Nodes {
		y.WaitReady(t)
	}
	q.WaitVoters(t, 3)
}

// TestKilledWhileAQuorumBegins: all of them, at each step that any of them reports, and started again.
func TestKilledWhileAQuorumBegins(t *testing.T) {
	for step, at := range map[string]int{
		"this node begins the quorum":    0,
		"elected":                        0,
		"let into the quorum":            1,
		"a node joins as a non-voter":    0,
		"caught up and votes now":        0,
		"a majority of the listed voter": 0,
		"is up":                          2,
	} {
		t.Run(step, func(t *testing.T) {
			q := harness.ListedQuorum(t)
			for _, y := range q.Nodes {
				y.Launch()
			}
			says(t, q.Nodes[at], step)
			for _, y := range q.Nodes {
				y.Kill()
			}
			q.Together(t)
		})
	}
}

// says waits until a node has printed or logged a text.
func says(t *testing.T, y *harness.Yakt, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := y.Process().Output().WaitFor(ctx, func(all string) bool { return strings.Contains(all, text) }); err != nil {
		t.Fatalf("it does not say %q: %v\n%s", text, err, y.Process().Output())
	}
}

// TestNodesMoveOneByOne: each is started at another port, with creates going on, until none is where the list has them.
func TestNodesMoveOneByOne(t *testing.T) {
	q := harness.ListedQuorum(t)
	q.Together(t)
	register(t, q, q.Leader(t), 101)
	addrs := []string{harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)}
	c := &creator{client: newClient(t, q, addrs...)}
	for i, y := range q.Nodes {
		c.create(t)
		y.Stop(t)
		y.Addr = addrs[i]
		y.Launch()
		launched, longest := time.Now(), c.create(t)
		harness.Eventually(t, patience, "all know where node "+y.Addr+" is", func() error {
			p, err := q.Voters(t.Context())
			if err == nil && p[int32(i+1)] != y.Addr {
				err = fmt.Errorf("voters %v", p)
			}
			longest = max(longest, c.create(t))
			return err
		})
		t.Logf("node %d: all knew its new address %v after its start; the longest pause between creates was %v", i+1,
			time.Since(launched).Round(time.Millisecond), longest.Round(time.Millisecond))
		y.WaitReady(t)
		q.WaitVoters(t, 3)
		c.create(t)
	}
	c.check(t, q)
}

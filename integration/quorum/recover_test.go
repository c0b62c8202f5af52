package quorum

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"yakt/integration/harness"
)

// yakt runs a command of the program to its end.
func yakt(t *testing.T, args ...string) (output string, status int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), harness.Binary(t), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// TestOneOfThreeIsRecovered: two directories are gone for good. What is left says what it would do and does nothing, then
// does it; the node leads alone with all that was acknowledged, and two new ones make three of it again.
func TestOneOfThreeIsRecovered(t *testing.T) {
	q := harness.StartQuorum(t)
	waitRegistered(t, q) // so that the last that is written are the topics
	register(t, q, 0, 101)
	c := &creator{client: newClient(t, q)}
	for range 3 {
		c.create(t)
	}
	q.WaitVoters(t, 3) // and all have everything
	before, err := q.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left := q.Nodes[2]
	if out, status := yakt(t, "quorum", "recover", left.Dir, "--yes"); status != 2 || !strings.Contains(out, "a node is running on "+left.Dir) {
		t.Fatalf("on a running node, status %d:\n%s", status, out)
	}
	left.Kill() // first, before another leader adds to its log
	for _, y := range q.Nodes[:2] {
		y.Kill()
		if err := os.RemoveAll(y.Dir); err != nil {
			t.Fatal(err)
		}
	}

	dry, status := yakt(t, "quorum", "recover", left.Dir)
	for _, s := range []string{"node 3 of cluster " + left.ClusterID, "node 1 at " + q.Nodes[0].Addr, "voter, this one", "would become committed", "topic-0002",
		"(by hand, with no copy of it: 101)", "Nothing was changed"} {
		if status != 0 || !strings.Contains(dry, s) {
			t.Fatalf("status %d, and it does not say %q:\n%s", status, s, dry)
		}
	}
	if again, _ := yakt(t, "quorum", "recover", left.Dir); again != dry {
		t.Fatalf("it was changed:\n%s\nand before\n%s", again, dry)
	}
	if out, status := yakt(t, "quorum", "recover", left.Dir, "--yes"); status != 0 || !strings.Contains(out, "Done: node 3 is the whole quorum") {
		t.Fatalf("status %d:\n%s", status, out)
	}

	left.Start(t)
	q.WaitVoters(t, 1)
	after, err := q.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.LeaderID != 3 || after.LeaderEpoch <= before.LeaderEpoch+1000 {
		t.Errorf("%d leads epoch %d, after %d", after.LeaderID, after.LeaderEpoch, before.LeaderEpoch)
	}
	c.create(t)
	m := left.MustMetadata(t)
	for _, name := range c.names {
		if _, ok := m.Topic(name); !ok {
			t.Errorf("%s is lost", name)
		}
	}
	if !m.Unfenced(101) {
		t.Error("broker 101 is lost")
	}

	for i := range 2 {
		joiner := harness.StartYakt(t, "-i", fmt.Sprint(i+1), "-e", "3/"+left.Addr)
		q.Nodes[i] = joiner
	}
	q.WaitVoters(t, 3)
	c.client = newClient(t, q)
	left.Kill()
	c.create(t) // by the two that are new
	left.Start(t)
	q.WaitVoters(t, 3)
	c.check(t, q)
}

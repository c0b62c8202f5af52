package apache

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"yakt/integration/harness"
)

// TestThreeBrokersOutliveChangesOfTheQuorum: beneath three brokers the quorum grows from one controller to five and shrinks to three, without the
// one that it began with; one loses its disk; all are killed and come back; each is restarted. Nothing is lost as in
// TestThreeBrokersOutliveTheirControllers, and after each step every broker hears of what was created last.
func TestThreeBrokersOutliveChangesOfTheQuorum(t *testing.T) {
	q := &harness.Quorum{Nodes: []*harness.Yakt{harness.StartYakt(t, "-i", "1")}}
	first := q.Nodes[0]
	for i := 2; i <= 5; i++ {
		q.Nodes = append(q.Nodes, harness.StartWaiting(t, "-i", strconv.Itoa(i), "-e", "1/"+first.Addr, "--wait"))
	}
	g := govern(t, q, func(i int) string {
		if i == 1 {
			return ByVoters(q.Nodes...)
		}
		return ByBootstrapServers(q.Nodes...)
	})
	g.creator = startCreator(t, g.addrs(), "created-")
	at := first
	change := func(args ...string) {
		t.Helper()
		if out, err := harness.RunYakt(t, append(append([]string{"quorum"}, args...), "--server", at.Addr)...); err != nil {
			t.Fatalf("yakt quorum %v: %v: %s", args, err, out)
		}
	}
	goOn := func(voters int) {
		t.Helper()
		g.q.WaitVoters(t, voters)
		g.waitGoingOn(t)
	}

	for i := 1; i < 5; i++ {
		change("add", fmt.Sprintf("%d/%s", i+1, q.Nodes[i].Addr))
		goOn(i + 1)
	}
	change("remove", "5")
	goOn(4)
	change("remove", "1")
	g.q = &harness.Quorum{Nodes: q.Nodes[1:4]}
	goOn(3)
	for _, i := range []int{0, 4} {
		q.Nodes[i].Stop(t)
	}

	emptied := g.q.Nodes[(g.q.Leader(t)+1)%3]
	emptied.Kill()
	if err := os.RemoveAll(emptied.Dir); err != nil {
		t.Fatal(err)
	}
	for i, y := range g.q.Nodes { // whoever is emptied is told another than the first, which is gone
		y.With("-i", strconv.Itoa(i+2), "-e", fmt.Sprintf("%d/%s", (i+1)%3+2, g.q.Nodes[(i+1)%3].Addr))
	}
	emptied.Start(t)
	goOn(3)

	for _, y := range g.q.Nodes {
		y.Kill()
	}
	g.q.Together(t)
	goOn(3)
	for _, y := range g.q.Nodes {
		y.Stop(t)
		y.Start(t)
		goOn(3)
	}
	g.checkNothingLost(t)
}

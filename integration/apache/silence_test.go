package apache

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"yakt/integration/harness"
)

const (
	// defaultSilences is for every run; YAKT_SILENCES=30 is for a release.
	defaultSilences = 2
	// silencePatience is how long creates wait for an answer: a frozen controller gives none.
	silencePatience = time.Second
)

// silences is how often each kind comes.
func silences(t testing.TB) int {
	text := os.Getenv("YAKT_SILENCES")
	if text == "" {
		return defaultSilences
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("YAKT_SILENCES: %v", err)
	}
	return n
}

// TestThreeBrokersOutliveSilentControllers: the active one of three controllers is frozen, cut off from the others, not heard by
// them or deaf to them, while it still reaches the brokers and whoever creates topics. One creator stays with each controller,
// the one that was left behind included, so that a second leader would have somebody to answer. No broker ends or meets a fault,
// no acknowledged topic is lost or is another one afterwards, no acknowledged record is lost, and no epoch has two leaders.
func TestThreeBrokersOutliveSilentControllers(t *testing.T) {
	var q *harness.Quorum
	network, failed := harness.StartNetwork(t, 3)
	if failed == nil {
		q = network.StartQuorum(t)
	} else {
		q = harness.StartQuorum(t)
	}
	g := govern(t, q, func(i int) string {
		if i == 1 {
			return ByBootstrapServers(q.Nodes...)
		}
		return ByVoters(q.Nodes...)
	})
	g.creator = startImpatientCreator(t, g.addrs(), "created-", creatorPace)
	for i, y := range q.Nodes {
		g.stayers = append(g.stayers, startImpatientCreator(t, []string{y.Addr}, fmt.Sprintf("created-by-%d-", i+1), 4*creatorPace))
	}
	cut := func(sent, received bool) func(int) (func() error, error) {
		return func(leader int) (func() error, error) { return network.Heal, network.Cut(leader, sent, received) }
	}
	for _, kind := range []struct {
		name    string
		network bool
		harm    func(leader int) (heal func() error, err error)
	}{
		{"Frozen", false, func(leader int) (func() error, error) { return q.Nodes[leader].Process().Freeze() }},
		{"CutOff", true, cut(true, true)},
		{"NotHeard", true, cut(true, false)},
		{"Deaf", true, cut(false, true)},
	} {
		t.Run(kind.name, func(t *testing.T) {
			if kind.network && failed != nil {
				t.Skipf("no controller can be cut off: there are no network namespaces here: %v", failed)
			}
			for range silences(t) {
				g.suffer(t, func(leader int) (func(), error) {
					heal, err := kind.harm(leader)
					return func() {
						if err := heal(); err != nil {
							t.Fatal(err)
						}
					}, err
				})
			}
			median, longest := g.pause()
			t.Logf("%d times; longest time without an acknowledged create: median %v, at most %v", silences(t), median.Round(time.Millisecond), longest.Round(time.Millisecond))
		})
	}
	g.checkNothingLost(t)
	var outputs []string
	for _, y := range q.Nodes {
		outputs = append(outputs, y.Process().Output().String())
	}
	if err := harness.OneLeaderAnEpoch(outputs...); err != nil {
		t.Error(err)
	}
}

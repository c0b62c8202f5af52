package apache

import (
	"testing"
	"time"

	"yakt/integration/harness"
)

// TestThreeBrokersOutliveTheirControllers kills the active one of three controllers, again and again, beneath three
// brokers that serve a producer, with creates going on. No broker ends or meets a fault, no acknowledged topic is lost or
// is another one afterwards, and no acknowledged record is lost.
func TestThreeBrokersOutliveTheirControllers(t *testing.T) {
	kills := kills(t) * 3 / 5
	q := harness.StartQuorum(t)
	g := govern(t, q, func(i int) string {
		if i == 1 {
			return ByVoters(q.Nodes...) // it serves as well
		}
		return ByBootstrapServers(q.Nodes...)
	})
	g.creator = startCreator(t, g.addrs(), "created-")
	for range kills {
		g.suffer(t, func(leader int) (func(), error) {
			q.Nodes[leader].Kill()
			return func() { q.Nodes[leader].Start(t) }, nil
		})
	}
	median, longest := g.pause()
	t.Logf("%d kills; from a kill to the next acknowledged create: median %v, longest %v", kills, median.Round(time.Millisecond), longest.Round(time.Millisecond))
	g.checkNothingLost(t)
}

package apache

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// TestThreeBrokersOutliveTheirControllers kills the active one of three controllers, again and again, beneath three
// brokers that serve a producer, with creates going on. No broker ends or meets a fault, no acknowledged topic is lost or
// is another one afterwards, and no acknowledged record is lost.
func TestThreeBrokersOutliveTheirControllers(t *testing.T) {
	kills := kills(t) * 3 / 5
	q := harness.StartQuorum(t)
	var addrs []string
	for _, y := range q.Nodes {
		addrs = append(addrs, y.Addr)
	}
	var brokers []*Broker
	for i := range 3 {
		quorum := ByBootstrapServers(q.Nodes[:]...)
		if i == 1 {
			quorum = ByVoters(q.Nodes[:]...) // it serves as well
		}
		brokers = append(brokers, StartBroker(t, Current, int32(101+i), q.Nodes[0], quorum))
	}
	for _, b := range brokers {
		b.WaitUnfenced(t)
	}
	for _, b := range brokers {
		b.WaitServing(t)
	}
	steady := startSteadyProducer(t, brokers[0], partitionsEach, 3)
	c := startCreator(t, addrs, "created-")
	var pauses []time.Duration
	for range kills {
		dead := q.Leader(t)
		c.waitFor(t, 1)
		killed := time.Now()
		q.Nodes[dead].Kill()
		c.waitFor(t, 1) // the one in flight may have been answered already
		pauses = append(pauses, c.longestSince(killed))
		for _, b := range brokers {
			b.CheckUp(t)
		}
		q.Nodes[dead].Start(t)
		q.WaitVoters(t, 3)
	}
	created := c.stop(t)
	slices.Sort(pauses)
	t.Logf("%d kills, %d creates; from a kill to the next acknowledged create: median %v, longest %v", kills, len(created), pauses[len(pauses)/2], pauses[len(pauses)-1])

	sent := steady.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	consume(t, ctx, brokers[2].Client(t, kgo.ConsumeTopics(steady.topic)), sent)
	t.Logf("%d records produced meanwhile", sent)
	for _, y := range q.Nodes {
		harness.Eventually(t, time.Minute, "every acknowledged topic on "+y.Addr, func() error {
			m, err := y.Metadata()
			if err != nil {
				return err
			}
			for name, id := range created {
				if topic, ok := m.Topic(name); !ok || topic.TopicID != id {
					return fmt.Errorf("topic %s was created as %s and is %+v", name, id, topic)
				}
			}
			return nil
		})
	}
	for _, b := range brokers {
		b.CheckUp(t)
		b.Stop(t)
	}
}

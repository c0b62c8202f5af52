package apache

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// governed are three brokers beneath three controllers, a producer that wants every record on all three, and creates that go on.
type governed struct {
	q       *harness.Quorum
	brokers []*Broker
	admins  []*kadm.Client // of one broker each
	steady  *steadyProducer
	creator *creator   // asks one controller after another
	stayers []*creator // ask one controller each, whoever leads
	pauses  []time.Duration
}

// govern starts brokers, of which the i-th finds the controllers by quorum(i), and waits until they serve.
func govern(t *testing.T, q *harness.Quorum, quorum func(i int) string) *governed {
	t.Helper()
	g := &governed{q: q, brokers: startThree(t, q.Nodes[0], quorum)}
	for _, b := range g.brokers {
		g.admins = append(g.admins, kadm.NewClient(b.Client(t)))
	}
	g.steady = startSteadyProducer(t, g.brokers[0], partitionsEach, 3)
	return g
}

// startThree starts three brokers, with ids from 101 on, together.
func startThree(t testing.TB, y *harness.Yakt, quorum func(i int) string) (brokers []*Broker) {
	t.Helper()
	for i := range 3 {
		brokers = append(brokers, StartBroker(t, Current, int32(101+i), y, quorum(i)))
	}
	for _, b := range brokers {
		b.WaitUnfenced(t)
	}
	for _, b := range brokers {
		b.WaitServing(t)
	}
	return brokers
}

// addrs are where the controllers are.
func (g *governed) addrs() (addrs []string) {
	for _, y := range g.q.Nodes {
		addrs = append(addrs, y.Addr)
	}
	return addrs
}

// suffer does harm to the active controller, waits until creates are acknowledged again, every broker knows the last of them and the
// producer goes on, repairs it, and waits until all three controllers have everything. The brokers have to be up all the time.
func (g *governed) suffer(t *testing.T, harm func(leader int) (repair func(), err error)) {
	t.Helper()
	leader := g.q.Leader(t)
	g.creator.waitFor(t, 1)
	began := time.Now()
	repair, err := harm(leader)
	if err != nil {
		t.Fatal(err)
	}
	g.creator.waitFor(t, 3) // those in flight may have been committed already
	g.pauses = append(g.pauses, g.creator.longestSince(began))
	g.waitGoingOn(t)
	repair()
	g.q.WaitVoters(t, 3)
}

// waitGoingOn waits until creates are acknowledged, every broker knows the last of them and the producer goes on. The brokers have to be up.
func (g *governed) waitGoingOn(t *testing.T) {
	t.Helper()
	g.creator.waitFor(t, 1)
	g.waitKnown(t, g.creator.latest())
	g.steady.waitFor(t, aFew)
	for _, b := range g.brokers {
		b.CheckUp(t)
	}
}

// waitKnown waits until every broker knows a topic. One that stays with a controller that leads no longer never does.
func (g *governed) waitKnown(t *testing.T, topic string) {
	t.Helper()
	for i, a := range g.admins {
		harness.Eventually(t, 30*time.Second, fmt.Sprintf("broker %d knows topic %s", g.brokers[i].ID, topic), func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			known, err := a.ListTopics(ctx, topic)
			if err == nil {
				err = known.Error()
			}
			return err
		})
	}
}

// pause says how long creates had to wait in what was suffered since it was asked last.
func (g *governed) pause() (median, longest time.Duration) {
	slices.Sort(g.pauses)
	median, longest = g.pauses[len(g.pauses)/2], g.pauses[len(g.pauses)-1]
	g.pauses = nil
	return median, longest
}

// checkNothingLost ends the clients and the brokers. Every acknowledged topic has to be on all three controllers, with the id that
// was acknowledged, and every acknowledged record at a broker.
func (g *governed) checkNothingLost(t *testing.T) {
	t.Helper()
	created := map[string]string{}
	for _, c := range append(g.stayers, g.creator) {
		for name, id := range c.stop(t) {
			created[name] = id
		}
	}
	sent := g.steady.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	consume(t, ctx, g.brokers[2].Client(t, kgo.ConsumeTopics(g.steady.topic)), sent)
	t.Logf("%d topics were created and %d records produced meanwhile", len(created), sent)
	for _, y := range g.q.Nodes {
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
	for _, b := range g.brokers {
		b.CheckUp(t)
		b.Stop(t)
	}
}

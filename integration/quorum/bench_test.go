package quorum

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/errgroup"

	"yakt/integration/harness"
)

// BenchmarkFailover kills the controller that leads, again and again, and takes the time until the next create is
// acknowledged, by a client that knows all three. The dead one is back and has everything before the next one dies.
func BenchmarkFailover(b *testing.B) { failovers(b, (*harness.Yakt).Kill) }

// BenchmarkHandOver is BenchmarkFailover with controllers that are told to stop.
func BenchmarkHandOver(b *testing.B) {
	failovers(b, func(y *harness.Yakt) { y.Stop(b) })
}

func failovers(b *testing.B, end func(*harness.Yakt)) {
	q := harness.StartQuorum(b)
	register(b, q, 0, 101)
	c := &creator{client: newClient(b, q)}
	c.create(b)
	var pauses []time.Duration
	for b.Loop() {
		b.StopTimer()
		leader := q.Leader(b)
		ended := make(chan struct{})
		b.StartTimer()
		start := time.Now()
		go func() {
			defer close(ended)
			end(q.Nodes[leader])
		}()
		// Creates go on: the longest of them is the pause.
		var longest time.Duration
		for over := false; !over; {
			longest = max(longest, c.create(b))
			select {
			case <-ended:
				longest = max(longest, c.create(b))
				over = true
			default:
			}
		}
		pauses = append(pauses, min(longest, time.Since(start)))
		b.StopTimer()
		q.Nodes[leader].Start(b)
		q.WaitVoters(b, 3)
		b.StartTimer()
	}
	b.StopTimer()
	c.check(b, q)
	slices.Sort(pauses)
	b.ReportMetric(float64(pauses[len(pauses)/2].Milliseconds()), "ms/median")
	b.ReportMetric(float64(pauses[len(pauses)-1].Milliseconds()), "ms/max")
}

var paceFlag = flag.Duration("pace", 0, "how long a round of SteadyLeader takes at least: something else is to keep the cores busy")

// BenchmarkSteadyLeader loads three controllers with clients that create and delete topics, and counts the elections
// nobody asked for. Run it for as long as that is to be known: -benchtime 1h. Changes may fail in an election, and nowhere else.
func BenchmarkSteadyLeader(b *testing.B) {
	q := harness.StartQuorum(b)
	register(b, q, 0, 101)
	before, err := q.Describe(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	// One iteration is one topic of each client, made and deleted.
	change := func(admin *kadm.Client, name string) error {
		// kgo asks again when an answer is lost, and the topic may be there, or gone, by then.
		if _, err := admin.CreateTopic(b.Context(), 10, 1, nil, name); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create %s: %w", name, err)
		}
		if _, err := admin.DeleteTopic(b.Context(), name); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("delete %s: %w", name, err)
		}
		return nil
	}
	var admins [8]*kadm.Client
	for i := range admins {
		admins[i] = newClient(b, q)
	}
	epoch := before.LeaderEpoch
	for b.Loop() {
		var all errgroup.Group
		for i, admin := range admins {
			all.Go(func() error { return change(admin, fmt.Sprintf("steady-%d", i)) })
		}
		round := time.After(*paceFlag)
		if failed := all.Wait(); failed != nil {
			now, err := q.Describe(b.Context())
			if err != nil || now.LeaderEpoch == epoch {
				b.Fatal(failed, err)
			}
			b.Logf("after %v epoch %d follows on %d: %v", b.Elapsed(), now.LeaderEpoch, epoch, failed)
			epoch = now.LeaderEpoch
		}
		<-round
	}
	after, err := q.Describe(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(after.LeaderEpoch-before.LeaderEpoch), "elections")
	b.ReportMetric(float64(after.HighWatermark-before.HighWatermark)/b.Elapsed().Seconds(), "records/s")
}

package apache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// steadyProducer produces one numbered record after another, each acknowledged by all replicas in sync before the next is
// sent, for as long as the test lets it.
type steadyProducer struct {
	topic string
	end   context.CancelFunc
	done  chan struct{}

	mu      sync.Mutex
	sent    int // and acknowledged
	last    time.Time
	longest time.Duration // between two acknowledgements
	err     error
}

func startSteadyProducer(t testing.TB, b *Broker, partitions int32, replicas int16) *steadyProducer {
	t.Helper()
	s := &steadyProducer{topic: "steady", done: make(chan struct{}), last: time.Now()}
	client := b.Client(t)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, replicas, nil, s.topic); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	go func() {
		defer close(s.done)
		pace := time.NewTicker(2 * time.Millisecond) // steady is enough: the machine has other things to do
		defer pace.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-pace.C
			// Not ctx: the last record is to be acknowledged or refused, not forgotten.
			err := client.ProduceSync(context.Background(), &kgo.Record{Topic: s.topic, Value: fmt.Appendf(nil, "%d", n)}).FirstErr()
			if !s.answered(err) {
				return
			}
		}
	}()
	t.Cleanup(func() {
		client.Close() // ends a record that is stuck
		s.stop(t)
	})
	return s
}

// answered notes what became of a record, and says whether there is to be another one.
func (s *steadyProducer) answered(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err != nil {
		return false
	}
	now := time.Now()
	s.longest, s.last = max(s.longest, now.Sub(s.last)), now
	s.sent++
	return true
}

// acknowledged is how many records were acknowledged so far.
func (s *steadyProducer) acknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// waitFor waits for n more acknowledgements.
func (s *steadyProducer) waitFor(t testing.TB, n int) {
	t.Helper()
	enough := s.acknowledged() + n
	harness.Eventually(t, time.Minute, fmt.Sprintf("%d records acknowledged", enough), func() error {
		if sent := s.acknowledged(); sent < enough {
			return fmt.Errorf("%d are", sent)
		}
		return nil
	})
}

// pause is the longest time without an acknowledgement since it was asked for last.
func (s *steadyProducer) pause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := s.longest
	s.longest = 0
	return longest
}

// stop ends the producer and returns how many records were acknowledged.
func (s *steadyProducer) stop(t testing.TB) int {
	t.Helper()
	s.end()
	<-s.done
	if s.err != nil && !errors.Is(s.err, kgo.ErrClientClosed) {
		t.Errorf("the producer: %v after %d records", s.err, s.sent)
	}
	return s.sent
}

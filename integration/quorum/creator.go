// Package quorum runs several controllers and takes away one, or all, from outside.
//
//	creator.go       a client that creates topics through it all, and what it was promised
//	quorum_test.go   joining, killing, stopping, restarting, refusing
//	recover_test.go  a majority that is lost for good
package quorum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// patience is for one step of the whole, on a busy machine.
const patience = 30 * time.Second

// newClient is an admin client that knows all the addresses, and more.
func newClient(t testing.TB, q *harness.Quorum, more ...string) *kadm.Client {
	t.Helper()
	seeds := more
	for _, y := range q.Nodes {
		seeds = append(seeds, y.Addr)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(20*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// creator creates topics one after another, however often each has to be asked for, and notes those that were acknowledged.
type creator struct {
	client *kadm.Client
	names  []string
}

// create creates one more topic and says how long that took.
func (c *creator) create(t testing.TB) time.Duration {
	t.Helper()
	name := fmt.Sprintf("topic-%04d", len(c.names))
	start := time.Now()
	harness.Eventually(t, patience, "create "+name, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := c.client.CreateTopic(ctx, 1, 1, nil, name)
		if errors.Is(err, kerr.TopicAlreadyExists) { // the answer to an earlier attempt was lost
			return nil
		}
		return err
	})
	c.names = append(c.names, name)
	return time.Since(start)
}

// during creates topics until what was begun is done, and says how long the longest took.
func (c *creator) during(t testing.TB, what string, f func() error) (longest time.Duration) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	for {
		longest = max(longest, c.create(t))
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			return max(longest, c.create(t))
		default:
		}
	}
}

// check waits until every node has all that was acknowledged: each knows it by itself, whoever leads.
func (c *creator) check(t testing.TB, q *harness.Quorum) { t.Helper(); c.checkOn(t, q.Nodes...) }

func (c *creator) checkOn(t testing.TB, nodes ...*harness.Yakt) {
	t.Helper()
	for _, y := range nodes {
		harness.Eventually(t, patience, "all topics on "+y.Addr, func() error {
			m, err := y.Metadata()
			if err != nil {
				return err
			}
			var missing []string
			for _, name := range c.names {
				if _, ok := m.Topic(name); !ok {
					missing = append(missing, name)
				}
			}
			if len(missing) > 0 {
				return errors.New("missing: " + strings.Join(missing, " "))
			}
			return nil
		})
	}
}

package apache

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

const (
	// creatorPace is the pause after a create that was answered: the brokers have to make room for every topic.
	creatorPace = 50 * time.Millisecond
	// creatorRetry is the pause before the next controller is asked.
	creatorRetry = 5 * time.Millisecond
	// creatorPatience is how long one answer may take.
	creatorPatience = 10 * time.Second
)

// creator creates one topic after another straight at the controllers, whichever of them leads, and notes what was
// acknowledged and when. It speaks nothing but CreateTopics, which Apache's controllers answer too.
type creator struct {
	addrs    []string
	pace     time.Duration // the pause after a create that was answered
	patience time.Duration
	end      context.CancelFunc
	done     chan struct{}
	conn     *harness.Conn
	at       int // in addrs, where conn leads or the next try goes

	mu      sync.Mutex
	more    chan struct{} // closed at the next acknowledgement
	created map[string]string
	last    string // in created
	acks    []time.Time
	err     error
}

// startCreator starts it; the topics' names begin with prefix.
func startCreator(t testing.TB, addrs []string, prefix string) *creator {
	return runCreator(t, &creator{addrs: addrs, pace: creatorPace, patience: creatorPatience}, prefix)
}

// startQuickCreator is startCreator without a pause that would be part of what is measured.
func startQuickCreator(t testing.TB, addrs []string, prefix string) *creator {
	return runCreator(t, &creator{addrs: addrs, pace: time.Millisecond, patience: creatorPatience}, prefix)
}

// startImpatientCreator is startCreator for controllers that may keep silent, with a pace of the test's own.
func startImpatientCreator(t testing.TB, addrs []string, prefix string, pace time.Duration) *creator {
	return runCreator(t, &creator{addrs: addrs, pace: pace, patience: silencePatience}, prefix)
}

func runCreator(t testing.TB, c *creator, prefix string) *creator {
	ctx, cancel := context.WithCancel(context.Background())
	c.end, c.done, c.more, c.created = cancel, make(chan struct{}), make(chan struct{}), map[string]string{}
	go func() {
		defer close(c.done)
		for n := 0; ctx.Err() == nil && c.err == nil; n++ {
			c.create(ctx, fmt.Sprintf("%s%05d", prefix, n))
		}
	}()
	t.Cleanup(func() { cancel(); <-c.done })
	return c
}

// create asks until the topic is there.
func (c *creator) create(ctx context.Context, name string) {
	for ctx.Err() == nil {
		id, err := c.ask(ctx, name)
		switch {
		case err == nil:
			c.mu.Lock()
			c.created[name], c.last = id, name
			c.acks = append(c.acks, time.Now())
			close(c.more)
			c.more = make(chan struct{})
			c.mu.Unlock()
			rest(ctx, c.pace)
			return
		case errors.Is(err, kerr.TopicAlreadyExists):
			return // the answer to an earlier attempt was lost: nothing was acknowledged
		case errors.Is(err, kerr.NotController), errors.Is(err, kerr.RequestTimedOut), !errors.As(err, new(*kerr.Error)):
			if c.conn != nil {
				c.conn.Close()
				c.conn = nil
			}
			if c.at = (c.at + 1) % len(c.addrs); len(c.addrs) == 1 {
				rest(ctx, c.pace) // there is nobody else to ask
			}
			rest(ctx, creatorRetry)
		default:
			c.mu.Lock()
			c.err = fmt.Errorf("create %s: %w", name, err)
			c.mu.Unlock()
			return
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// ask sends one CreateTopics and returns the topic's id.
func (c *creator) ask(ctx context.Context, name string) (id string, err error) {
	if c.conn == nil {
		if c.conn, err = harness.DialKafka(ctx, c.addrs[c.at], "creator"); err != nil {
			c.conn = nil
			return "", err
		}
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(7)
	req.TimeoutMillis = 5000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	req.Topics = append(req.Topics, topic)
	resp, err := c.conn.RequestWithin(req, c.patience)
	if err != nil {
		return "", err
	}
	answer := resp.(*kmsg.CreateTopicsResponse).Topics[0]
	return base64.RawURLEncoding.EncodeToString(answer.TopicID[:]), kerr.ErrorForCode(answer.ErrorCode)
}

// waitFor waits for n more acknowledgements.
func (c *creator) waitFor(t testing.TB, n int) {
	t.Helper()
	patience := time.After(time.Minute)
	for range n {
		c.mu.Lock()
		more, err := c.more, c.err
		c.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-more:
		case <-c.done:
			t.Fatal("the creator has ended: ", c.err)
		case <-patience:
			t.Fatal("no create was acknowledged for a minute")
		}
	}
}

// latest is the topic that was acknowledged last.
func (c *creator) latest() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// longestSince is the longest time without an acknowledgement since then.
func (c *creator) longestSince(then time.Time) (longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.acks, then, time.Time.Compare)
	for _, at := range c.acks[i:] {
		longest, then = max(longest, at.Sub(then)), at
	}
	return longest
}

// stop ends it and returns the ids of the topics that were acknowledged, by name.
func (c *creator) stop(t testing.TB) map[string]string {
	t.Helper()
	c.end()
	<-c.done
	if c.conn != nil {
		c.conn.Close()
	}
	if c.err != nil {
		t.Error(c.err)
	}
	return c.created
}

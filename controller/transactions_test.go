package controller

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/plan"
	"yakt/records"
)

// startSmall starts a controller for which little is too large for one batch, with a broker.
func startSmall(t *testing.T, maxBatch int) (*Controller, *fakeLog) {
	t.Helper()
	c, l := startWith(t, func(cfg *Config) { cfg.MaxBatch = maxBatch })
	registerByHand(t, c, 11, 9092)
	return c, l
}

// hook sets what the log does with batches from now on.
func (l *fakeLog) hook(refuse func(records.Batch) error, applied func(records.Batch)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse, l.applied = refuse, applied
}

// written is the log from an offset on, a word a record, batches in brackets.
func (l *fakeLog) written(t *testing.T, from int64) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var text []string
	for _, b := range l.batches {
		if b.BaseOffset() < from {
			continue
		}
		var words []string
		if b.Control() {
			words = append(words, "control")
		} else {
			for _, r := range decoded(t, b) {
				words = append(words, strings.TrimPrefix(fmt.Sprintf("%T", r), "*records."))
			}
		}
		text = append(text, "["+strings.Join(words, " ")+"]")
	}
	return strings.Join(text, " ")
}

func decoded(t *testing.T, b records.Batch) []records.Record {
	t.Helper()
	if b.Control() {
		return nil
	}
	rs, err := b.Decode()
	if err != nil {
		t.Error(err)
	}
	return rs
}

// create creates topics and returns the one error they have.
func create(t *testing.T, c *Controller, names ...string) int16 {
	t.Helper()
	resp, err := c.Handle(t.Context(), script, createTopics(names...))
	if err != nil {
		t.Fatal(err)
	}
	topics := resp.(*kmsg.CreateTopicsResponse).Topics
	for _, topic := range topics {
		if topic.ErrorCode != topics[0].ErrorCode {
			t.Fatalf("not all alike: %+v", topics)
		}
	}
	return topics[0].ErrorCode
}

func TestALargeOperationIsWrittenInBatchesAndShownWhole(t *testing.T) {
	c, l := startSmall(t, 300)
	from := l.EndOffset()
	var inside int
	l.hook(nil, func(b records.Batch) {
		img := c.Image()
		_, first := img.TopicByName("a")
		_, last := img.TopicByName("d")
		if end := l.EndOffset(); end == from {
			if inside++; first || last || img.EndOffset() != from {
				t.Errorf("inside the transaction, at %d: shown %v, %v at %d", b.EndOffset(), first, last, img.EndOffset())
			}
		} else if !first || !last || img.EndOffset() != end {
			t.Errorf("after the transaction, at %d: shown %v, %v at %d", end, first, last, img.EndOffset())
		}
	})
	if code := create(t, c, "a", "b", "c", "d"); code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	const want = "[BeginTransaction Topic Partition Partition Topic] [Partition Partition Topic] [Partition Partition Topic] [Partition Partition EndTransaction]"
	if got := l.written(t, from); got != want || inside != 3 {
		t.Errorf("%d times inside: %s", inside, got)
	}
	if begin := decoded(t, l.batches[slices.IndexFunc(l.batches, func(b records.Batch) bool { return b.BaseOffset() == from })])[0].(*records.BeginTransaction); *begin.Name != "CreateTopics" {
		t.Errorf("called %q", *begin.Name)
	}
	if end := l.EndOffset(); c.Image().EndOffset() != end {
		t.Errorf("published %d of %d", c.Image().EndOffset(), end)
	}
}

// Others may come at any time: what they write lies before the transaction or behind it.
func TestNothingComesBetweenTheBatchesOfATransaction(t *testing.T) {
	c, l := startSmall(t, 300)
	from := l.EndOffset()
	var wg sync.WaitGroup
	for i := range int32(10) {
		wg.Go(func() {
			if err := (change{what: "register", broker: 20 + i, port: 9092}).make(c); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := c.Handle(t.Context(), script, createTopics(fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	topics := 0
	for _, part := range strings.Split(l.written(t, from), "BeginTransaction")[1:] {
		inside, _, ended := strings.Cut(part, "EndTransaction")
		if n := strings.Count(inside, "Topic"); n != 3 || !ended || strings.Contains(inside, "Register") || strings.Contains(inside, "control") {
			t.Errorf("in a transaction: %s", inside)
		} else {
			topics += n
		}
	}
	if topics != 30 {
		t.Errorf("%d topics in transactions", topics)
	}
}

// What just fits into a batch is one, whoever comes at the same time. It was refused as too large when it did not fit beside others.
func TestAnOperationThatFillsABatchHasItToItself(t *testing.T) {
	c, l := start(t)
	from := l.EndOffset()
	outcomes := make(chan error, 2)
	value := strings.Repeat("x", 32000)
	writes := func(n int) *operation {
		rs := make([]records.Record, n)
		for i := range rs {
			rs[i] = &records.Config{ResourceType: 4, Name: fmt.Sprint(i), Value: &value}
		}
		return &operation{name: "test", settled: func(err error) { outcomes <- err }, plan: func(*plan.View) plan.Result { return plan.Result{Records: rs} }}
	}
	onLoop(c, func() { c.writer.queue = append(c.writer.queue, writes(1), writes(records.MaxBatchBytes/(32000+100))) })
	for range 2 {
		if err := <-outcomes; err != nil {
			t.Error(err)
		}
	}
	if got := l.written(t, from); strings.Count(got, "[") != 2 || strings.Contains(got, "Transaction") {
		t.Errorf("%.100s", got)
	}
}

var errLost = errors.New("lost")

// Whichever batch is lost, the operation has not happened, and what comes next takes the place of what there was of it.
func TestATransactionThatLosesABatchLeavesNothing(t *testing.T) {
	for lost := range 4 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			c, l := startSmall(t, 300)
			from := l.EndOffset()
			var seen atomic.Int32
			l.hook(func(records.Batch) error {
				if int(seen.Add(1)) == lost+1 {
					return errLost
				}
				return nil
			}, nil)
			if code := create(t, c, "a", "b", "c", "d"); code != kerr.NotController.Code {
				t.Fatal(kerr.ErrorForCode(code))
			}
			l.hook(nil, nil)
			if answer := registerByHand(t, c, 12, 9092); answer.BrokerEpoch != from {
				t.Errorf("registered at %d, expected %d", answer.BrokerEpoch, from)
			}
			if got := l.written(t, from); got != "[RegisterBroker]" {
				t.Errorf("%s", got)
			}
			if _, ok := c.Image().TopicByName("a"); ok || c.Image().EndOffset() != l.EndOffset() {
				t.Errorf("published at %d of %d, with the topic: %v", c.Image().EndOffset(), l.EndOffset(), ok)
			}
			if code := create(t, c, "a", "b", "c", "d"); code != 0 {
				t.Errorf("created again: %v", kerr.ErrorForCode(code))
			}
		})
	}
}

// The first part of one attempt and the others of the next would fit together, offset to offset.
func TestPartsOfTwoAttemptsAreNoTransaction(t *testing.T) {
	c, l := startSmall(t, 300)
	from := l.EndOffset()
	lose := func(which int32) {
		var seen atomic.Int32
		l.hook(func(records.Batch) error {
			if seen.Add(1) == which {
				return errLost
			}
			return nil
		}, nil)
	}
	for _, which := range []int32{2, 1} {
		lose(which)
		if code := create(t, c, "a", "b", "c", "d"); code != kerr.NotController.Code {
			t.Fatal(kerr.ErrorForCode(code))
		}
		if got := l.written(t, from); got != "" {
			t.Fatalf("batch %d was lost, and what counts is %s", which, got)
		}
	}
	l.hook(nil, nil)
	if code := create(t, c, "a", "b", "c", "d"); code != 0 || !strings.HasPrefix(l.written(t, from), "[BeginTransaction Topic") {
		t.Errorf("%v: %s", kerr.ErrorForCode(code), l.written(t, from))
	}
}

func TestANewLeaderTakesThePlaceOfATransactionWithoutAnEnd(t *testing.T) {
	c, l := startSmall(t, 300)
	from := l.EndOffset()
	var once sync.Once
	l.hook(nil, func(b records.Batch) {
		if b.EndOffset() > from+5 {
			once.Do(func() {
				l.mu.Lock()
				l.epoch++ // deposed and elected again: what was proposed before is dropped
				l.mu.Unlock()
				go l.notify()
			})
		}
	})
	if code := create(t, c, "a", "b", "c", "d"); code != kerr.NotController.Code {
		t.Fatal(kerr.ErrorForCode(code))
	}
	awaitActive(t, c, l)
	for create(t, c, "other") != 0 { // refused while the old term lasts
	}
	if got := l.written(t, from); !strings.HasPrefix(got, "[control] [Topic") || strings.Contains(got, "Transaction") {
		t.Errorf("%s", got)
	}
	if _, ok := c.Image().TopicByName("a"); ok {
		t.Error("the transaction counts")
	}
}

// A broker's epoch is the offset at which its registration begins, the transaction's first record included, and whoever reads
// up to the offset in the answer finds it there.
func TestARegistrationInATransactionKeepsItsEpoch(t *testing.T) {
	c, l := startWith(t, func(cfg *Config) { cfg.MaxBatch = 50 })
	from := l.EndOffset()
	answer := registerByHand(t, c, 11, 9092)
	b, _ := c.Image().Broker(11)
	if got := l.written(t, from); !strings.HasPrefix(got, "[BeginTransaction] [RegisterBroker") {
		t.Fatalf("no transaction: %s", got)
	}
	if answer.BrokerEpoch != from || b.Epoch != from || b.RegistrationOffset != from+1 {
		t.Errorf("epoch %d and %d, registered at %d; the operation begins at %d", answer.BrokerEpoch, b.Epoch, b.RegistrationOffset, from)
	}
	if answer.Offset != l.EndOffset() || answer.Offset != c.Image().EndOffset() {
		t.Errorf("%+v; the log ends at %d", answer, l.EndOffset())
	}
}

func TestBeforeMetadataVersion13ThereAreNoTransactions(t *testing.T) {
	c, l := startWith(t, func(cfg *Config) { cfg.MaxBatch, cfg.Settings.MetadataVersion = 300, 12 })
	registerByHand(t, c, 11, 9092)
	from := l.EndOffset()
	if code := create(t, c, "a", "b", "c", "d"); code != kerr.PolicyViolation.Code {
		t.Errorf("%v", kerr.ErrorForCode(code))
	}
	if code := create(t, c, "e"); code != 0 || l.written(t, from) != "[Topic Partition Partition]" {
		t.Errorf("%v: %s", kerr.ErrorForCode(code), l.written(t, from))
	}
}

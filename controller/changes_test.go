package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

// follower replays what ChangesSince answers.
type follower struct {
	image *image.Image
	next  int64
	seen  int64 // offset after the last change
	whole int   // how often it had to start over
}

// ask asks once, and says whether there is more.
func (f *follower) ask(tb rapid.TB, c *Controller, maxRecords int) bool {
	tb.Helper()
	answer, err := c.ChangesSince(context.Background(), f.next, maxRecords)
	if err != nil {
		tb.Fatal(err)
	}
	if answer.Next < f.next {
		tb.Fatalf("asked since %d, told to go on from %d", f.next, answer.Next)
	}
	if answer.Image != nil {
		if len(answer.Changes) > 0 || answer.More || answer.Next != answer.Image.Timestamp() {
			tb.Fatalf("a whole image and %d changes, more: %v, next: %d", len(answer.Changes), answer.More, answer.Next)
		}
		f.image, f.next, f.seen = answer.Image, answer.Next, answer.Image.EndOffset()
		f.whole++
		return false
	}
	edit := f.image.Edit()
	for _, change := range answer.Changes {
		if change.Offset < f.seen || change.Timestamp <= f.next || change.Timestamp > answer.Next {
			tb.Fatalf("since %d and offset %d: a change at offset %d, timestamp %d; next %d", f.next, f.seen, change.Offset, change.Timestamp, answer.Next)
		}
		if v := records.VersionOf(change.Record, records.MetadataVersion(f.image.MetadataVersion())); v != change.Version {
			tb.Fatalf("%T in version %d, not %d", change.Record, change.Version, v)
		}
		edit.Replay(change.Record, change.Offset) // it panics on what does not fit
		f.seen = change.Offset + 1
	}
	f.image, f.next = edit.Image(), answer.Next
	return answer.More
}

// Starting from 0, at any moment and in any portions, the answers lead to the published image; nothing is missed or comes twice,
// though the clock hardly moves and the log is compacted under the reader.
func TestReplayedChangesGiveTheImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now atomic.Int64
		now.Store(1_700_000_000_000)
		c := New(Config{
			NodeID: 1, ListenerName: "CONTROLLER", VerifyAdoption: true, MaxBatch: rapid.SampledFrom([]int{0, 150}).Draw(t, "max batch"), Clock: func() time.Time { return time.UnixMilli(now.Load()) },
			Settings: plan.Settings{SessionTimeout: 9 * time.Second, NumPartitions: 1, DefaultReplicationFactor: 1, MinISR: 1, MetadataVersion: records.LatestMetadataVersion},
		})
		l := newFakeLog(c)
		c.Start(l)
		defer l.close()
		defer c.Close()
		awaitActive(t, c, l)

		f := &follower{}
		portion := rapid.OneOf(rapid.IntRange(1, 3), rapid.Just(0))
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"change": func(t *rapid.T) {
				changeAtOnce(t, c, rapid.SliceOfN(rapid.Custom(drawChange), 1, 6).Draw(t, "changes"))
			},
			"ask":      func(t *rapid.T) { f.ask(t, c, portion.Draw(t, "portion")) },
			"compact":  func(t *rapid.T) { compact(t, l) },
			"time":     func(t *rapid.T) { now.Add(rapid.Int64Range(-2, 50).Draw(t, "ms")) },
			"catch up": func(t *rapid.T) { catchUp(t, c, f, portion.Draw(t, "portion")) },
		})
		catchUp(t, c, f, portion.Draw(t, "portion"))
	})
}

func catchUp(t rapid.TB, c *Controller, f *follower, portion int) {
	t.Helper()
	for f.next == 0 || f.ask(t, c, portion) {
		if f.next == 0 {
			f.ask(t, c, portion)
		}
	}
	if f.next != c.Image().Timestamp() {
		t.Fatalf("the last answer ends at %d, the image at %d", f.next, c.Image().Timestamp())
	}
	if diff := image.Diff(f.image, c.Image()); diff != "" {
		t.Fatalf("replayed and published differ:\n%s", diff)
	}
}

func compact(t rapid.TB, l *fakeLog) {
	t.Helper()
	if _, err := l.snapshot(); err != nil {
		t.Fatal(err)
	}
}

// change is something that somebody does to a cluster.
type change struct {
	what   string
	broker int32
	topic  string
	port   uint16
	yes    bool
}

func drawChange(t *rapid.T) change {
	return change{
		what:   rapid.SampledFrom([]string{"register", "fence", "unregister", "topic", "delete", "partition", "producer"}).Draw(t, "what"),
		broker: rapid.Int32Range(11, 14).Draw(t, "broker"),
		topic:  rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic"),
		port:   rapid.Uint16Range(1, 2).Draw(t, "port"),
		yes:    rapid.Bool().Draw(t, "yes"),
	}
}

// changeAtOnce makes changes that arrive together, so that they share batches. Refusals are as good as successes.
func changeAtOnce(t rapid.TB, c *Controller, all []change) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, x := range all {
		wg.Go(func() { errs[i] = x.make(c) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (x change) make(c *Controller) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	switch x.what {
	case "register":
		_, err = c.RegisterByHand(ctx, Caller{}, plan.HandRegistration{BrokerID: x.broker, Host: "by.hand", Port: x.port})
	case "fence":
		_, err = c.ChangeRegistration(ctx, Caller{}, plan.RegistrationChange{BrokerID: x.broker, Fenced: &x.yes})
	case "unregister":
		_, err = c.UnregisterByHand(ctx, Caller{}, x.broker)
	case "topic":
		_, err = c.Handle(ctx, Caller{}, createTopics(x.topic))
	case "delete":
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version = 5
		req.TopicNames = []string{x.topic}
		_, err = c.Handle(ctx, Caller{}, req)
	case "partition":
		_, err = c.CreatePartition(ctx, Caller{}, plan.NewPartition{TopicName: x.topic})
	case "producer":
		_, err = c.AllocateProducerIDsFor(ctx, Caller{}, x.broker)
	}
	return err
}

func createTopics(names ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	for _, name := range names {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 2, 1
		req.Topics = append(req.Topics, topic)
	}
	return req
}

func TestChangesOfALogThatWasCompacted(t *testing.T) {
	c, l := start(t)
	made(t, change{what: "register", broker: 11, port: 9092}, c)
	before := c.Image().Timestamp()
	made(t, change{what: "register", broker: 12, port: 9092}, c)
	atStart := c.Image()
	compact(t, l)
	if got := since(t, c, atStart.Timestamp()); got.Image != nil || len(got.Changes) != 0 || got.Next != atStart.Timestamp() {
		t.Errorf("nothing has happened since the snapshot: %+v", got)
	}
	made(t, change{what: "register", broker: 13, port: 9092}, c)
	end := c.Image().Timestamp()

	for _, long := range []int64{-5, 0, 1, before, atStart.Timestamp() - 1} {
		if got := since(t, c, long); got.Image != c.Image() || got.Changes != nil || got.Next != end {
			t.Errorf("since %d, which the log does not know any more: %+v", long, got)
		}
	}
	got := since(t, c, atStart.Timestamp())
	if got.Image != nil || len(got.Changes) != 1 || got.Next != end || got.More {
		t.Fatalf("since the snapshot: %+v", got)
	}
	r, ok := got.Changes[0].Record.(*records.RegisterBroker)
	if !ok || r.BrokerID != 13 || got.Changes[0].Offset != atStart.EndOffset() || got.Changes[0].Timestamp != end || got.Changes[0].Version != 4 {
		t.Errorf("%+v", got.Changes[0])
	}
	for _, late := range []int64{end, end + 1, end + 1e9} {
		if got := since(t, c, late); got.Image != nil || got.Changes != nil || got.Next != end {
			t.Errorf("since %d, and nothing is that late: %+v", late, got)
		}
	}
}

func made(t *testing.T, x change, c *Controller) {
	t.Helper()
	if err := x.make(c); err != nil {
		t.Fatal(err)
	}
}

func since(t *testing.T, c *Controller, timestampMs int64) Changes {
	t.Helper()
	got, err := c.ChangesSince(t.Context(), timestampMs, 0)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// From its first batch on, when the log begins with offset 0, everything is a change.
func TestChangesOfALogFromItsBeginning(t *testing.T) {
	c, _ := start(t)
	got := since(t, c, 1)
	if got.Image != nil || len(got.Changes) == 0 {
		t.Fatalf("%+v", got)
	}
	for _, change := range got.Changes {
		switch change.Record.(type) {
		case *records.FeatureLevel, *records.Config:
		default:
			t.Errorf("offset %d: %T is no change", change.Offset, change.Record)
		}
	}
	if got.Next != c.Image().Timestamp() {
		t.Errorf("next %d, the image is of %d", got.Next, c.Image().Timestamp())
	}
}

// compactingLog compacts when it has been read so often.
type compactingLog struct {
	*fakeLog
	reads int
}

func (l *compactingLog) Read(offset int64, maxBytes int) ([]byte, error) {
	if l.reads--; l.reads == 0 {
		if _, err := l.snapshot(); err != nil {
			return nil, err
		}
	}
	return l.fakeLog.Read(offset, maxBytes)
}

func TestChangesWhileTheLogIsCompacted(t *testing.T) {
	for reads := 1; reads < 6; reads++ {
		t.Run(fmt.Sprint(reads), func(t *testing.T) {
			c, l := start(t)
			f := &follower{}
			f.ask(t, c, 0)
			for id := range int32(5) {
				made(t, change{what: "register", broker: id + 10, port: 9092}, c)
			}
			f.ask(t, c, 1)
			c.log = &compactingLog{l, reads}
			for f.ask(t, c, 1) {
			}
			if diff := image.Diff(f.image, c.Image()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// written is a controller on a log that somebody else has written: batches of records, each a millisecond after the one before.
func written(t *testing.T, batches ...[]records.Record) *Controller {
	t.Helper()
	c := New(Config{NodeID: 2, Settings: plan.Settings{SessionTimeout: time.Second}})
	l := newFakeLog(c)
	c.Attach(l)
	t.Cleanup(l.close)
	b := records.NewBatchBuilder(0, 1, 1000)
	if err := b.AddControl(&records.LeaderChange{LeaderID: 1}); err != nil {
		t.Fatal(err)
	}
	add := func(b *records.BatchBuilder) {
		done := make(chan error)
		l.Append(b.Batch(), nil, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	add(b)
	end := l.EndOffset()
	for i, batch := range batches {
		b := records.NewBatchBuilder(end, 1, 1001+int64(i))
		for _, r := range batch {
			if err := b.Add(r, records.VersionOf(r, records.LatestMetadataVersion)); err != nil {
				t.Fatal(err)
			}
		}
		add(b)
		end = b.Batch().EndOffset()
	}
	return c
}

// Records of a transaction count when it has ended, from wherever one asks.
func TestChangesOfMetadataTransactions(t *testing.T) {
	name := "a transaction"
	level := &records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(records.LatestMetadataVersion)}
	begin, end, abort := &records.BeginTransaction{Name: &name}, &records.EndTransaction{}, &records.AbortTransaction{}
	topic := func(name byte) *records.Topic {
		return &records.Topic{Name: string(name), TopicID: records.UUID{0: name, 15: 200}}
	}
	type batches = [][]records.Record
	for _, tc := range []struct {
		name  string
		log   batches // from timestamp 1001 on
		since int64
		max   int
		want  string // names of topics
		next  int64
		more  bool
		whole bool
	}{
		{"not ended", batches{{level}, {begin}, {topic('a')}}, 1000, 0, "", 1001, false, false},
		{"not ended, since its beginning", batches{{level}, {begin}, {topic('a')}}, 1002, 0, "", 1001, false, false},
		{"ended", batches{{level}, {begin}, {topic('a')}, {topic('b'), end, topic('c')}}, 1001, 0, "abc", 1004, false, false},
		{"ended, in portions", batches{{level}, {begin}, {topic('a')}, {topic('b'), end}, {topic('c')}}, 1001, 1, "ab", 1004, true, false},
		{"aborted", batches{{level}, {begin, topic('a')}, {topic('b')}, {abort}, {topic('a')}}, 1001, 0, "a", 1005, false, false},
		{"aborted, in portions", batches{{level}, {begin, topic('a')}, {topic('b')}, {abort}, {topic('a')}}, 1001, 1, "", 1004, true, false},
		{"since the middle", batches{{level}, {begin}, {topic('a')}, {topic('b'), end}}, 1003, 0, "", 1004, false, true},
		{"since the middle of an aborted one", batches{{level}, {begin}, {topic('a')}, {abort}}, 1002, 0, "", 1004, false, true},
		{"in one batch", batches{{level}, {begin, topic('a'), end}, {&records.NoOp{}}}, 1001, 0, "a", 1003, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := written(t, tc.log...)
			got, err := c.ChangesSince(t.Context(), tc.since, tc.max)
			if err != nil {
				t.Fatal(err)
			}
			names := ""
			for _, change := range got.Changes {
				if r, ok := change.Record.(*records.Topic); ok {
					names += r.Name
				} else if change.Record.APIKey() != records.KeyFeatureLevel {
					t.Errorf("%T", change.Record)
				}
			}
			if names != tc.want || got.Next != tc.next || got.More != tc.more || (got.Image != nil) != tc.whole {
				t.Errorf("got %q, next %d, more %v, image %v", names, got.Next, got.More, got.Image != nil)
			}
		})
	}
}

// What nobody may take away from a reader is its bound: one batch more than it asked for, never two.
func TestChangesAreBounded(t *testing.T) {
	var log [][]records.Record
	log = append(log, []records.Record{&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(records.LatestMetadataVersion)}})
	for i := range 50 {
		var batch []records.Record
		for j := range 7 {
			batch = append(batch, &records.Topic{Name: fmt.Sprint(i, ".", j), TopicID: records.UUID{0: byte(i), 1: byte(j), 15: 200}})
		}
		log = append(log, batch)
	}
	c := written(t, log...)
	for _, limit := range []int{1, 6, 7, 8, 14, 20, 349} {
		var all []Change
		next, asked := int64(1001), 0
		for more := true; more; asked++ {
			got, err := c.ChangesSince(t.Context(), next, limit)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(got.Changes); n%7 != 0 || n > max(limit, 7) {
				t.Fatalf("asked for %d, got %d", limit, n)
			}
			all, next, more = append(all, got.Changes...), got.Next, got.More
		}
		if len(all) != 350 || !slices.IsSortedFunc(all, func(a, b Change) int { return int(a.Offset - b.Offset) }) {
			t.Errorf("limit %d: %d changes", limit, len(all))
		}
		if want := (350 + max(limit/7, 1)*7 - 1) / (max(limit/7, 1) * 7); asked != want {
			t.Errorf("limit %d: asked %d times, not %d", limit, asked, want)
		}
	}
}

func TestChangesEndWithTheContext(t *testing.T) {
	c, _ := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := c.ChangesSince(ctx, 1, 0); err == nil {
		t.Errorf("%+v", got)
	}
}

func TestWaitForWaitsForTheImage(t *testing.T) {
	c, log := start(t)
	end := c.Image().EndOffset()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.WaitFor(ctx, end+1); err == nil {
		t.Error("it did not wait")
	}
	waited := make(chan int64)
	go func() {
		if err := c.WaitFor(t.Context(), end+1); err != nil {
			t.Error(err)
		}
		waited <- c.Image().EndOffset()
	}()
	log.mu.Lock() // another leader ends the log's own wait
	log.leader = 7
	close(log.changed)
	log.changed = make(chan struct{})
	log.mu.Unlock()
	registerByHand(t, c, 11, 9092)
	if got := <-waited; got <= end {
		t.Errorf("the image ends at %d", got)
	}
}

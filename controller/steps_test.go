package controller

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

// inSteps is something that takes n operations of one record each.
func inSteps(n int) handPlan {
	return func(*plan.View) (plan.HandAnswer, plan.Result) {
		answer := plan.HandAnswer{PartitionID: int32(n)}
		if n > 1 {
			answer.Rest = inSteps(n - 1)
		}
		return answer, plan.Result{Records: []records.Record{&records.NoOp{}}}
	}
}

// begin has something done by hand while the log hangs, until release is called, and waits until the writer can do no more.
func begin(t *testing.T, c *Controller, l *fakeLog, f handPlan) (answer chan plan.HandAnswer, release func()) {
	block := make(chan struct{})
	l.work <- func() { <-block }
	answer = make(chan plan.HandAnswer, 1)
	go func() {
		a, err := c.byHand(t.Context(), script, "test", f)
		if err != nil {
			t.Error(err)
		}
		answer <- a
	}()
	for len(l.work) < maxInFlight {
		onLoop(c, func() {})
	}
	release = sync.OnceFunc(func() { close(block) })
	t.Cleanup(release)
	return answer, release
}

func TestStepsOfAnOperationDoNotWaitForEachOther(t *testing.T) {
	c, l := start(t)
	before := c.Image().EndOffset()
	answer, release := begin(t, c, l, inSteps(maxInFlight+2))
	if end := c.Image().EndOffset(); end != before {
		t.Errorf("published %d, was %d: nothing is committed yet", end, before)
	}
	release()
	if a := <-answer; a.Refusal != nil || a.PartitionID != 1 || a.Offset != before+maxInFlight+2 || c.Image().EndOffset() < a.Offset {
		t.Errorf("%+v, at first %d", a, before)
	}
}

// Others are planned between two steps: what takes long keeps nobody waiting until its end.
func TestOthersHaveTheirTurnBetweenSteps(t *testing.T) {
	c, l := start(t)
	before := c.Image().EndOffset()
	answer, release := begin(t, c, l, inSteps(3*maxInFlight))
	other := make(chan plan.HandAnswer, 1)
	go func() { other <- registerByHand(t, c, 11, 9092) }()
	for waiting := false; !waiting; {
		onLoop(c, func() { waiting = len(c.writer.queue) == 2 })
	}
	release()
	o, a := <-other, <-answer
	if a.Refusal != nil || o.Offset >= a.Offset || a.Offset != before+3*maxInFlight+1 {
		t.Errorf("%+v, another's %+v, at first %d", a, o, before)
	}
}

// Steps that were committed do not make up for what was still waiting when leadership was lost.
func TestStepsThatAreLostAreToldOnce(t *testing.T) {
	for name, lose := range map[string]func(*Controller, *fakeLog){
		"dropped on the way": func(_ *Controller, l *fakeLog) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.epoch++
		},
		"refused while waiting": func(c *Controller, l *fakeLog) {
			l.mu.Lock()
			l.leading = false
			l.mu.Unlock()
			onLoop(c, c.leadershipChanged)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, l := start(t)
			answer, release := begin(t, c, l, inSteps(maxInFlight+2))
			lose(c, l)
			release()
			if a := <-answer; a.Refusal == nil || a.Refusal.Err != kerr.NotController {
				t.Errorf("%+v", a)
			}
			onLoop(c, func() {}) // it is not stuck over a second answer
		})
	}
}

// A broker with five partitions that nobody else has is silent for a session, and heard from again between two steps of its fencing.
func TestABrokerThatIsHeardFromBetweenStepsGetsItsPartitionsBack(t *testing.T) {
	e := new(image.Image).Edit()
	topic := records.UUID{15: 200}
	e.Replay(&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(records.LatestMetadataVersion)}, 0)
	e.Replay(&records.RegisterBroker{BrokerID: 1, BrokerEpoch: 1, LogDirs: []records.UUID{{15: 201}}}, 1)
	e.Replay(&records.Topic{Name: "orders", TopicID: topic}, 2)
	for id := range int32(5) {
		e.Replay(&records.Partition{TopicID: topic, PartitionID: id, Replicas: []int32{1}, ISR: []int32{1}, Leader: 1, Directories: []records.UUID{{15: 201}}}, 3)
	}
	led := func() (n int) {
		e.View().EachPartitionOf(1, func(_ *image.Topic, _ int32, p *image.Partition) bool {
			if p.Leader == 1 {
				n++
			}
			return true
		})
		return n
	}
	now, s := time.UnixMilli(0), newSessions(time.Second)
	step := func(f func(*plan.View) plan.Result) plan.Result {
		r := f(&plan.View{Image: e.View(), Now: now, Sessions: s, Settings: &plan.Settings{StepRecords: 2}})
		for _, r := range r.Records {
			e.Replay(r, e.View().EndOffset())
		}
		return r
	}
	fence := func(v *plan.View) plan.Result { return plan.FenceBroker(v, 1) }
	r := step(whileSilent(1, 1, fence, false))
	r = step(r.Rest)
	if led() != 1 || r.Rest == nil {
		t.Fatalf("leads %d after two steps, goes on %v", led(), r.Rest != nil)
	}
	s.touch(1, 1, now)
	if r = step(r.Rest); led() != 5 || r.Rest != nil {
		t.Errorf("leads %d, goes on %v", led(), r.Rest != nil)
	}
	if r = step(whileSilent(1, 0, fence, false)); len(r.Records) != 0 {
		t.Error("a step for an epoch that is over")
	}
}

// Requests that wait while nothing is committed are bounded, wherever they wait: the next one is told to try again.
func TestTooManyWaitingRequestsAreRefused(t *testing.T) {
	c, l := start(t)
	_, release := begin(t, c, l, inSteps(maxInFlight+1))
	var codes []int16
	answered := make(chan struct{}, maxQueue+2)
	ask := func() {
		if err := c.Submit(Caller{}, unregisterRequest(77), func(r kmsg.Response) {
			codes = append(codes, r.(*kmsg.UnregisterBrokerResponse).ErrorCode)
			answered <- struct{}{}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxQueue {
		ask()
		if i%1000 == 0 {
			onLoop(c, func() {}) // the writer takes what has come
		}
	}
	onLoop(c, func() {})
	if len(codes) > 1 {
		t.Fatalf("%d of %d requests were answered, first with %d: the log hangs", len(codes), maxQueue, codes[0])
	}
	early := len(codes) // the steps wait, too
	ask()
	if len(codes) != early+1 || codes[early] != kerr.RequestTimedOut.Code {
		t.Fatalf("codes %v", codes)
	}
	release()
	for range maxQueue + 1 {
		<-answered
	}
	onLoop(c, func() {})
	ask()
	<-answered
	if got := codes[len(codes)-1]; got != kerr.BrokerIDNotRegistered.Code {
		t.Errorf("after it all: %d", got)
	}
}

package controller

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/plan"
	"yakt/records"
)

var script = Caller{Principal: "User:script", Host: "192.0.2.1"}

func registerByHand(t *testing.T, c *Controller, id int32, port uint16) plan.HandAnswer {
	t.Helper()
	answer, err := c.RegisterByHand(t.Context(), script, plan.HandRegistration{BrokerID: id, Host: "by.hand", Port: port})
	if err != nil || answer.Refusal != nil {
		t.Fatalf("broker %d: %+v, %v", id, answer, err)
	}
	return answer
}

// onLoop runs f on the run loop and waits for it.
func onLoop(c *Controller, f func()) {
	done := make(chan struct{})
	c.writer.mail.post(func() {
		f()
		close(done)
	})
	<-done
}

// What one side does the other sees with the answer.
func TestWhatIsDoneByHandIsPublishedWithTheAnswer(t *testing.T) {
	c, _ := start(t)
	first := registerByHand(t, c, 11, 9092)
	if again := registerByHand(t, c, 11, 9092); again.BrokerEpoch != first.BrokerEpoch || again.Offset != first.Offset {
		t.Errorf("the same again: %+v, at first %+v", again, first)
	}
	if b, ok := c.Image().Broker(11); !ok || b.Epoch != first.BrokerEpoch || !b.Active() || !b.ByHand() || c.Image().EndOffset() != first.Offset {
		t.Fatalf("%+v at %d, told %+v", b, c.Image().EndOffset(), first)
	}
	if resp, err := c.Handle(t.Context(), script, createTopics("orders")); err != nil || resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	added, err := c.CreatePartition(t.Context(), script, plan.NewPartition{TopicName: "orders"})
	if topic, ok := c.Image().TopicByName("orders"); err != nil || !ok || added.PartitionID != 2 || added.TopicID != topic.ID || topic.NumPartitions() != 3 {
		t.Fatalf("%+v, %v", added, err)
	}
	block, err := c.AllocateProducerIDsFor(t.Context(), script, 11)
	if err != nil || block.ProducerIDStart != 0 || block.ProducerIDLength != 1000 || c.Image().NextProducerID() != 1000 {
		t.Errorf("producer ids %d+%d, %v", block.ProducerIDStart, block.ProducerIDLength, err)
	}
	yes := true
	if answer, err := c.ChangeRegistration(t.Context(), script, plan.RegistrationChange{BrokerID: 11, Fenced: &yes}); err != nil || answer.Refusal != nil {
		t.Fatalf("%+v, %v", answer, err)
	}
	if b, _ := c.Image().Broker(11); !b.Fenced {
		t.Error("not fenced")
	}
	if answer, err := c.UnregisterByHand(t.Context(), script, 11); err != nil || answer.Refusal != nil || c.Image().NumBrokers() != 0 {
		t.Errorf("%+v, %v, %d brokers", answer, err, c.Image().NumBrokers())
	}
	if answer, err := c.UnregisterByHand(t.Context(), script, 11); err != nil || answer.Refusal == nil || answer.Refusal.Err != kerr.BrokerIDNotRegistered {
		t.Errorf("%+v, %v", answer, err)
	}
}

// Nobody times a broker without a process out, and none keeps a process from its id after a change of leadership, which gives every
// broker that is not fenced a session.
func TestNoSessionForABrokerWithoutAProcess(t *testing.T) {
	var now atomic.Int64
	c := New(Config{
		NodeID: 1, ListenerName: "CONTROLLER", Clock: func() time.Time { return time.UnixMilli(now.Load()) },
		Settings: plan.Settings{SessionTimeout: 9 * time.Second, MinISR: 1, MetadataVersion: records.LatestMetadataVersion},
	})
	l := newFakeLog(c)
	c.Start(l)
	defer l.close()
	defer c.Close()
	awaitActive(t, c, l)
	registerByHand(t, c, 11, 9092)
	beat := kmsg.NewPtrBrokerHeartbeatRequest()
	beat.BrokerID, beat.BrokerEpoch, beat.CurrentMetadataOffset = 12, register(t, c, 12).BrokerEpoch, 1000
	if resp, err := c.Handle(t.Context(), Caller{}, beat); err != nil || resp.(*kmsg.BrokerHeartbeatResponse).IsFenced {
		t.Fatalf("%+v, %v", resp, err)
	}
	for range 100 { // a second a tick: the process was there to hear
		now.Add(1000)
		onLoop(c, c.chores)
	}
	registerByHand(t, c, 13, 9092) // queued behind what the chores found to do
	if b, _ := c.Image().Broker(11); b.Fenced {
		t.Error("a broker without a process was timed out")
	}
	if b, _ := c.Image().Broker(12); !b.Fenced {
		t.Error("a silent process was not timed out")
	}
	onLoop(c, c.activated)
	if epoch := register(t, c, 11).BrokerEpoch; epoch < 0 {
		t.Error(epoch)
	}
	if b, _ := c.Image().Broker(11); b.ByHand() || !b.Fenced {
		t.Errorf("a process took the id: %+v", b)
	}
}

func TestByHandAStandbyRefuses(t *testing.T) {
	c, l := start(t)
	l.mu.Lock()
	l.leading = false
	l.mu.Unlock()
	onLoop(c, c.leadershipChanged)
	answer, err := c.RegisterByHand(t.Context(), script, plan.HandRegistration{BrokerID: 11, Host: "by.hand", Port: 1})
	if err != nil || answer.Refusal == nil || answer.Refusal.Err != kerr.NotController {
		t.Errorf("%+v, %v", answer, err)
	}
}

// Leadership that is lost before the commit leaves it open what happened; the answer is the same.
func TestByHandWithoutACommitIsNotController(t *testing.T) {
	c, l := start(t)
	l.mu.Lock()
	l.epoch++ // what is appended from now on comes from an earlier term, and is dropped
	l.mu.Unlock()
	answer, err := c.RegisterByHand(t.Context(), script, plan.HandRegistration{BrokerID: 11, Host: "by.hand", Port: 1})
	if err != nil || answer.Refusal == nil || answer.Refusal.Err != kerr.NotController {
		t.Errorf("%+v, %v", answer, err)
	}
	if _, ok := c.Image().Broker(11); ok {
		t.Error("it happened")
	}
}

func TestByHandWhatCannotBeWrittenIsRefused(t *testing.T) {
	c, _ := start(t)
	name := strings.Repeat("x", 32000)
	for want, recs := range map[*kerr.Error][]records.Record{
		kerr.InvalidRequest: {&records.Config{ResourceType: 4, ResourceName: strings.Repeat("x", 1<<16), Name: "a", Value: &name}},
		kerr.PolicyViolation: func() (recs []records.Record) {
			for range maxTransactionBytes / len(name) {
				recs = append(recs, &records.Config{ResourceType: 4, ResourceName: name, Name: "a", Value: &name})
			}
			return recs
		}(),
	} {
		answer, err := c.byHand(t.Context(), script, "test", func(*plan.View) (plan.HandAnswer, plan.Result) {
			return plan.HandAnswer{}, plan.Result{Records: recs}
		})
		if err != nil || answer.Refusal == nil || answer.Refusal.Err != want {
			t.Errorf("%v: %+v, %v", want, answer, err)
		}
	}
	registerByHand(t, c, 11, 9092)
}

func TestByHandNobodyWaitsLongerThanAsked(t *testing.T) {
	c, l := start(t)
	block := make(chan struct{})
	l.work <- func() { <-block }
	defer close(block)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if answer, err := c.RegisterByHand(ctx, script, plan.HandRegistration{BrokerID: 11, Host: "by.hand", Port: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", answer, err)
	}
}

// Beside the batch the log keeps who wanted it.
func TestByHandHasAnAuthor(t *testing.T) {
	op := operation{caller: script, name: "RegisterByHand"}
	if a := op.author(2); a.API != "RegisterByHand" || a.Principal != "User:script" || a.Host != "192.0.2.1" || a.Records != 2 {
		t.Errorf("%+v", a)
	}
	if who := op.who(); who != "RegisterByHand by User:script" {
		t.Error(who)
	}
	if who := (&operation{name: "LeaderChange"}).who(); who != "LeaderChange" {
		t.Error(who)
	}
}

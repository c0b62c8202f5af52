package plan

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"yakt/controller/image"
	"yakt/records"
)

// byHand does something by hand until it is done, and counts the operations that took.
func (s *story) byHand(f func(*View) (HandAnswer, Result)) (answer HandAnswer, operations int) {
	s.tb.Helper()
	for ; f != nil; f, operations = answer.Rest, operations+1 {
		if operations == 10 {
			s.tb.Fatal("it does not end")
		}
		s.do(func(v *View) (r Result) {
			answer, r = f(v)
			return r
		})
	}
	if answer.Refusal != nil {
		s.tb.Fatal(answer.Refusal)
	}
	return answer, operations
}

// in counts the partitions that have the broker in their ISR.
func (s *story) in(broker int32) (n int) {
	s.image.EachPartition(func(_ *image.Topic, _ int32, p *image.Partition) bool {
		if p.InISR(broker) {
			n++
		}
		return true
	})
	return n
}

// What is more than one operation may write takes several, and leaves nothing undone.
func TestByHandManyPartitionsTakeSeveralOperations(t *testing.T) {
	yes := true
	change := func(c RegistrationChange) func(*View) (HandAnswer, Result) {
		c.BrokerID = 1
		return func(v *View) (HandAnswer, Result) { return ChangeRegistration(v, c) }
	}
	for name, tc := range map[string]struct {
		byHand     bool // broker 1 has no process
		do         func(*View) (HandAnswer, Result)
		operations int
		done       func(*image.Broker) bool
	}{
		"fence":    {false, change(RegistrationChange{Fenced: &yes}), 2, func(b *image.Broker) bool { return b.Fenced }},
		"shutdown": {false, change(RegistrationChange{InControlledShutdown: &yes}), 2, func(b *image.Broker) bool { return b.InControlledShutdown }},
		"directories": {true, change(RegistrationChange{LogDirs: []records.UUID{dirID("new")}}), 2, func(b *image.Broker) bool {
			return len(b.LogDirs) == 1 && b.LogDirs[0] == dirID("new")
		}},
		"everything": {true, change(RegistrationChange{Fenced: &yes, InControlledShutdown: &yes, LogDirs: []records.UUID{dirID("new")}}), 2, func(b *image.Broker) bool {
			return b.Fenced && b.InControlledShutdown && len(b.LogDirs) == 1
		}},
		"unregister": {false, func(v *View) (HandAnswer, Result) { return UnregisterByHand(v, 1) }, 1, func(b *image.Broker) bool { return b == nil }},
		"unregister, before there were transactions": {false, func(v *View) (HandAnswer, Result) { return UnregisterByHand(v, 1) }, 2, func(b *image.Broker) bool { return b == nil }},
		"register": {true, func(v *View) (HandAnswer, Result) {
			return RegisterByHand(v, HandRegistration{BrokerID: 1, Host: "by.hand", Port: 9092})
		}, 2, func(b *image.Broker) bool { return b.Active() && b.EndPoints[0].Host == "by.hand" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := crowd(t, MaxRecords+500, 2)
			if strings.Contains(name, "before") {
				s.write(&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: 12})
			}
			if tc.byHand {
				b, _ := s.image.Broker(1)
				s.write(&records.RegisterBroker{BrokerID: 1, BrokerEpoch: b.Epoch, EndPoints: b.EndPoints, Features: b.Features, LogDirs: b.LogDirs})
			}
			_, operations := s.byHand(tc.do)
			if operations != tc.operations {
				t.Errorf("%d operations, not %d", operations, tc.operations)
			}
			if b, _ := s.image.Broker(1); !tc.done(b) {
				t.Errorf("not done: %+v", b)
			}
			if s.in(1) != 0 || s.led(2) != MaxRecords+500 {
				t.Errorf("in sync with %d, broker 2 leads %d", s.in(1), s.led(2))
			}
		})
	}
}

func TestByHandAHostIsANameOrAnAddress(t *testing.T) {
	s := crowd(t, 1, 2)
	for _, host := range []string{"a b", "a\n", "\x00", "a\u00a0b", "a\x7f"} {
		answer, result := RegisterByHand(s.view(), HandRegistration{BrokerID: 7, Host: host, Port: 9092})
		if answer.Refusal == nil || answer.Refusal.Err != kerr.InvalidRegistration || len(result.Records) > 0 {
			t.Errorf("%q: %+v", host, answer)
		}
	}
	for _, host := range []string{"::1", "kafka-1.example.net", "bücher.example", "under_score"} {
		if answer, _ := RegisterByHand(s.view(), HandRegistration{BrokerID: 7, Host: host, Port: 9092}); answer.Refusal != nil {
			t.Errorf("%q: %v", host, answer.Refusal)
		}
	}
}

package controller

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// termLog leads a term.
type termLog struct {
	Log
	term int32
}

func (l *termLog) Leading() (int32, bool) { return l.term, true }

// Found by the simulator: an answer without records was released because leadership was confirmed, but it was the
// leadership of a later term, won back after another node had led.
func TestLeadershipThatWasWonBackConfirmsNothing(t *testing.T) {
	for _, test := range []struct {
		term int32 // when the quorum has confirmed
		want int16
	}{{7, 0}, {9, kerr.NotController.Code}} {
		log := &termLog{term: 7}
		c := New(Config{})
		w := c.writer
		w.log, w.term = log, 7

		var answer *kmsg.BrokerHeartbeatResponse
		req := kmsg.NewPtrBrokerHeartbeatRequest()
		f := &flight{operations: []*operation{{
			request:  req,
			response: req.ResponseKind(),
			respond:  func(r kmsg.Response) { answer = r.(*kmsg.BrokerHeartbeatResponse) },
		}}}
		w.flights = append(w.flights, f)
		done := w.verified(f)
		log.term = test.term
		done(nil)
		w.step()
		if answer == nil || answer.ErrorCode != test.want {
			t.Errorf("planned in term 7, confirmed in %d: answered %+v, want error %d", test.term, answer, test.want)
		}
	}
}

package sim

import (
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// A broker is fenced for its silence only after it was silent for a whole session, by the clock of the active controller
// that fences it, and since that became active.

// silence is what a node has heard of brokers, noted beside the controller and not by it.
type silence struct {
	active bool
	since  time.Time // when it became active
	heard  map[registration]time.Time
	over   map[registration]bool // at some tick the session was over
	begun  map[registration]bool // as over, when the transaction that is being appended was begun: it was decided on by then
}

type registration struct {
	broker int32
	epoch  int64
}

// hear notes a heartbeat that arrives.
func (n *node) hear(h *kmsg.BrokerHeartbeatRequest) {
	s := &n.silence
	if !s.active || !n.ctl.Active() {
		return
	}
	key := registration{h.BrokerID, h.BrokerEpoch}
	s.heard[key] = n.clock()
	delete(s.over, key)
}

// listen notes after every step and tick whose silence has lasted for a session.
func (n *node) listen() {
	s := &n.silence
	active := n.ctl.Active()
	if active && !s.active {
		*s = silence{since: n.clock(), heard: map[registration]time.Time{}, over: map[registration]bool{}}
	}
	if s.active = active; !active {
		return
	}
	for b := range n.ctl.Image().Brokers() {
		key := registration{b.ID, b.Epoch}
		last, ok := s.heard[key]
		if !ok {
			last = s.since
		}
		if n.clock().Sub(last) >= n.w.pace.session {
			s.over[key] = true
		}
	}
}

// checkFenced looks for brokers that a batch fences for their silence.
func (n *node) checkFenced(b records.Batch, who []byte) {
	if b.Control() {
		return
	}
	rs, err := b.Decode()
	if err != nil {
		violate("batches-well-formed", "%v", err)
	}
	at := 0
	for _, a := range authorsOf(b, who) {
		over := n.silence.over
		if a.Begin == b.BaseOffset() {
			n.silence.begun = maps.Clone(over)
		}
		if a.Begin > 0 {
			over = n.silence.begun
		}
		for _, r := range rs[at : at+a.Records] {
			c, ok := r.(*records.BrokerRegistrationChange)
			if ok && a.API == "BrokerSessionExpiry" && c.Fenced > 0 && !over[registration{c.BrokerID, c.BrokerEpoch}] {
				violate("fenced-only-when-silent", "node %d fences broker %d of epoch %d, which it heard at %v; it is %v, and active since %v",
					n.id, c.BrokerID, c.BrokerEpoch, n.silence.heard[registration{c.BrokerID, c.BrokerEpoch}], n.clock(), n.silence.since)
			}
		}
		at += a.Records
	}
}

package sim

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Brokers are wrong about themselves: they have the epoch of an earlier life, two processes share an id, requests arrive again.

// saidEpoch is the epoch that the broker says it has.
func (b *broker) saidEpoch() int64 {
	if b.w.happens(epochLied) {
		b.w.count("epochs lied")
		return b.epoch + b.w.rand.Int64N(200) - 150
	}
	return b.epoch
}

var lies = []fault{
	{"a request is sent twice", time.Second, func(w *world) {
		if b := w.someBroker(); b.state == brokerRunning {
			req := kmsg.NewBrokerHeartbeatRequest()
			req.BrokerID, req.BrokerEpoch, req.CurrentMetadataOffset = b.id, b.epoch, b.follower.offset-1
			req.WantFence = !b.caughtUp
			if w.chance(0.2) {
				req.BrokerEpoch -= int64(1 + w.rand.IntN(100))
			}
			newConn(w, fmt.Sprintf("stray-%d", w.step)).send(w.someNode(), &req, nil)
		}
	}},
	{"another process has a broker's id", 6 * time.Second, func(w *world) {
		b := w.someBroker()
		if len(b.dirs.registered) == 0 {
			return
		}
		req := b.registration()
		req.IncarnationID = w.uuid()
		if w.chance(0.3) {
			req.PreviousBrokerEpoch = b.epoch // as if it had stopped cleanly
		}
		w.tracef("broker %d: has a twin, process %x", b.id, req.IncarnationID[:4])
		w.count("brokers doubled")
		newConn(w, fmt.Sprintf("twin-%d", w.step)).send(w.someNode(), req, nil)
	}},
}

package sim

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// When the faults are over, everything has to work again, within a bound and without anybody's help.

// final is what is tried once the faults are over.
type final struct {
	from    int // the step
	stage   finalStage
	started bool
	target  int32
	conn    *conn
}

type finalStage int8

const (
	finalAnswers finalStage = iota // what was asked before gets its answer
	finalBrokers                   // brokers run and are unfenced
	finalCreate                    // a topic is created
	finalDelete                    // and deleted
	finalAgree                     // all nodes publish the same
	finalDone
)

// heal ends all faults.
func (w *world) heal() {
	w.tracef("the faults are over")
	w.calm = true
	w.mend()
	for _, n := range w.nodes {
		n.refusing = false
		if !n.up && !n.out {
			n.boot()
		}
	}
	for _, b := range w.brokers {
		b.silent, b.dirs.cordoned = 0, nil
	}
	w.final = final{from: w.step, target: 1, conn: newConn(w, "final")}
}

// recovered says what is still not as it should be; nothing when all is.
func (w *world) recovered() string {
	f := &w.final
	for f.stage < finalDone {
		missing := w.missing()
		if missing != "" {
			return missing
		}
		f.stage++
		f.started = false
		w.tracef("final stage %d", f.stage)
	}
	return ""
}

// missing says what the present stage waits for.
func (w *world) missing() string {
	f := &w.final
	switch f.stage {
	case finalAnswers:
		for _, k := range w.calls {
			if k.step <= f.from {
				return fmt.Sprintf("%s #%d, %s, is not answered by node %d", k.conn.name, k.serial, describe(k.request), k.node.id)
			}
		}
		for _, a := range w.admins {
			if a.busy > 0 {
				return fmt.Sprintf("%s still waits", a.conn.name)
			}
		}
	case finalBrokers:
		for _, b := range w.brokers {
			reg, ok := w.oracle.head.Stable().Broker(b.id)
			switch {
			case b.state != brokerRunning || b.stopping:
				return fmt.Sprintf("broker %d does not run", b.id)
			case !ok || reg.Epoch != b.epoch || !reg.Active():
				return fmt.Sprintf("broker %d is not registered with epoch %d, or fenced: %+v", b.id, b.epoch, reg)
			}
		}
	case finalCreate:
		return w.finally(func() kmsg.Request {
			req := kmsg.NewCreateTopicsRequest()
			req.Version = 7
			req.Topics = []kmsg.CreateTopicsRequestTopic{newTopic(topicName(99, 3, 3))}
			return &req
		}, func() bool { _, ok := w.oracle.head.Stable().TopicByName(topicName(99, 3, 3)); return ok })
	case finalDelete:
		return w.finally(func() kmsg.Request {
			name := topicName(99, 3, 3)
			req := kmsg.NewDeleteTopicsRequest()
			req.Version = 6
			req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name, TopicID: records.ZeroUUID}}
			return &req
		}, func() bool { _, ok := w.oracle.head.Stable().TopicByName(topicName(99, 3, 3)); return !ok })
	case finalAgree:
		leader := w.leader()
		if leader == nil {
			return "nobody leads"
		}
		for _, n := range w.nodes {
			if n.out || !leader.members().has(n) {
				continue
			}
			if n.end != w.oracle.head.EndOffset() || n.ctl.Image().EndOffset() != n.end {
				return fmt.Sprintf("node %d is at %d of %d", n.id, n.end, w.oracle.head.EndOffset())
			}
		}
	}
	return ""
}

// finally sends the last requests, until they had their effect.
func (w *world) finally(request func() kmsg.Request, done func() bool) string {
	f := &w.final
	if !f.started {
		f.started = true
		stage := f.stage
		ask := &ask{conn: f.conn, target: &f.target, timeout: w.pace.session, request: request}
		ask.done = func(kmsg.Response) {
			if f.stage == stage && !done() {
				f.started = false
			}
		}
		ask.run()
	}
	if !done() {
		return describe(request()) + " has no effect"
	}
	return ""
}

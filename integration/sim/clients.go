package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
)

// call is one request on its way to one process, and its answer.
type call struct {
	conn     *conn
	node     *node
	serial   int // on its connection
	request  kmsg.Request
	step     int // when it was sent
	since    int // the oracle's state when it was sent: the answer must have been true then or later
	answered bool
	reply    func(kmsg.Response) // nil once nobody waits any more

	began      int64 // by the clock of histories
	operations []asked
}

// conn is a client's connection: what it sends arrives in order.
type conn struct {
	w       *world
	name    string
	arrives time.Duration
	sent    int
	told    map[told]int // the last request that was answered by a process with something else than NOT_CONTROLLER
}

type told struct {
	node        int32
	incarnation int
}

func newConn(w *world, name string) *conn { return &conn{w: w, name: name, told: map[told]int{}} }

// send submits a request to a node.
func (c *conn) send(n *node, req kmsg.Request, reply func(kmsg.Response)) *call {
	w := c.w
	c.sent++
	k := &call{conn: c, node: n, serial: c.sent, request: req, step: w.step, since: w.oracle.latest(), reply: reply, began: w.past.tick()}
	if !n.up {
		return k
	}
	w.calls = append(w.calls, k)
	c.arrives = max(c.arrives+1, w.now+w.between(100*time.Microsecond, 2*time.Millisecond))
	n.after(c.arrives-w.now, func() {
		w.tracef("%s #%d: asks node %d: %v", c.name, k.serial, n.id, requestText{req})
		caller := controller.Caller{Principal: "User:" + c.name, ClientID: c.name, Host: "127.0.0.1", Listener: "CONTROLLER"}
		if h, ok := req.(*kmsg.BrokerHeartbeatRequest); ok {
			n.hear(h)
		}
		if n.ctl.Active() {
			w.past.begin(k)
		}
		incarnation := n.incarnation
		err := n.ctl.Submit(caller, req, func(resp kmsg.Response) {
			if n.incarnation != incarnation || !n.up {
				panic("model: a process that is gone answers")
			}
			k.answer(resp)
		})
		if err != nil {
			violate("nothing-panics", "%v", err)
		}
		n.checkPublished()
		n.stepSoon()
	})
	return k
}

// answer takes what the controller answers, checks it, and lets it travel back.
func (k *call) answer(resp kmsg.Response) {
	w := k.conn.w
	w.tracef("%s #%d: node %d answers: %v", k.conn.name, k.serial, k.node.id, responseText{resp})
	if k.answered {
		violate("answered-once", "%s #%d has two answers", k.conn.name, k.serial)
	}
	k.answered = true
	w.calls = slices.DeleteFunc(w.calls, func(c *call) bool { return c == k })
	w.count("answers")
	if refused(resp) {
		w.past.unknown(k)
		w.count("answers NOT_CONTROLLER")
	} else {
		from := told{k.node.id, k.node.incarnation}
		if last := k.conn.told[from]; k.serial < last {
			violate("responses-in-order", "%s: #%d is answered after #%d", k.conn.name, k.serial, last)
		}
		k.conn.told[from] = k.serial
		w.oracle.judge(k, resp)
		w.past.end(k, resp)
	}
	if k.reply == nil {
		return
	}
	w.after(w.between(100*time.Microsecond, 2*time.Millisecond), func() {
		if reply := k.reply; reply != nil {
			k.reply = nil
			reply(resp)
		}
	})
}

// ask sends a request until somebody takes it: to another node when the one asked is not the active controller or does not
// answer in time. Both leave open whether the request was carried out.
type ask struct {
	conn    *conn
	target  *int32 // the node that was right last time
	timeout time.Duration
	tries   int // 0: until it is answered
	request func() kmsg.Request
	done    func(kmsg.Response) // nil when it was given up
}

func (a *ask) run() {
	w := a.conn.w
	n := w.nodes[*a.target-1]
	finished := false
	again := func() {
		if finished {
			return
		}
		finished = true
		if *a.target = n.pair.id; n.pair.id < 0 || w.chance(0.3) {
			*a.target = int32(1 + w.rand.IntN(len(w.nodes)))
		}
		if a.tries == 1 {
			a.done(nil)
			return
		}
		if a.tries > 0 {
			a.tries--
		}
		w.after(w.between(10*time.Millisecond, 120*time.Millisecond), a.run)
	}
	k := a.conn.send(n, a.request(), func(resp kmsg.Response) {
		if finished {
			return
		}
		if refused(resp) {
			again()
			return
		}
		finished = true
		a.done(resp)
	})
	w.after(a.timeout, func() {
		if !finished && !k.answered {
			w.tracef("%s #%d: no answer from node %d", a.conn.name, k.serial, n.id)
			w.count("requests timed out")
		}
		k.reply = nil
		again()
	})
}

// refused says whether the response tells the client to look for the active controller.
func refused(resp kmsg.Response) bool {
	code := kerr.NotController.Code
	switch resp := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		return len(resp.Topics) > 0 && resp.Topics[0].ErrorCode == code
	case *kmsg.CreatePartitionsResponse:
		return len(resp.Topics) > 0 && resp.Topics[0].ErrorCode == code
	case *kmsg.DeleteTopicsResponse:
		return len(resp.Topics) > 0 && resp.Topics[0].ErrorCode == code
	case *kmsg.BrokerRegistrationResponse:
		return resp.ErrorCode == code
	case *kmsg.BrokerHeartbeatResponse:
		return resp.ErrorCode == code
	case *kmsg.UnregisterBrokerResponse:
		return resp.ErrorCode == code
	case *kmsg.AlterPartitionResponse:
		return resp.ErrorCode == code
	case *kmsg.AllocateProducerIDsResponse:
		return resp.ErrorCode == code
	case *kmsg.AssignReplicasToDirsResponse:
		return resp.ErrorCode == code
	case *kmsg.AlterPartitionAssignmentsResponse:
		return resp.ErrorCode == code
	case *kmsg.ElectLeadersResponse:
		return resp.ErrorCode == code
	case *kmsg.IncrementalAlterConfigsResponse:
		return resp.Resources[0].ErrorCode == code
	case *kmsg.AlterConfigsResponse:
		return resp.Resources[0].ErrorCode == code
	}
	panic(fmt.Sprintf("model: response %T", resp))
}

// requestText and responseText are described only when somebody reads it.
type (
	requestText  struct{ kmsg.Request }
	responseText struct{ kmsg.Response }
)

func (t requestText) String() string  { return describe(t.Request) }
func (t responseText) String() string { return describeAnswer(t.Response) }

// describe says in a few words what a request asks.
func describe(req kmsg.Request) string {
	switch req := req.(type) {
	case *kmsg.CreateTopicsRequest:
		s := "create"
		if req.ValidateOnly {
			s = "validate"
		}
		for _, t := range req.Topics {
			s += " " + t.Topic
		}
		return s
	case *kmsg.CreatePartitionsRequest:
		return fmt.Sprintf("grow %s to %d", req.Topics[0].Topic, req.Topics[0].Count)
	case *kmsg.DeleteTopicsRequest:
		s := "delete"
		for _, name := range req.TopicNames {
			s += " " + name
		}
		for _, t := range req.Topics {
			if t.Topic != nil {
				s += " " + *t.Topic
			} else {
				s += fmt.Sprintf(" %x", t.TopicID[:4])
			}
		}
		return s
	case *kmsg.BrokerRegistrationRequest:
		return fmt.Sprintf("register %d, process %x", req.BrokerID, req.IncarnationID[:4])
	case *kmsg.BrokerHeartbeatRequest:
		return fmt.Sprintf("heartbeat of %d, epoch %d, offset %d, fence %v, shut down %v", req.BrokerID, req.BrokerEpoch, req.CurrentMetadataOffset, req.WantFence, req.WantShutdown)
	case *kmsg.UnregisterBrokerRequest:
		return fmt.Sprintf("unregister %d", req.BrokerID)
	case *kmsg.AllocateProducerIDsRequest:
		return fmt.Sprintf("producer ids for %d, epoch %d", req.BrokerID, req.BrokerEpoch)
	case *kmsg.AlterPartitionRequest:
		p := &req.Topics[0].Partitions[0]
		return fmt.Sprintf("alter %x-%d by %d: %v%v at %d/%d", req.Topics[0].TopicID[:4], p.Partition, req.BrokerID, p.NewISR, p.NewEpochISR, p.LeaderEpoch, p.PartitionEpoch)
	}
	if c, ok := configChangeOf(req); ok {
		return c.String()
	}
	switch req := req.(type) {
	case *kmsg.AlterPartitionAssignmentsRequest:
		return describeReassignment(req)
	case *kmsg.AssignReplicasToDirsRequest:
		return describeAssignment(req)
	case *kmsg.ElectLeadersRequest:
		s := fmt.Sprintf("elect by type %d, all: %v", req.ElectionType, req.Topics == nil)
		for _, t := range req.Topics {
			s += " " + t.Topic
		}
		return s
	}
	return kmsg.NameForKey(req.Key())
}

// describeAnswer says in a few words what a response says.
func describeAnswer(resp kmsg.Response) string {
	switch resp := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		s := "created"
		for _, t := range resp.Topics {
			s += fmt.Sprintf(" %s:%d:%x", t.Topic, t.ErrorCode, t.TopicID[:4])
		}
		return s
	case *kmsg.CreatePartitionsResponse:
		return fmt.Sprintf("grown:%d", resp.Topics[0].ErrorCode)
	case *kmsg.DeleteTopicsResponse:
		s := "deleted"
		for _, t := range resp.Topics {
			s += fmt.Sprintf(" %x:%d", t.TopicID[:4], t.ErrorCode)
		}
		return s
	case *kmsg.BrokerRegistrationResponse:
		return fmt.Sprintf("error %d, epoch %d", resp.ErrorCode, resp.BrokerEpoch)
	case *kmsg.BrokerHeartbeatResponse:
		return fmt.Sprintf("error %d, caught up %v, fenced %v, shut down %v", resp.ErrorCode, resp.IsCaughtUp, resp.IsFenced, resp.ShouldShutdown)
	case *kmsg.UnregisterBrokerResponse:
		return fmt.Sprintf("error %d", resp.ErrorCode)
	case *kmsg.AllocateProducerIDsResponse:
		return fmt.Sprintf("error %d, %d from %d", resp.ErrorCode, resp.ProducerIDLen, resp.ProducerIDStart)
	case *kmsg.AlterPartitionResponse:
		s := fmt.Sprintf("error %d", resp.ErrorCode)
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				s += fmt.Sprintf(", partition error %d, leader %d/%d, ISR %v/%d", p.ErrorCode, p.LeaderID, p.LeaderEpoch, p.ISR, p.PartitionEpoch)
			}
		}
		return s
	}
	switch resp := resp.(type) {
	case *kmsg.AlterPartitionAssignmentsResponse:
		return fmt.Sprintf("error %d, partition error %d", resp.ErrorCode, resp.Topics[0].Partitions[0].ErrorCode)
	case *kmsg.ElectLeadersResponse:
		return describeElections(resp)
	case *kmsg.IncrementalAlterConfigsResponse:
		return fmt.Sprintf("error %d", resp.Resources[0].ErrorCode)
	case *kmsg.AlterConfigsResponse:
		return fmt.Sprintf("error %d", resp.Resources[0].ErrorCode)
	case *kmsg.AssignReplicasToDirsResponse:
		return fmt.Sprintf("error %d, %v", resp.ErrorCode, resp.Directories)
	}
	return fmt.Sprintf("%T", resp)
}

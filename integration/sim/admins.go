package sim

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// admin creates and deletes topics, several requests at a time on one connection.
type admin struct {
	w      *world
	conn   *conn
	target int32
	busy   int
	known  []records.UUID // ids of topics it has created
	asks   float64        // how often it only asks whether a topic could be created
}

func newAdmin(w *world, number int) *admin {
	a := &admin{w: w, conn: newConn(w, fmt.Sprintf("admin-%d", number)), target: int32(1 + number), asks: []float64{0.1, 0.1, 0.8}[w.rand.IntN(3)]}
	a.next()
	return a
}

func (a *admin) next() {
	a.w.after(a.w.between(2*time.Millisecond, 100*time.Millisecond), func() {
		if a.w.calm {
			return
		}
		for range 1 + a.w.rand.IntN(3) {
			if a.busy < 6 {
				a.act()
			}
		}
		a.next()
	})
}

func (a *admin) act() {
	w := a.w
	switch p := w.rand.Float64(); {
	case p < 0.52:
		a.ask(a.create(w.chance(a.asks)))
	case p < 0.6:
		a.ask(a.grow())
	case p < 0.97:
		a.ask(a.remove())
	default:
		id := w.brokers[w.rand.IntN(len(w.brokers))].id
		a.ask(func() kmsg.Request {
			req := kmsg.NewUnregisterBrokerRequest()
			req.BrokerID = id
			return &req
		})
	}
}

func (a *admin) ask(request func() kmsg.Request) {
	a.busy++
	ask := &ask{conn: a.conn, target: &a.target, timeout: a.w.between(300*time.Millisecond, 3*time.Second), tries: 6, request: request}
	ask.done = func(resp kmsg.Response) {
		a.busy--
		if resp, ok := resp.(*kmsg.CreateTopicsResponse); ok {
			for _, t := range resp.Topics {
				if t.ErrorCode == 0 && t.TopicID != records.ZeroUUID {
					a.known = append(a.known, t.TopicID)
				}
			}
		}
	}
	ask.run()
}

// name is the name of one of the few topics that are created and deleted over and over.
func (a *admin) name() string {
	n := a.w.rand.IntN(12)
	return topicName(n, 3+n%3, 1+n/4)
}

func (a *admin) create(validate bool) func() kmsg.Request {
	w := a.w
	version := int16(2 + w.rand.IntN(6))
	names := []string{a.name()}
	if other := a.name(); w.chance(0.2) && other != names[0] {
		names = append(names, other)
	}
	return func() kmsg.Request {
		req := kmsg.NewCreateTopicsRequest()
		req.Version, req.ValidateOnly = version, validate
		for _, name := range names {
			req.Topics = append(req.Topics, newTopic(name))
		}
		return &req
	}
}

func (a *admin) grow() func() kmsg.Request {
	name, count := a.name(), int32(4+a.w.rand.IntN(5))
	return func() kmsg.Request {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, count
		req := kmsg.NewCreatePartitionsRequest()
		req.Version = 3
		req.Topics = []kmsg.CreatePartitionsRequestTopic{t}
		return &req
	}
}

func newTopic(name string) kmsg.CreateTopicsRequestTopic {
	var number, partitions, replicas int
	if _, err := fmt.Sscanf(name, "orders-%d-p%dr%d", &number, &partitions, &replicas); err != nil {
		panic(err)
	}
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, int32(partitions), int16(replicas)
	if number%4 == 1 {
		retention := "86400000"
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = "retention.ms", &retention
		t.Configs = append(t.Configs, c)
	}
	return t
}

func (a *admin) remove() func() kmsg.Request {
	w := a.w
	version := int16(1 + w.rand.IntN(6))
	name := a.name()
	var id records.UUID
	if len(a.known) > 0 && version >= 6 && w.chance(0.5) {
		id = a.known[w.rand.IntN(len(a.known))]
	}
	return func() kmsg.Request {
		req := kmsg.NewDeleteTopicsRequest()
		req.Version = version
		if version < 6 {
			req.TopicNames = []string{name}
			return &req
		}
		t := kmsg.NewDeleteTopicsRequestTopic()
		if t.TopicID = id; id == records.ZeroUUID {
			t.Topic = &name
		}
		req.Topics = append(req.Topics, t)
		return &req
	}
}

package sim

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// admin creates and deletes topics, moves replicas, elects leaders and configures, several requests at a time on one connection.
type admin struct {
	w       *world
	conn    *conn
	unclean *conn // for elections that lose records
	target  int32
	busy    int
	known   []records.UUID // ids of topics it has created
	asks    float64        // how often it only asks whether a topic could be created
}

func newAdmin(w *world, number int) *admin {
	name := fmt.Sprintf("admin-%d", number)
	a := &admin{
		w: w, conn: newConn(w, name), unclean: newConn(w, name+uncleanClient), target: int32(1 + number),
		asks: []float64{0.1, 0.1, 0.8}[w.rand.IntN(3)],
	}
	a.next()
	return a
}

func (a *admin) next() {
	a.w.after(a.w.around(a.w.pace.act), func() {
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
	case p < 0.4:
		a.ask(a.create(w.chance(a.asks)))
	case p < 0.47:
		a.ask(a.grow())
	case p < 0.67:
		a.ask(a.remove())
	case p < 0.8:
		a.ask(a.configure())
	case p < 0.9:
		a.ask(a.reassign())
	case p < 0.97:
		a.ask(a.elect(false))
	case p < 0.975:
		a.look()
	case p < 0.98:
		a.askOn(a.unclean, a.elect(true))
	default:
		id := w.brokers[w.rand.IntN(len(w.brokers))].id
		a.ask(func() kmsg.Request {
			req := kmsg.NewUnregisterBrokerRequest()
			req.BrokerID = id
			return &req
		})
	}
}

func (a *admin) ask(request func() kmsg.Request) { a.askOn(a.conn, request) }

func (a *admin) askOn(c *conn, request func() kmsg.Request) {
	a.busy++
	ask := &ask{conn: c, target: &a.target, timeout: a.w.around(3 * a.w.pace.patience / 2), tries: 6, request: request}
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
	wrong := w.chance(0.03)
	var assigned assignment
	if w.chance(0.2) {
		assigned = w.someAssignment(names[0])
	}
	return func() kmsg.Request {
		req := kmsg.NewCreateTopicsRequest()
		req.Version, req.ValidateOnly = version, validate
		for i, name := range names {
			t := newTopic(name)
			if i == 0 {
				assigned.by(&t)
			}
			if i == 0 && wrong {
				soon := "soon"
				t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: retention, Value: &soon})
			}
			req.Topics = append(req.Topics, t)
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

// assignment names the replicas of each partition of a new topic; nil leaves that to the controller.
type assignment [][]int32

func (w *world) someAssignment(topic string) assignment {
	_, partitions, replicas := shapeOf(topic)
	var out assignment
	for range partitions {
		out = append(out, w.someBrokers(replicas))
	}
	return out
}

func (a assignment) by(t *kmsg.CreateTopicsRequestTopic) {
	for i, replicas := range a {
		t.NumPartitions, t.ReplicationFactor = -1, -1
		one := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		one.Partition, one.Replicas = int32(i), slices.Clone(replicas)
		t.ReplicaAssignment = append(t.ReplicaAssignment, one)
	}
}

// shapeOf reads a topic's number, partitions and replicas from its name.
func shapeOf(name string) (number, partitions, replicas int) {
	if _, err := fmt.Sscanf(name, "orders-%d-p%dr%d", &number, &partitions, &replicas); err != nil {
		panic(err)
	}
	return number, partitions, replicas
}

func newTopic(name string) kmsg.CreateTopicsRequestTopic {
	number, partitions, replicas := shapeOf(name)
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, int32(partitions), int16(replicas)
	if number%4 == 1 {
		value := "86400000"
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = retention, &value
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

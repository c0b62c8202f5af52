package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
	"yakt/integration/linear/model"
)

const (
	patience = 1500 * time.Millisecond // for one answer
	pause    = 30 * time.Millisecond   // before a client that got nowhere tries somewhere else
)

// cluster is what clients and nemesis share: the nodes, and how often each one's process has ended.
type cluster struct {
	*history
	quorum    *harness.Quorum
	clusterID string
	addrs     []string
	lives     [3]atomic.Int32
	topics    *names
	ids       *names
}

// names gives clients objects to quarrel about: a few at a time, each for so many operations, so that every history stays short.
type names struct {
	mu     sync.Mutex
	make   func(n int) string
	made   int
	budget int
	now    []string
	left   []int
}

func newNames(atOnce, budget int, make func(n int) string) *names {
	n := &names{make: make, budget: budget}
	for range atOnce {
		n.now, n.left = append(n.now, make(n.made)), append(n.left, budget)
		n.made++
	}
	return n
}

// pick takes one operation's worth of one of the names.
func (n *names) pick(r *rand.Rand) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := r.IntN(len(n.now))
	if n.left[i] == 0 {
		n.now[i], n.left[i] = n.make(n.made), n.budget
		n.made++
	}
	n.left[i]--
	return n.now[i]
}

// look is one of the names, without taking anything of it.
func (n *names) look(r *rand.Rand) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now[r.IntN(len(n.now))]
}

// client has one connection at a time. Its goroutine is the only one to use it.
type client struct {
	*cluster
	id    int
	rand  *rand.Rand
	node  int
	life  int
	stays bool // with its node, whoever leads
	conn  *harness.Conn
}

func (c *cluster) client(seed uint64, id int) *client {
	return &client{cluster: c, id: id, rand: rand.New(rand.NewPCG(seed, uint64(id))), node: id % len(c.addrs)}
}

// wait waits, or until there is no more to do.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// rest gives the machine to others for a moment.
func (c *client) rest(ctx context.Context) { wait(ctx, time.Duration(c.rand.Int64N(int64(pause)))) }

// hangUp ends the connection and, unless the client stays with its node, goes to another one.
func (c *client) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	if !c.stays {
		c.node = (c.node + 1 + c.rand.IntN(len(c.addrs)-1)) % len(c.addrs)
	}
}

// connect opens a connection to the node that leads, or to the client's own if it stays. False: not now.
//
// A node that says that it leads is not believed until it has answered a question that only a leader answers: every
// change that is refused for want of a leader is one more that may have happened, and porcupine has to try them all.
func (c *client) connect(ctx context.Context) bool {
	if c.conn != nil {
		return true
	}
	for range len(c.addrs) {
		c.life = int(c.lives[c.node].Load())
		dialing, cancel := context.WithTimeout(ctx, patience)
		conn, err := harness.DialKafka(dialing, c.addrs[c.node], "client-"+strconv.Itoa(c.id))
		cancel()
		if err != nil {
			break
		}
		c.conn = conn
		if c.stays {
			return true
		}
		leader, err := controllerID(conn)
		if err != nil || leader < 0 {
			break
		}
		if int(leader-1) == c.node {
			in := c.question()
			return !c.send(in, request("", in)).Unknown
		}
		c.hangUp()
		c.node = int(leader - 1)
	}
	c.hangUp()
	return false
}

// question is what only the leader can answer, and changes nothing.
func (c *client) question() model.Input {
	return model.Input{Kind: model.ValidateTopic, Partitions: 1, Object: model.Object{Type: model.Topic, Name: c.topics.look(c.rand)}}
}

// controllerID asks a node who leads.
func controllerID(conn *harness.Conn) (int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(12)
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := conn.RequestWithin(req, patience)
	if err != nil {
		return -1, err
	}
	return resp.(*kmsg.MetadataResponse).ControllerID, nil
}

// do sends one operation as soon as there is somebody to send it to.
func (c *client) do(ctx context.Context, in model.Input, req kmsg.Request) model.Output {
	for !c.connect(ctx) {
		if ctx.Err() != nil {
			return model.Output{Unknown: true} // and was not sent
		}
		wait(ctx, pause)
	}
	return c.send(in, req)
}

// send sends one operation and notes what came of it.
func (c *client) send(in model.Input, req kmsg.Request) model.Output {
	op := operation{Client: c.id, Node: c.node, Life: c.life, In: in, Call: c.now()}
	resp, err := c.conn.RequestWithin(req, patience)
	op.Return = c.now()
	if err != nil {
		op.Out = model.Output{Unknown: true}
	} else {
		op.Out = answer(resp)
	}
	if op.Out.Unknown {
		c.hangUp()
		c.count("without an answer: " + in.Kind.String())
		if !changes(in.Kind) || in.Kind == model.AllocateProducerIDs {
			return op.Out // it is of no consequence to the model
		}
	}
	if !expected[op.Out.Code] {
		c.problem("an answer that nobody expects: %s", model.Describe(in, op.Out))
	}
	c.add(op)
	return op.Out
}

// changeTopics creates, changes and deletes topics, together with others that do so to the same ones.
func (c *client) changeTopics(ctx context.Context) {
	known := map[string][16]byte{} // of the topics that this client has created last
	for n := 0; ctx.Err() == nil; n++ {
		in := model.Input{Object: model.Object{Type: model.Topic, Name: c.topics.pick(c.rand)}}
		switch draw := c.rand.IntN(100); {
		case draw < 30:
			in.Kind, in.Partitions = model.CreateTopic, 1+c.rand.Int32N(2)
			if c.rand.IntN(2) == 0 {
				in.Configs = c.config(n)
			}
		case draw < 45:
			in.Kind = model.DeleteTopic
			if c.rand.IntN(4) == 0 {
				in.ID = known[in.Object.Name]
			}
		case draw < 80:
			in.Kind, in.Configs = model.SetConfigs, c.config(n)
		case draw < 85:
			in.Kind, in.Configs = model.SetConfigs, map[string]*string{configNames[c.rand.IntN(2)]: nil}
		case draw < 90:
			in.Kind, in.Partitions = model.GrowTopic, 2+c.rand.Int32N(2)
		default:
			in.Kind, in.Partitions = model.ValidateTopic, 1
		}
		call := c.now()
		out := c.do(ctx, in, request(c.clusterID, in))
		done := !out.Unknown && out.Code == 0
		if done && in.Kind == model.CreateTopic {
			known[in.Object.Name] = out.ID
		}
		if done && c.rand.IntN(4) == 0 {
			c.readBack(in.Object, call)
		}
		c.rest(ctx)
	}
}

// readBack asks the node that has just acknowledged a change, called at that time, for what came of it: it may show a
// later state of the topic, but none from before.
func (c *client) readBack(topic model.Object, call time.Duration) {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(12)
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic.Name
	req.Topics = []kmsg.MetadataRequestTopic{asked}
	resp, err := c.conn.RequestWithin(req, patience)
	if err != nil {
		c.hangUp()
		return
	}
	t := resp.(*kmsg.MetadataResponse).Topics[0]
	c.count("read back")
	c.add(operation{
		Client: c.id, Node: c.node, Life: c.life, Call: call, Return: c.now(),
		In: model.Input{Kind: model.SeeTopic, Object: topic}, Out: model.Output{Code: t.ErrorCode, ID: t.TopicID},
	})
}

// configNames are configs that take any positive number.
var configNames = [2]string{"retention.ms", "flush.ms"}

// config is a config with a value that nobody else ever sets.
func (c *client) config(n int) map[string]*string {
	value := strconv.Itoa((n+1)*1000 + c.id)
	return map[string]*string{configNames[c.rand.IntN(2)]: &value}
}

// beBrokers registers as one broker after another, each time as a new process, heartbeats, and takes producer ids. Two
// of them that have the same id find that only one of them holds it.
func (c *client) beBrokers(ctx context.Context) {
	for ctx.Err() == nil {
		object := model.Object{Type: model.Broker, Name: c.ids.pick(c.rand)}
		in := model.Input{Kind: model.RegisterBroker, Object: object}
		for i := range in.ID {
			in.ID[i] = byte(1 + c.rand.IntN(255))
		}
		out := c.do(ctx, in, request(c.clusterID, in))
		if out.Unknown || out.Code != 0 {
			wait(ctx, 5*pause) // another holds the id
			continue
		}
		epoch := out.Epoch
		for range 1 + c.rand.IntN(6) {
			in := model.Input{Kind: model.Heartbeat, Object: object, Epoch: epoch}
			c.do(ctx, in, request("", in))
			c.rest(ctx)
		}
		for range c.rand.IntN(3) {
			c.takeProducerIDs(ctx, object, epoch)
			c.rest(ctx)
		}
		if c.rand.IntN(3) == 0 {
			in := model.Input{Kind: model.UnregisterBroker, Object: object}
			c.do(ctx, in, request("", in))
		}
	}
}

// takeProducerIDs takes a block as a broker, and one id as a producer.
func (c *client) takeProducerIDs(ctx context.Context, broker model.Object, epoch int64) {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = brokerID(broker), epoch
	c.do(ctx, model.Input{Kind: model.AllocateProducerIDs, Object: model.Object{Type: model.ProducerIDs}}, req)

	if !c.connect(ctx) {
		return
	}
	one := kmsg.NewPtrInitProducerIDRequest()
	one.SetVersion(4)
	one.TransactionTimeoutMillis = 1000
	resp, err := c.conn.RequestWithin(one, patience)
	if err != nil {
		c.hangUp()
		return
	}
	if r := resp.(*kmsg.InitProducerIDResponse); r.ErrorCode == 0 {
		c.producer(r.ProducerID)
	}
}

// probe asks the same node again and again what it would say to the creation of a topic, whether it leads or not: one
// that no longer does must not answer from what it knew. It rests between questions, up to so long, with the connection
// open: what is asked of a process that does not run at the moment is answered as soon as it does.
func (c *client) probe(ctx context.Context, rest time.Duration) {
	c.stays = true
	for ctx.Err() == nil {
		if !c.connect(ctx) {
			wait(ctx, 10*pause)
			continue
		}
		wait(ctx, time.Duration(c.rand.Int64N(int64(rest))))
		in := c.question()
		if c.do(ctx, in, request("", in)).Unknown {
			wait(ctx, 5*pause)
		}
	}
}

func topicName(n int) string  { return fmt.Sprintf("topic-%05d", n) }
func brokerName(n int) string { return strconv.Itoa(1000 + n) }

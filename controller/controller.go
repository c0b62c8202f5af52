// Package controller decides: it is the active controller of a Kafka cluster and the handler of every request, on top of
// a replicated metadata log that it does not know the making of.
//
// Parts: image (what is known), configs (what may be set), plan (what should change), query (what is so), and here the writer that runs plans one
// after another (writer, transactions), the commit that publishes images (commit, checkpoint), leadership, broker sessions, chores by timer,
// the observers' view of the log (observers, finding), the voters' set (voters), requests by hand (byhand, changes) and in envelopes.
//
// Rules: one writer plans; readers load the published image without a lock; an answer leaves when what it saw is committed.
//
// Goroutines: the run loop (writer, leadership, chores), the log's apply goroutine (commit), and any number of callers in Handle.
package controller

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/controller/query"
	"yakt/records"
)

// Config is what a controller needs besides its log. Zero values mean what their comments say.
type Config struct {
	NodeID         int32
	ListenerName   string // of this node's endpoint in the voter set
	HideController bool   // keeps the active controller out of what brokers' clients are told, see query.Context
	Settings       plan.Settings
	Clock          func() time.Time // nil: the wall clock
	Rand           *rand.Rand       // nil: seeded at random; used by the run loop only
	Logger         *slog.Logger     // nil: none
	MaxBatch       int              // bytes that one operation may take in a batch, else it is a metadata transaction; 0: 8 MiB
	VerifyAdoption bool             // replay every adopted batch and compare: for tests, costs time
}

// Controller is one node's controller, active or standing by. Its methods may be called from any goroutine, but for
// Step, Submit and Tick as they say.
type Controller struct {
	nodeID       int32
	listenerName string
	hidden       bool
	clusterID    string
	logger       *slog.Logger
	clock        func() time.Time
	log          Log
	committed    *committed
	writer       *writer
	sessions     *sessions
	observers    *observers
	producerIDs  producerIDs
	activeTerm   atomic.Int32 // of the leadership in which requests are taken; 0: none
	changing     sync.Mutex   // held while the quorum is changed by request

	// Of the run loop.
	lastTick        time.Time
	lastElection    time.Time
	lastBalance     time.Time
	reportingVoters bool
	failed          failedTakeOver
	fencing         map[int32]bool

	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes a controller that stands by until Start or Attach gives it a log.
func New(cfg Config) *Controller {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = records.MaxBatchBytes
	}
	c := &Controller{
		nodeID:       cfg.NodeID,
		listenerName: cfg.ListenerName,
		hidden:       cfg.HideController,
		logger:       cfg.Logger,
		clock:        cfg.Clock,
		sessions:     newSessions(cfg.Settings.SessionTimeout),
		fencing:      map[int32]bool{},
	}
	c.writer = &writer{
		logger:   cfg.Logger,
		clock:    cfg.Clock,
		rand:     cfg.Rand,
		settings: &cfg.Settings,
		sessions: c.sessions,
		maxBatch: cfg.MaxBatch,
		mail:     mailbox{wake: make(chan struct{}, 1)},
	}
	c.committed = newCommitted(cfg.VerifyAdoption, func() {
		c.writer.mail.post(func() {
			if !c.writer.abandoning {
				c.writer.abandon()
			}
		})
	})
	c.writer.commit = c.committed
	c.writer.head = c.committed.last()
	c.observers = newObservers(c)
	if cfg.Settings.ControllerIDs == nil {
		c.writer.settings.ControllerIDs = func(id int32) bool { return c.isController(id) }
	}
	return c
}

// Attach gives the controller its log without starting the run loop: whoever calls it drives Step and Tick.
func (c *Controller) Attach(log Log) {
	c.log, c.writer.log = log, log
	c.clusterID, c.writer.settings.ClusterID = log.ClusterID(), log.ClusterID()
	log.Notify(func() { c.writer.mail.post(c.leadershipChanged) })
}

// Start gives the controller its log and starts the run loop. Close ends it.
func (c *Controller) Start(log Log) {
	c.Attach(log)
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	c.running.Go(func() { c.run(ctx) })
}

// tickInterval is how often the run loop looks at the clock.
const tickInterval = 100 * time.Millisecond

func (c *Controller) run(ctx context.Context) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		for c.Step() {
		}
		select {
		case <-ctx.Done():
			c.standDown()
			_, operations := c.writer.mail.take(0)
			c.writer.refuse(operations)
			return
		case <-ticker.C:
			c.Tick()
		case <-c.writer.mail.wake:
		}
	}
}

// Close ends the run loop. Requests that wait for the writer are answered NOT_CONTROLLER, those whose records are on their way to the log are
// not answered: nobody knows what comes of them. The log is not closed.
func (c *Controller) Close() {
	if c.stop != nil {
		c.stop()
		c.running.Wait()
	}
}

// Image is the published metadata image: committed and, should a metadata transaction be open, as it was before.
func (c *Controller) Image() *image.Image { return c.committed.published.Load() }

// WaitFor returns nil once this node's log, and with it the published image, has everything below the offset end. An error
// means that ctx has ended or that the log is closed.
func (c *Controller) WaitFor(ctx context.Context, end int64) error {
	for c.log.EndOffset() < end {
		leader, epoch := c.log.Leader()
		if err := c.log.Wait(ctx, end-1, leader, epoch); err != nil {
			return err
		}
	}
	return nil
}

// Active says whether this node is the active controller and takes requests that change something.
func (c *Controller) Active() bool { return c.activeTerm.Load() != 0 }

// ClusterID is the cluster's id.
func (c *Controller) ClusterID() string { return c.clusterID }

// NodeID is this node's id.
func (c *Controller) NodeID() int32 { return c.nodeID }

// Leader is the active controller's id and the epoch of the metadata log; the id is -1 while unknown. It is unknown to a node that led
// this epoch and does not any more.
func (c *Controller) Leader() (id int32, epoch int32) {
	id, epoch = c.log.Leader()
	if id == c.nodeID && !c.leads(epoch) {
		id = -1
	}
	return id, epoch
}

// leads says whether this node has been elected for an epoch and still leads it.
func (c *Controller) leads(epoch int32) bool {
	term, leading := c.log.Leading()
	return leading && term == epoch
}

// Step does what is waiting for the writer; false when nothing was. It must not run on two goroutines at once.
func (c *Controller) Step() bool { return c.writer.step() }

// Tick does what the clock asks for. It must not run beside Step.
func (c *Controller) Tick() {
	c.leadershipChanged()
	c.chores()
}

// Submit queues a request that is planned. respond is called exactly once, from the goroutine that runs Step or from
// this one, when the response may leave.
func (c *Controller) Submit(from Caller, req kmsg.Request, respond func(kmsg.Response)) error {
	api, ok := apis[req.Key()]
	if !ok || api.plan == nil {
		return fmt.Errorf("controller: %s is not served as a change", kmsg.NameForKey(req.Key()))
	}
	if c.activeTerm.Load() == 0 {
		respond(notController(req))
		return nil
	}
	if h, ok := req.(*kmsg.BrokerHeartbeatRequest); ok {
		if b, ok := c.Image().Broker(h.BrokerID); ok && b.Epoch == h.BrokerEpoch {
			c.sessions.touch(h.BrokerID, h.BrokerEpoch, c.clock())
		}
	}
	op := &operation{caller: from, request: req, respond: respond, plan: func(v *plan.View) plan.Result { return api.plan(v, req) }}
	if !c.writer.mail.submit(op) {
		respond(refusal(req, errOverloaded))
	}
	return nil
}

// Begin takes one request in; what it returns gives the answer: at once, when it is committed, or when there is something
// to fetch. A request that changes something has its place among all others when Begin returns. So whoever begins requests one
// after another and takes their answers in the same order sees them happen in that order. An error means that the
// connection should be closed: after the answer, if there is one.
func (c *Controller) Begin(ctx context.Context, from Caller, req kmsg.Request) func() (kmsg.Response, error) {
	api, ok := apis[req.Key()]
	switch {
	case !ok || req.GetVersion() < api.min || req.GetVersion() > api.max:
		return failing(fmt.Errorf("controller: %s v%d is not served", kmsg.NameForKey(req.Key()), req.GetVersion()))
	case api.begin != nil:
		return api.begin(c, ctx, from, req)
	case api.query != nil:
		return func() (kmsg.Response, error) { return api.query(c.context(), req), nil }
	}
	answer := make(chan kmsg.Response, 1)
	if err := c.Submit(from, req, func(r kmsg.Response) { answer <- r }); err != nil {
		return failing(err)
	}
	return func() (kmsg.Response, error) {
		select {
		case r := <-answer:
			return r, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("controller: %s: %w", kmsg.NameForKey(req.Key()), ctx.Err())
		}
	}
}

func failing(err error) func() (kmsg.Response, error) {
	return func() (kmsg.Response, error) { return nil, err }
}

// Handle answers one request: Begin and what it returns in one, for callers that have no connection to close.
func (c *Controller) Handle(ctx context.Context, from Caller, req kmsg.Request) (kmsg.Response, error) {
	resp, err := c.Begin(ctx, from, req)()
	if err == errElsewhere {
		err = nil
	}
	return resp, err
}

// context is what a query may look at.
func (c *Controller) context() *query.Context {
	leader, _ := c.Leader()
	return &query.Context{
		Image: c.Image(), ClusterID: c.clusterID, NodeID: c.nodeID, LeaderID: leader,
		Listener: c.listenerName, HideController: c.hidden, Voters: c.log.Voters(), Versions: versions, Properties: c.writer.settings.Properties,
	}
}

// isController says whether the quorum has a member with this id.
func (c *Controller) isController(id int32) bool {
	if id == c.nodeID {
		return true
	}
	for _, v := range c.voters() {
		if v.ID == id {
			return true
		}
	}
	return false
}

// voters is the voter set as the log's records say, or as raft says before they do.
func (c *Controller) voters() []records.Voter {
	if v := c.Image().Voters(); v != nil {
		return v.Voters
	}
	return c.log.Voters()
}

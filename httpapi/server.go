// Package httpapi is the admin surface for people and scripts: plain HTTP and JSON on the port that Kafka's protocol shares.
//
//	server.go    Server: what it needs, its routes and limits
//	topics.go brokers.go producers.go cluster.go changes.go health.go    one resource each
//	conns.go     how many connections there may be
//	body.go      a request's body into a struct, or what is wrong with it
//	forward.go   changes that arrive at a node that does not lead
//	errors.go    every answer that is not a success; Kafka's errors as statuses
//	stream.go secrets.go    long answers; what no answer may hold
//
// Reads come from the controller's committed image, or from its log. Changes are the controller's own operations, the
// same that Kafka's protocol calls: there is no second set of rules here. A request is served by the goroutine net/http
// gives it; the package starts none of its own.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/semaphore"

	"yakt/controller"
	"yakt/controller/image"
	"yakt/controller/plan"
)

// Controller is what a Server asks of the controller. All methods are called from many goroutines; an error means that
// there is no answer, because ctx ended or the controller is closing.
type Controller interface {
	// Image is the committed state, never nil.
	Image() *image.Image
	// Active says whether this node takes changes; Leader is the node that does, -1 while that is not known.
	Active() bool
	Leader() (id int32, epoch int32)
	// WaitFor returns nil once the image has everything below an offset.
	WaitFor(ctx context.Context, end int64) error
	// Handle answers a request of Kafka's.
	Handle(context.Context, controller.Caller, kmsg.Request) (kmsg.Response, error)

	RegisterByHand(context.Context, controller.Caller, plan.HandRegistration) (plan.HandAnswer, error)
	ChangeRegistration(context.Context, controller.Caller, plan.RegistrationChange) (plan.HandAnswer, error)
	UnregisterByHand(context.Context, controller.Caller, int32) (plan.HandAnswer, error)
	CreatePartition(context.Context, controller.Caller, plan.NewPartition) (plan.HandAnswer, error)
	AllocateProducerIDsFor(context.Context, controller.Caller, int32) (plan.HandAnswer, error)

	// ChangesSince is what was committed after a time.
	ChangesSince(ctx context.Context, timestampMs int64, maxRecords int) (controller.Changes, error)
}

// Config is what a Server works with.
type Config struct {
	NodeID     int32
	ClusterID  string
	Controller Controller
	// Ready returns nil when this node has caught up and knows a leader, else the reason why not, in words for an operator.
	Ready func() error
	// ReadOnly refuses everything that changes something.
	ReadOnly bool
	Logger   *slog.Logger // discards when nil
	// MaxConnections is how many connections there may be (4096 when 0).
	MaxConnections int
	// MaxBodiesBytes is how much the bodies above 4 KiB of all requests under way may have together (32 MiB when 0; 1 MiB at least).
	MaxBodiesBytes int64
	// HeaderTimeout is how long a client may take to send a request's header (5 s when 0), BodyTimeout how much longer for
	// the body (10 s), AnswerTimeout how long a change may take to be committed (30 s), WriteTimeout how long a client may
	// take from its request to the end of the answer (1 min: the metadata of a large cluster over a slow line).
	HeaderTimeout, BodyTimeout, AnswerTimeout, WriteTimeout time.Duration
}

// Limits that no honest client comes near.
const (
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 10 * time.Second
	answerTimeout  = 30 * time.Second
	writeTimeout   = time.Minute
	idleTimeout    = time.Minute
	maxConnections = 4096
	maxBodiesBytes = 32 << 20
	maxHeaderBytes = 16 << 10
)

// Server answers HTTP. It may be used from any goroutine.
type Server struct {
	config  Config
	http    http.Server
	onward  http.Transport // to the leader
	origins *http.CrossOriginProtection
	bodies  *semaphore.Weighted // MaxBodiesBytes

	ctx     context.Context // parent of every request's; ends when a shutdown runs out of patience
	cancel  context.CancelFunc
	mu      sync.Mutex
	stopped bool           // no request is begun any more
	running sync.WaitGroup // requests under way
}

// New makes a server that is not listening yet.
func New(config Config) *Server {
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&config.HeaderTimeout, headerTimeout}, {&config.BodyTimeout, bodyTimeout},
		{&config.AnswerTimeout, answerTimeout}, {&config.WriteTimeout, writeTimeout},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if config.MaxConnections == 0 {
		config.MaxConnections = maxConnections
	}
	if config.MaxBodiesBytes == 0 {
		config.MaxBodiesBytes = maxBodiesBytes
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: config, origins: http.NewCrossOriginProtection()}
	s.bodies = semaphore.NewWeighted(max(config.MaxBodiesBytes, maxBodyBytes))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.onward.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	s.onward.MaxIdleConnsPerHost = maxIdleOnward
	s.onward.IdleConnTimeout = idleTimeout / 2
	s.http = http.Server{
		Handler:           s.counted(s.routes()),
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ReadHeaderTimeout: config.HeaderTimeout,
		ReadTimeout:       config.HeaderTimeout + config.BodyTimeout,
		WriteTimeout:      config.WriteTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         newConnections(config.MaxConnections, config.Logger).changed,
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug), // a client's broken connection is not our trouble
	}
	return s
}

// ServeHTTP answers one request, for tests and for listeners of somebody else's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

// Serve answers the connections of a listener until Shutdown; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting and waits for the answers under way until ctx ends; then it cuts them off. In either case
// nothing is asked of the Controller any more when it returns. It returns ctx's error if it had to cut something off.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.onward.CloseIdleConnections()
	err := s.http.Shutdown(ctx)
	s.cancel()
	if err != nil {
		err = errors.Join(err, s.http.Close()) // which does not wait for those who serve its connections
	}
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.running.Wait()
	return err
}

// counted has Shutdown wait for every request that h serves.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		stopped := s.stopped
		if !stopped {
			s.running.Add(1)
		}
		s.mu.Unlock()
		if stopped { // it was read from a connection that is closed by now
			panic(http.ErrAbortHandler)
		}
		defer s.running.Done()
		h.ServeHTTP(w, r)
	})
}

func (s *Server) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.NotFound(notFound)
	r.MethodNotAllowed(methodNotAllowed)

	r.Get("/get_metadata", s.read(s.getMetadata))
	r.Get("/get_all_brokers", s.read(s.getAllBrokers))
	r.Get("/get_broker/{broker_id}", s.read(s.getBroker))
	r.Get("/get_topic/{topic_name}", s.read(s.getTopic))
	r.Get("/get_partitions", s.read(s.getPartitions, "topic"))
	r.Get("/get_producer_ids", s.read(s.getProducerIDs))
	r.Get("/broker_mgmt/{timestamp}", s.read(s.brokerMgmt, "limit"))
	r.Get("/client_mgmt/{timestamp}", s.read(s.clientMgmt, "limit"))

	r.Post("/register_broker", s.change(s.registerBroker))
	r.Put("/delete_broker/{broker_id}", s.change(s.deleteBroker))
	r.Put("/broker_registration_change", s.change(s.changeRegistration))
	r.Post("/create_topic", s.change(s.createTopic))
	r.Post("/create_partition", s.change(s.createPartition))
	r.Post("/register_producer/{broker_id}", s.change(s.registerProducer))

	r.Get("/livez", s.livez)
	r.Get("/readyz", s.readyz)
	return r
}

// read serves a route that changes nothing and takes no body, with the parameters that may stand behind a question mark.
func (s *Server) read(serve func(http.ResponseWriter, *http.Request) error, parameters ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := onlyParameters(r, parameters); err != nil {
			writeProblem(w, err)
			return
		}
		if r.ContentLength != 0 {
			body, release, err := s.takeBody(w, r)
			if err == nil {
				err = parseBody(body, &struct{}{})
				release()
			}
			if err != nil {
				writeProblem(w, err)
				return
			}
		}
		if s.config.Controller.Image().EndOffset() == 0 {
			writeProblem(w, s.nothingYet())
			return
		}
		if err := serve(w, r); err != nil {
			s.fail(w, r, err, unreadable())
		}
	}
}

// change serves a route that changes something: here if this node leads, else through the node that does.
func (s *Server) change(serve func(*changeRequest) (answer any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.config.ReadOnly {
			writeProblem(w, s.readOnly(r))
			return
		}
		// Anybody who reaches the port may change things, so a browser on a trusted machine must not do it for a page from elsewhere.
		if err := s.origins.Check(r); err != nil {
			writeProblem(w, refuse(http.StatusForbidden, "A browser sent this for a page from elsewhere: %v.", err))
			return
		}
		if err := onlyParameters(r, nil); err != nil {
			writeProblem(w, err)
			return
		}
		body, release, err := s.takeBody(w, r)
		if err != nil {
			writeProblem(w, err)
			return
		}
		defer release()
		ctx, cancel := context.WithTimeout(r.Context(), s.config.AnswerTimeout)
		defer cancel()
		if !s.config.Controller.Active() {
			s.forward(w, r.WithContext(ctx), body)
			return
		}
		s.answer(w, r, &changeRequest{Request: r, ctx: ctx, body: body, from: caller(r)}, serve)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, c *changeRequest, serve func(*changeRequest) (any, error)) {
	answer, err := serve(c)
	if err != nil {
		s.fail(w, r, err, unknownOutcome())
		return
	}
	status := http.StatusOK
	if c.created {
		status = http.StatusCreated
	}
	writeJSON(w, status, answer)
}

// changeRequest is a request to change something.
type changeRequest struct {
	*http.Request
	ctx     context.Context // bounds the wait for the commit
	body    []byte
	from    controller.Caller
	created bool // set by who serves it, when something new has a name of its own now
}

// Names in Kafka's records of who asked for what.
const (
	anonymous    = "User:ANONYMOUS"
	listenerName = "HTTP"
)

// caller is who sent a request: nobody has to say who they are yet.
func caller(r *http.Request) controller.Caller {
	const mostOfAgent = 100
	agent := r.UserAgent()
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return controller.Caller{Principal: anonymous, Host: host, ClientID: agent[:min(len(agent), mostOfAgent)], Listener: listenerName}
}

// writeJSON ends a request with an answer that is small enough for memory.
func writeJSON(w http.ResponseWriter, status int, answer any) {
	body, err := encode(answer)
	if err != nil {
		panic(err) // types of this package, all of which encode
	}
	header(w, "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // nothing to do about a reader who left
}

// parameter is a part of the path as it was meant: chi gives it as it was sent when it was sent with escapes.
func parameter(r *http.Request, name string) string {
	text := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return text
	}
	if meant, err := url.PathUnescape(text); err == nil {
		return meant
	}
	return text
}

// onlyParameters refuses what stands behind a question mark and is not known, repeated, or not readable.
func onlyParameters(r *http.Request, known []string) *problem {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("What stands behind the question mark cannot be read: %v.", err)
	}
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return badRequest("There is no parameter %s here.", quoted(name))
		case len(values) > 1:
			return badRequest("The parameter %s is there twice.", name)
		}
	}
	return nil
}

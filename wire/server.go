// Package wire is how Kafka speaks to us: it turns connections into requests, calls a Handler,
// and turns what the Handler says into answers.
//
// # Parts
//
//	mux.go       one port for three protocols: the first bytes decide
//	server.go    Server: which connections there are, and how they end
//	conn.go      one connection: requests in, answers out in the same order
//	frame.go     length, request header, response header
//	versions.go  which requests are taken at all
//	decode.go    a frame becomes a kmsg request, within a limit on memory
//	shape.go     what kmsg expects of a body, and how much memory it will take
//	ask.go       the other side: one request to another controller
//	metrics.go   what has been counted
//	log.go       as many lines as strangers may cause
//
// # Rules
//
//   - Encoding and decoding of bodies are kmsg's. Which APIs and versions exist is the Handler's: kmsg knows
//     versions that nobody here serves, so its own maxima are never asked for.
//   - Whatever a peer sends may end its own connection, with one logged line, and nothing else. An API or a
//     version that is not served ends it too, as with Apache; only ApiVersions has an answer for that.
//   - Memory grows with bytes that have arrived, never with numbers that a peer has merely written down.
//     What requests may hold in all connections together has a limit (Config), until each has its answer.
//     Whoever makes an answer bounds its size. Under a Beginner the next one is not made while more than 1 MiB of
//     those before it wait for the peer, which has the WriteTimeout for each piece; under another Handler
//     MaxInFlight is the only limit on answers.
//   - A connection's requests are under way at the same time and answered in the order in which they came. If
//     the Handler is a Beginner they happen in that order, too; if not, a client that needs one request to
//     happen before another has to wait for the answer.
//
// # Goroutines
//
// Each connection has one that reads and one that writes. Handle runs in one for each request in progress;
// what a Beginner has begun is finished in one for each connection. The reader waits (and so, by TCP, does
// the peer) while the connection has too many requests in progress or while the limits leave no room. All of
// them have ended when Shutdown returns.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/semaphore"
)

// Anonymous is the principal of a connection that has not authenticated.
const Anonymous = "User:ANONYMOUS"

// Caller is who sent a request.
type Caller struct {
	Principal string   // as Kafka writes principals: type, colon, name
	Listener  string   // name of the listener, Config.ListenerName
	ClientID  string   // what the client calls itself; empty when it sent none
	Addr      net.Addr // the peer's end of the connection
}

// Handler answers requests.
type Handler interface {
	// Versions says what is served. It is asked once, by NewServer, and has to contain ApiVersions. Every
	// request outside of it ends its connection before Handle hears of it.
	Versions() []APIVersions

	// Handle answers one request. It may keep the request, and is called from many goroutines at once, also
	// for one connection. The response's version is set by the caller of Handle. ctx ends with the
	// connection, or when a shutdown runs out of patience; Handle has to return then.
	// An error ends the connection and is its logged reason. With an answer it ends it after that, and all is well.
	Handle(ctx context.Context, from Caller, req kmsg.Request) (kmsg.Response, error)
}

// Beginner is a Handler under which the requests of a connection also happen in the order in which they came,
// as with Apache, and are still under way together. Handle is not called then.
type Beginner interface {
	Handler

	// Begin takes a request in, without waiting for anything; finish waits, and gives the answer as Handle
	// does. A connection's requests are begun one after another as they arrive, and finished one after
	// another, each when those before it have their answers.
	Begin(ctx context.Context, from Caller, req kmsg.Request) (finish func() (kmsg.Response, error))
}

// Config is a Server's. Only Handler is needed; the zero value of everything else means its default.
type Config struct {
	Handler      Handler
	Logger       *slog.Logger // default: discards
	ListenerName string       // told to the Handler; default CONTROLLER

	MaxConnections  int   // further ones are closed at once; default 4096
	MaxInFlight     int   // requests of one connection that are read and not yet answered; default 64
	MaxFrameBytes   int   // a longer request ends its connection; default 8 MiB
	MaxReceiveBytes int64 // of frames above 64 KiB that have not arrived whole, all connections together; default 64 MiB
	MaxDecodeBytes  int64 // of requests until they have their answers, all connections together; default 256 MiB.
	// A request that takes more than seven eighths of it ends its connection; the last eighth is for small ones.

	FrameTimeout time.Duration // from a frame's first byte to its last; default 30 s
	WriteTimeout time.Duration // for the peer to take in the next piece of an answer; default 30 s
	IdleTimeout  time.Duration // without a request in progress; default 10 min
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.ListenerName == "" {
		c.ListenerName = "CONTROLLER"
	}
	setDefault(&c.MaxConnections, 4096)
	setDefault(&c.MaxInFlight, 64)
	setDefault(&c.MaxFrameBytes, 8<<20)
	setDefault(&c.MaxReceiveBytes, 64<<20)
	setDefault(&c.MaxDecodeBytes, 256<<20)
	setDefault(&c.FrameTimeout, 30*time.Second)
	setDefault(&c.WriteTimeout, 30*time.Second)
	setDefault(&c.IdleTimeout, 10*time.Minute)
	c.MaxReceiveBytes = max(c.MaxReceiveBytes, int64(c.MaxFrameBytes)) // one frame always fits
	return c
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Server speaks Kafka's protocol on any number of listeners. All methods may be called from any goroutine.
type Server struct {
	config   Config
	beginner Beginner // the Handler, if it is one
	versions versions
	receive  *semaphore.Weighted // MaxReceiveBytes
	budget   *budget             // MaxDecodeBytes
	counters counters
	log      *sparseLogger

	ctx    context.Context // parent of every request's; ends when a shutdown runs out of patience
	cancel context.CancelFunc
	ended  sync.WaitGroup // connections

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
}

// NewServer makes a server. It panics if the Handler's versions make no sense: that is a bug, whatever the input.
func NewServer(config Config) *Server {
	config = config.withDefaults()
	list := config.Handler.Versions()
	s := &Server{
		config:    config,
		versions:  newVersions(list),
		receive:   semaphore.NewWeighted(config.MaxReceiveBytes),
		budget:    newBudget(config.MaxDecodeBytes),
		log:       newSparseLogger(config.Logger),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
	}
	s.beginner, _ = config.Handler.(Beginner)
	s.counters.countRequestsOf(list)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve accepts connections until Shutdown, and then returns nil; or until the listener fails, and then
// returns its error. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()

	err := acceptLoop(l, s.ctx.Done(), s.log, s.start)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	return fmt.Errorf("wire: accept on %s: %w", l.Addr(), err)
}

// start takes over an accepted connection.
func (s *Server) start(nc net.Conn) {
	s.mu.Lock()
	if s.closed || len(s.conns) >= s.config.MaxConnections {
		closed := s.closed
		s.mu.Unlock()
		s.counters.refused.Add(1)
		if !closed {
			s.log.warn("connection refused: there are too many", "peer", nc.RemoteAddr(), "limit", s.config.MaxConnections)
		}
		nc.Close()
		return
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	s.ended.Add(1)
	s.mu.Unlock()
	s.counters.accepted.Add(1)
	s.counters.open.Add(1)
	go func() {
		defer s.ended.Done()
		c.serve()
		s.counters.open.Add(-1)
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
}

// Shutdown takes no more connections and no more requests, and waits until those in progress have been
// answered. When ctx ends first, it ends their contexts and closes their connections. In either case no
// Handle is running any more when it returns. It returns ctx's error if it had to cut something off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		s.ended.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		s.cancel()
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.fail(errShutdown)
	}
	s.mu.Unlock()
	<-ended
	s.cancel()
	return ctx.Err()
}

var errShutdown = errors.New("shutting down")

// acceptLoop hands connections to start until the listener is closed. Running out of file descriptors is
// no reason to stop serving: the loop waits a little, and longer each time.
func acceptLoop(l net.Listener, done <-chan struct{}, log *sparseLogger, start func(net.Conn)) error {
	const first, most = 5 * time.Millisecond, time.Second
	pause := first
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = first
			start(nc)
			continue
		}
		var passing interface{ Temporary() bool }
		if errors.Is(err, net.ErrClosed) || !errors.As(err, &passing) || !passing.Temporary() {
			return err
		}
		log.warn("cannot accept connections for now", "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-done:
			timer.Stop()
			return err
		}
		pause = min(2*pause, most)
	}
}

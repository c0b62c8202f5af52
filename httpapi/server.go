// Package httpapi is the admin surface for people and scripts: plain HTTP and JSON on the port that Kafka's protocol shares.
// server.go has the routes and the limits, errors.go every answer that is not a success, and each resource its own file.
//
// It only reads: the controller's committed image, through one function that may be called from any goroutine. A request
// is served by the goroutine net/http gives it; the package starts none of its own.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"yakt/controller/image"
)

// Config is what a Server reads from. All functions are called from many goroutines.
type Config struct {
	NodeID    int32
	ClusterID string
	// Image is the committed state, never nil.
	Image func() *image.Image
	// Ready returns nil when this node has caught up and knows a leader, else the reason why not, in words for an operator.
	Ready  func() error
	Logger *slog.Logger
	// HeaderTimeout is how long a client may take to send its request (5 s when 0), WriteTimeout how long it may take to
	// read the answer (1 min when 0: the metadata of a large cluster over a slow line).
	HeaderTimeout, WriteTimeout time.Duration
}

// Limits that no honest client comes near. No route takes a body.
const (
	headerTimeout  = 5 * time.Second
	writeTimeout   = time.Minute
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
)

// Server answers HTTP. It may be used from any goroutine.
type Server struct {
	config Config
	http   http.Server
}

// New makes a server that is not listening yet.
func New(config Config) *Server {
	if config.HeaderTimeout == 0 {
		config.HeaderTimeout = headerTimeout
	}
	if config.WriteTimeout == 0 {
		config.WriteTimeout = writeTimeout
	}
	s := &Server{config: config}
	s.http = http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: config.HeaderTimeout,
		ReadTimeout:       config.HeaderTimeout,
		WriteTimeout:      config.WriteTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
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

// Shutdown stops accepting and waits for the answers under way until ctx ends; then it cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

func (s *Server) routes() http.Handler {
	r := chi.NewRouter()
	r.NotFound(notFound)
	r.MethodNotAllowed(methodNotAllowed)
	r.Get("/get_metadata", s.getMetadata)
	r.Get("/livez", s.livez)
	r.Get("/readyz", s.readyz)
	return r
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// shutdownTimeout is how long requests under way may take to finish after a signal.
const shutdownTimeout = 5 * time.Second

// serverCmd runs a controller. Flags are pointers: nil leaves the word to the properties file, or to the default.
type serverCmd struct {
	NodeID          *int32  `short:"i" placeholder:"ID" help:"This node's id, different from every other controller's and broker's (1)."`
	Addr            *string `short:"a" placeholder:"HOST:PORT" help:"Where to listen, for Kafka, HTTP and other controllers alike; port 0 takes a free one (127.0.0.1:5010)."`
	Advertise       *string `placeholder:"HOST:PORT" help:"Where others reach this node, when that is not the address of -a. Needed when -a listens on every interface."`
	ListenerName    *string `placeholder:"NAME" help:"The listener's name, as in the brokers' controller.listener.names (CONTROLLER)."`
	Peers           *string `short:"e" placeholder:"ID/HOST:PORT,…" help:"Members of the quorum that a node with an empty directory joins; a node with data just starts."`
	Wait            bool    `help:"With -e: an empty directory does not join by itself but waits for 'yakt quorum add'."`
	DataDir         *string `short:"d" placeholder:"DIR" help:"Where everything is kept; an empty directory becomes a new cluster or, with -e or a list in the file, a member of one (yakt-data/ID)."`
	ClusterID       *string `placeholder:"UUID" help:"The cluster's id for a first start, 22 characters. Without it a new one is made; it is kept and printed."`
	MetadataVersion *string `placeholder:"VERSION" help:"Kafka's metadata.version for a first start; brokers of an older Kafka need an older one (4.3-IV0)."`
	Config          string  `placeholder:"FILE" help:"A Kafka server.properties; flags win over it."`
	HTTP            *string `placeholder:"off|read|full" help:"What is served by HTTP: nothing, reads and health only, or changes too (full)."`
	ListController  *bool   `placeholder:"BOOL" help:"Whether clients that bootstrap here are told of the active controller, beside the brokers (true)."`
	LogLevel        string  `default:"info" enum:"debug,info,warn,error" help:"The least that is logged to standard error: debug, info, warn or error (${default})."`
}

// Run is called by kong.
func (c *serverCmd) Run() error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	logger := newLogger(os.Stderr, c.LogLevel)
	keepHeapFloor()
	if len(settings.Ignored) > 0 {
		logger.Warn("these keys have no effect in this controller (a broker's own, not applied by this build, or misspelled)",
			"file", c.Config, "keys", strings.Join(settings.Ignored, ","))
	}
	ctx, stop := untilSignal(logger)
	defer stop()
	return serve(ctx, settings, logger, os.Stdout)
}

// serve runs the node until ctx ends.
func serve(ctx context.Context, s Settings, logger *slog.Logger, stdout io.Writer) error {
	isNew, err := examineDir(s.DataDir)
	if err != nil {
		return err
	}
	if isNew {
		if err := s.checkBeginning(); err != nil {
			return err
		}
	}
	l, err := listen(s.Addr)
	if err != nil {
		return err
	}
	advertise := s.advertised(l)
	n, err := startNode(ctx, s, l, advertise, logger)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) { // anything else would also have happened without a signal
			logger.Info("stopped before this node was let into the quorum")
			return nil
		}
		return err
	}
	if isNew && len(s.Peers) == 0 && len(s.Voters) == 0 && s.ClusterID != "" {
		logger.Warn("a new history begins under a given cluster id: brokers that know a longer one under the same id will not follow it until their "+metadataDir+" directories are removed",
			"cluster", s.ClusterID)
	}
	err = banner{
		nodeID: s.NodeID, listen: l.Addr().String(), advertise: advertise, listenerName: s.ListenerName,
		clusterID: n.log.ClusterID(), dataDir: s.DataDir, newCluster: isNew, http: s.HTTP,
	}.write(stdout)
	if err != nil {
		err = fmt.Errorf("standard output: %w", err)
	} else {
		select {
		case err = <-n.failed:
		case <-ctx.Done():
		}
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err = errors.Join(err, n.stop(patience))
	if err == nil {
		logger.Info("stopped")
	}
	return err
}

func newLogger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		panic(err) // kong has checked it
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l}))
}

// echo is how long a second signal is taken for the first one: some senders signal the process and then its group.
const echo = 500 * time.Millisecond

// untilSignal gives a context that ends at the first SIGTERM or SIGINT. A second one ends the process at once: whoever
// sends it has waited long enough, and the log is safe at any moment.
func untilSignal(logger *slog.Logger) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		s := <-signals
		logger.Info("stopping", "signal", s.String())
		cancel()
		for first := time.Now(); time.Since(first) < echo; {
			s = <-signals
		}
		logger.Warn("stopping at once", "signal", s.String())
		os.Exit(1)
	}()
	return ctx, cancel
}

// listen opens the one port of this node.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is in use, perhaps by another YAKt: stop that one or choose another address with -a", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// advertised is the address others are told: what was asked for, or what is really listened on (after port 0).
func (s Settings) advertised(l net.Listener) string {
	if s.Advertise != "" {
		return s.Advertise
	}
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil || port == "0" {
		return l.Addr().String()
	}
	return net.JoinHostPort(host, port) // the host as it was written: a name stays a name
}

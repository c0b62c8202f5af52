package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
	"yakt/controller/plan"
	"yakt/httpapi"
	"yakt/raftlog"
	"yakt/records"
	"yakt/wire"
)

const (
	// firstBytesTimeout is how long a new connection may take to show which protocol it speaks.
	firstBytesTimeout = 10 * time.Second
	// maxFirstFrame is what the port can tell from raft and HTTP by its first byte; longer ones than this no client sends.
	maxFirstFrame = 16<<20 - 1
	// never is for intervals that are switched off.
	never = 100 * 365 * 24 * time.Hour
)

// node is one running controller: the parts, and the order in which they come and go.
type node struct {
	mux        *wire.Mux
	controller *controller.Controller
	log        *raftlog.Log
	kafka      *wire.Server
	web        *httpapi.Server
	failed     chan error // an accept loop that ended by itself

	registering    sync.WaitGroup
	endRegistering context.CancelFunc
}

// startNode puts the parts together on a port that is open already. It returns when they take requests, or when ctx ends while
// this node waits to be let into a quorum; whether it leads yet is another matter.
func startNode(ctx context.Context, s Settings, l net.Listener, advertise string, logger *slog.Logger) (*node, error) {
	if !s.AutoLeaderRebalance {
		s.LeaderImbalanceInterval = 0
	}
	self, err := s.registration(advertise)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	waiting := s.fit(mayOpen(), logger)
	n := &node{mux: wire.NewMux(l, firstBytesTimeout, waiting, logger), failed: make(chan error, 2)}
	n.controller = controller.New(controller.Config{
		NodeID:         s.NodeID,
		ListenerName:   s.ListenerName,
		HideController: !s.ListController,
		Settings: plan.Settings{
			SessionTimeout:           s.BrokerSessionTimeout,
			NumPartitions:            s.NumPartitions,
			DefaultReplicationFactor: s.DefaultReplicationFactor,
			MinISR:                   s.MinInSyncReplicas,
			UncleanElection:          s.UncleanLeaderElection,
			LeaderImbalanceInterval:  s.LeaderImbalanceInterval,
			MetadataVersion:          s.MetadataVersion,
			Self:                     self,
			Properties:               s.Properties,
		},
		Logger: logger,
	})
	if s.SnapshotInterval == 0 {
		s.SnapshotInterval = never
	}
	log, err := raftlog.Open(raftlog.Config{
		NodeID:           s.NodeID,
		ClusterID:        s.ClusterID,
		Dir:              s.DataDir,
		Listener:         n.mux.Raft(),
		Dial:             dial,
		Peers:            peersOf(s.Peers),
		Voters:           peersOf(s.Voters),
		Taken:            func(id int32) bool { _, ok := n.controller.Image().Broker(id); return ok },
		Wait:             s.Wait,
		Context:          ctx,
		Advertise:        advertise,
		ListenerName:     s.ListenerName,
		LeaderTimeout:    s.LeaderTimeout,
		Machine:          n.controller,
		Logger:           logger,
		SnapshotBytes:    s.SnapshotBytes,
		SnapshotInterval: s.SnapshotInterval,
		Fatal: func(err error) {
			// No cleaning up: what could be lost is on disk, and what is not on disk was acknowledged to nobody.
			logger.Error("the metadata log cannot go on, so this process ends", "err", err)
			os.Exit(1)
		},
	})
	if err != nil {
		return nil, errors.Join(err, n.mux.Close())
	}
	n.log = log
	n.controller.Start(log)
	n.kafka = wire.NewServer(wire.Config{
		Handler:        handler{n.controller},
		Logger:         logger,
		ListenerName:   s.ListenerName,
		MaxConnections: s.MaxConnections,
		MaxFrameBytes:  min(int(s.MaxFrameBytes), maxFirstFrame),
		IdleTimeout:    s.IdleTimeout,
	})
	n.web = httpapi.New(httpapi.Config{
		NodeID:         s.NodeID,
		ClusterID:      log.ClusterID(),
		Controller:     n.controller,
		Ready:          n.ready,
		ReadOnly:       s.HTTP == httpRead,
		MaxConnections: s.MaxConnections,
		Logger:         logger,
	})
	go func() { n.failed <- n.kafka.Serve(n.mux.Kafka()) }()
	if s.HTTP == httpOff {
		n.mux.HTTP().Close() // connections of this protocol are closed then
	} else {
		go func() { n.failed <- n.web.Serve(n.mux.HTTP()) }()
	}
	r := registrar{controller: n.controller, log: log, request: self, dial: dial, logger: logger}
	registering, end := context.WithCancel(context.WithoutCancel(ctx))
	n.endRegistering = end
	n.registering.Go(func() { r.run(registering) })
	if s.VersionAsked {
		n.registering.Go(func() { n.compareVersion(registering, s.MetadataVersion, logger) })
	}
	return n, nil
}

// compareVersion says so when the cluster has another metadata.version than was asked for: that only counts when a cluster begins.
func (n *node) compareVersion(ctx context.Context, asked records.MetadataVersion, logger *slog.Logger) {
	img := n.controller.Image()
	for ; img.MetadataVersion() == 0; img = n.controller.Image() {
		if n.controller.WaitFor(ctx, img.EndOffset()+1) != nil {
			return
		}
	}
	if has := img.MetadataVersion(); has != asked {
		logger.Warn("--metadata-version has no effect: the cluster has one already", "asked", asked.String(), "metadata.version", has.String())
	}
}

// dial is how this program reaches other controllers.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func peersOf(all []peer) (peers []raftlog.Peer) {
	for _, p := range all {
		peers = append(peers, raftlog.Peer{NodeID: p.id, Addr: p.addr})
	}
	return peers
}

// ready says why requests sent here would not be served, or nothing.
func (n *node) ready() error {
	switch leader, _ := n.controller.Leader(); {
	case n.log.Full():
		return errors.New("the disk of the data directory is nearly full: nothing is written until there is room")
	case !n.log.Member():
		return errors.New("this node is not in the quorum: it waits to be added by hand")
	case leader < 0:
		return errors.New("no leader is known: an election is under way, or the quorum has no majority")
	case leader == n.controller.NodeID() && !n.controller.Active():
		return errors.New("this node has been elected and is taking over")
	}
	return nil
}

// stop lets requests under way finish until ctx ends, those of Kafka's protocol and of HTTP together. Then it closes
// everything; what the log is read for has ended by then.
func (n *node) stop(ctx context.Context) error {
	var (
		mu   sync.Mutex
		errs []error
	)
	shutdown := func(what string, err error) {
		if err != nil && !errors.Is(err, context.DeadlineExceeded) { // having had to cut somebody off is no failure
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	n.endRegistering()
	n.registering.Wait()
	n.log.HandOver() // while requests are still served: who asks here next is told of the new leader
	var serving sync.WaitGroup
	serving.Go(func() { shutdown("stop serving Kafka", n.kafka.Shutdown(ctx)) })
	serving.Go(func() { shutdown("stop serving HTTP", n.web.Shutdown(ctx)) })
	serving.Wait()
	n.controller.Close()
	shutdown("close the metadata log", n.log.Close())
	shutdown("close the port", n.mux.Close())
	return errors.Join(errs...)
}

// handler is the controller as wire calls it. The two know nothing of each other.
type handler struct{ c *controller.Controller }

// Versions implements wire.Handler.
func (handler) Versions() []wire.APIVersions {
	var served []wire.APIVersions
	for _, v := range controller.Versions() {
		served = append(served, wire.APIVersions(v))
	}
	return served
}

// Begin implements wire.Beginner.
func (h handler) Begin(ctx context.Context, from wire.Caller, req kmsg.Request) func() (kmsg.Response, error) {
	host := from.Addr.String()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return h.c.Begin(ctx, controller.Caller{Principal: from.Principal, Host: host, ClientID: from.ClientID, Listener: from.Listener}, req)
}

// Handle implements wire.Handler.
func (h handler) Handle(ctx context.Context, from wire.Caller, req kmsg.Request) (kmsg.Response, error) {
	return h.Begin(ctx, from, req)()
}

// examineDir looks at the data directory before anything is opened. A directory of Apache's has a meta.properties like
// ours, and with its cluster id brokers would be given a history that is not the one they know.
func examineDir(dir string) (isNew bool, err error) {
	for _, name := range []string{"bootstrap.checkpoint", filepath.Join(metadataDir, "quorum-state")} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return false, fmt.Errorf("the data directory %s belongs to Apache Kafka (it has %s): give YAKt an empty one with -d (log.dirs), which needs no formatting", dir, name)
		}
	}
	_, err = os.Stat(filepath.Join(dir, "meta.properties"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("the data directory: %w", err)
	}
	return false, nil
}

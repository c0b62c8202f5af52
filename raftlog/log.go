// Package raftlog keeps Kafka's metadata log, __cluster_metadata, on hashicorp/raft and one Pebble database.
//
// The unit is a Kafka record batch: one raft entry, one value in Pebble, what brokers fetch. Offsets count records, the
// leader epoch is raft's term, the high watermark is the end of what is committed, counted and applied; raft's indexes
// and terms do not leave the package.
//
//	log.go          Log: configuration, read, wait, metrics
//	open.go         start: identity, lock, the check of every entry, raft; and the way down
//	append.go       proposals into raft and their outcomes out of it
//	fsm.go          a committed entry: does it count, index it, deliver it
//	offsets.go      offset ↔ raft index, and where each epoch begins
//	leadership.go   who leads: raft's view, and the pair that brokers may be told
//	membership.go   voters and their progress
//	handover.go     how a leader lets another voter lead
//	votes.go        a vote for a candidate that this node has not heard of
//	store.go        raft's LogStore on Pebble; entry.go one entry's bytes; stable.go term and vote; sync.go that writes are synced
//	waltail.go      what can be told from a torn write
//	snapshots.go    raft's SnapshotStore with Kafka's file names
//	transport.go    between raft and its network transport; reach.go what is for a follower that cannot be reached waits
//	streams.go      connections; handshake.go how one opens; crowd.go how many may be about to
//	peers.go        how far each follower is
//	detector.go     a leader whose process has ended; stalled.go one that falls silent in the middle of a snapshot
//	join.go         how an empty directory gets into a quorum; admit.go how the leader lets it; joinmessage.go what they say
//	move.go         how a member gets another address
//	begin.go        how a quorum that all its nodes were given as a list begins, once
//	reconfigure.go  members added and removed by hand; ask.go how a tool finds out who is where, and asks for a hand-over
//	chores.go       snapshots by size and age, the nearly full disk
//	identity.go     meta.properties
//	logger.go       raft's and Pebble's log lines
//	offline.go      the directory of a node that does not run, for reading; recover.go makes that node all of the quorum
//
// Goroutines: raft's main one stores entries and votes; raft's FSM one applies; raft's snapshot one writes checkpoints;
// ours are the proposer, the settler, the verifier, the notifier, the promoter, the mover, the detector, the chores and the
// watch on this node's own membership. No callback runs inside the call that registers it, and none while a lock is held.
//
// The process is expected to end after Config.Fatal was called. Until it does, the log takes nothing more.
package raftlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// StateMachine is what the log drives.
type StateMachine interface {
	// Apply takes batches that count, in order, on one goroutine; when it returns their effects are published.
	Apply(batches []records.Batch)
	// Checkpoint captures the applied state. write may run on another goroutine, later, beside Apply.
	Checkpoint() (id records.SnapshotID, write func(io.Writer) error, err error)
	// Restore replaces the state by a checkpoint's.
	Restore(id records.SnapshotID, checkpoint io.Reader) error
}

// Config says what to open. NodeID, Dir, Advertise and Machine are required.
type Config struct {
	NodeID    int32
	ClusterID string // for a new directory; empty: one is made up. Compared with a known directory's, unless empty
	Dir       string
	FS        vfs.FS       // nil: the disk
	Listener  net.Listener // raft's connections, with all their bytes; nil: nobody can connect. Closed by the log
	Dial      func(ctx context.Context, addr string) (net.Conn, error)

	Advertise    string // host:port at which the other nodes and the brokers find this one
	ListenerName string // default CONTROLLER
	Machine      StateMachine
	Peers        []Peer              // members of a quorum that an empty directory joins; none: it becomes a new cluster
	Voters       []Peer              // instead of Peers: all who are to begin a quorum together, or to join it where it exists
	Taken        func(id int32) bool // says of a node id that somebody else has it, a broker: the leader lets no node in under it; nil: none is
	Wait         bool                // an empty directory asks Peers only which cluster they are of: Open returns, and the node waits for AddVoter
	Context      context.Context     // ends Open, with an error, while it waits for Peers or Voters; nil: it waits for ever. Not used later
	Logger       *slog.Logger
	Fatal        func(error) // called once, on a goroutine of its own; the process must end

	// How long a follower waits for a sign of its leader before it stands for election, from once to twice of this; a leader
	// that hears no majority lets go after once. Default 2 s, as Kafka's, see docs/decisions/0011. A leader whose process ends is
	// noticed at once, whatever it is.
	LeaderTimeout time.Duration

	SnapshotBytes    int64         // default 20 MiB
	SnapshotInterval time.Duration // default 1 h
	MinFreeBytes     int64         // default 64 MiB; negative: do not look
	DiskInterval     time.Duration // how often to look, besides after every quarter of that written; default 10 s

	// For tests: a first quorum of several voters, raft's clocks, and what each write of raft's waits for besides the disk.
	bootstrap []raft.Server
	tune      func(*raft.Config)
	directory records.UUID
	slow      func()
}

var discard = slog.New(slog.DiscardHandler)

func (c *Config) setDefaults() error {
	switch {
	case c.Dir == "":
		return errors.New("raftlog: no directory given")
	case c.Machine == nil:
		return errors.New("raftlog: no state machine given")
	case c.NodeID < 0:
		return fmt.Errorf("raftlog: node id %d is negative", c.NodeID)
	}
	if _, _, err := splitHostPort(c.Advertise); err != nil {
		return err
	}
	if err := c.setVoters(); err != nil {
		return err
	}
	if c.Context == nil {
		c.Context = context.Background()
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.ListenerName == "" {
		c.ListenerName = "CONTROLLER"
	}
	if c.Logger == nil {
		c.Logger = discard
	}
	if c.Fatal == nil {
		c.Fatal = func(err error) {
			c.Logger.Error("raftlog: cannot go on", "err", err)
			os.Exit(1)
		}
	}
	if c.LeaderTimeout <= 0 {
		c.LeaderTimeout = 2 * time.Second
	}
	if c.SnapshotBytes <= 0 {
		c.SnapshotBytes = 20 << 20
	}
	if c.SnapshotInterval <= 0 {
		c.SnapshotInterval = time.Hour
	}
	if c.MinFreeBytes == 0 {
		c.MinFreeBytes = 64 << 20
	}
	if c.DiskInterval <= 0 {
		c.DiskInterval = 10 * time.Second
	}
	return nil
}

// Log is an open metadata log. Safe for use from any goroutine.
type Log struct {
	config    Config
	logger    *slog.Logger
	machine   StateMachine
	identity  identity
	self      raft.ServerID
	lock      *pebble.Lock
	store     *store
	snapshots *snapshots
	offsets   *offsets
	fsm       *fsm
	peers     *peers
	streams   *streams
	transport *transport
	raft      *raft.Raft
	leaders   leaders
	waiting   waiting

	toPropose, toSettle *line[*proposal]
	toVerify            *line[func(error)]
	woken               chan struct{} // something for the notifier
	snapshotDue         chan struct{}
	elected, diskDue    chan struct{}
	closing             chan struct{}      // Close was called
	lost                chan raft.ServerID // whose connection to this node has ended
	joinable            chan struct{}      // closed when raft runs and can be asked to let others in
	changing            chan struct{}      // holds a token while the membership is being changed
	membersChanged      chan struct{}      // something for the promoter
	addressDue          chan struct{}      // something for the mover, as elected is
	dead                chan struct{}      // raft answers no more: the log failed or is closed
	deadOnce            sync.Once
	shutdownOnce        sync.Once
	shutdownFuture      raft.Future
	closeOnce           sync.Once
	closeErr            error
	early, running      sync.WaitGroup // settling goroutines, which end first; the others

	unsnapped atomic.Int64 // bytes applied since the last snapshot
	snappedAt atomic.Int64 // unix ns
	snapMu    sync.Mutex   // one snapshot at a time
	unlooked  atomic.Int64 // bytes applied since the disk was last looked at
	diskFull  atomic.Bool
	outcast   atomic.Bool  // the leader says that this node is no member
	asked     atomic.Int64 // futures of raft's that somebody waits for
	silent    atomic.Bool  // the disk hangs

	mu           sync.Mutex
	notify       func()
	members      raft.Configuration // committed
	membersIndex uint64
	heardFrom    raft.ServerID // the leader, and where it says that it is
	heardAt      string
	changed      chan struct{} // closed and forgotten when the end offset or the leader changes; nil: nobody waits
}

// ClusterID returns the id of the cluster this log is of.
func (l *Log) ClusterID() string { return l.identity.cluster }

// DirectoryID returns the id of the directory the log is in.
func (l *Log) DirectoryID() records.UUID { return l.identity.directory }

// StartOffset returns the log start offset: 0, or the end of the oldest snapshot from which the log is whole.
func (l *Log) StartOffset() int64 {
	start, _ := l.offsets.bounds()
	return start
}

// EndOffset returns the high watermark: the end of what is committed, counted and applied.
func (l *Log) EndOffset() int64 {
	_, end := l.offsets.bounds()
	return end
}

// EpochEnd returns the largest epoch not above the given one that has batches, and the offset after its last.
func (l *Log) EpochEnd(epoch int32) (found int32, end int64, ok bool) {
	return l.offsets.epochEnd(epoch)
}

// Read returns whole committed batches, contiguous, beginning with the one that contains offset: at least one, then as
// many as fit into maxBytes. Nothing at the end. An offset outside the log is ErrOutOfRange.
func (l *Log) Read(offset int64, maxBytes int) ([]byte, error) {
	var room [256]uint64
	var out []byte
	for {
		indexes, next, err := l.offsets.from(offset, room[:0])
		if err != nil || len(indexes) == 0 {
			return out, err
		}
		var taken int
		out, taken, err = l.store.read(out, indexes, maxBytes)
		if errors.Is(err, raft.ErrLogNotFound) && offset < l.StartOffset() {
			err = fmt.Errorf("%w: %d was just compacted", ErrOutOfRange, offset)
		}
		if err != nil {
			return nil, err
		}
		if taken < len(indexes) || len(out) >= maxBytes {
			return out, nil
		}
		offset = next
	}
}

// Wait returns nil when EndOffset is above offset or Leader is no longer the given pair, ctx's error when it ends before, and ErrClosed
// when the log is closed before.
func (l *Log) Wait(ctx context.Context, offset int64, leader, epoch int32) error {
	for {
		l.mu.Lock()
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if nowLeader, nowEpoch := l.Leader(); nowLeader != leader || nowEpoch != epoch || l.EndOffset() > offset {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.closing:
			return ErrClosed
		}
	}
}

// advanced wakes whoever is in Wait.
func (l *Log) advanced() {
	l.mu.Lock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	l.mu.Unlock()
}

// LatestSnapshot returns the newest snapshot.
func (l *Log) LatestSnapshot() (records.SnapshotID, bool) {
	c, ok := l.snapshots.newest()
	return c.id, ok
}

// OldestSnapshot returns the oldest snapshot that is not below the log's start.
func (l *Log) OldestSnapshot() (records.SnapshotID, bool) {
	start := l.StartOffset()
	for _, c := range l.snapshots.all() {
		if c.id.EndOffset >= start {
			return c.id, true
		}
	}
	return records.SnapshotID{}, false
}

// OpenSnapshot opens a snapshot's file, or says os.ErrNotExist. The file stays until it is closed.
func (l *Log) OpenSnapshot(id records.SnapshotID) (interface {
	io.ReaderAt
	io.Closer
	Size() int64
}, error) {
	r, err := l.snapshots.open(id)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Metrics counts what was written since Open; for benchmarks.
type Metrics struct {
	Syncs   int64 // writes that waited for the disk
	Entries int64 // raft entries in them, raft's own included
	Bytes   int64
}

// Metrics returns the counters.
func (l *Log) Metrics() Metrics {
	return Metrics{Syncs: l.store.syncs.Load(), Entries: l.store.entries.Load(), Bytes: l.store.bytes.Load()}
}

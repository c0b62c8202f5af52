package raftlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

const databaseDir = "raft"

// Open opens the log in config.Dir; an empty directory becomes a new cluster's first voter or, with config.Peers, a member
// of the quorum that they are of: then Open returns when it was let in, unless it is told to wait to be added. With
// config.Voters it becomes a member of theirs, or begins it; then Open returns when a majority of them votes. What is applied
// when it returns is not said, beyond a snapshot: Barrier says when.
//
//	Dir/meta.properties            whose directory it is
//	Dir/raft/                      the Pebble database, with the LOCK that keeps a second process out
//	Dir/__cluster_metadata-0/      the snapshots
func Open(config Config) (*Log, error) {
	if err := config.setDefaults(); err != nil {
		return nil, errors.Join(err, closeListener(config))
	}
	l := &Log{
		config: config, logger: config.Logger, machine: config.Machine, offsets: &offsets{},
		toPropose: newLine[*proposal](), toSettle: newLine[*proposal](), toVerify: newLine[func(error)](),
		woken: make(chan struct{}, 1), snapshotDue: make(chan struct{}, 1), elected: make(chan struct{}, 1), diskDue: make(chan struct{}, 1),
		closing: make(chan struct{}), dead: make(chan struct{}),
		lost: make(chan raft.ServerID, 1), joinable: make(chan struct{}), changing: make(chan struct{}, 1), membersChanged: make(chan struct{}, 1),
		addressDue: make(chan struct{}, 1),
		leaders:    leaders{id: -1},
	}
	l.fsm = &fsm{log: l}
	l.snappedAt.Store(time.Now().UnixNano())
	if err := recovered(l.openDirectory); err != nil {
		return nil, errors.Join(err, l.closeStreams(), l.closeDirectory())
	}
	if err := recovered(l.openRaft); err != nil {
		return nil, errors.Join(err, l.closeRaft(), l.closeDirectory())
	}
	l.store.opened.Store(true)
	if reason := l.store.reason.Load(); reason != nil {
		return nil, errors.Join(fmt.Errorf("raftlog: the database failed at once: %w", *reason), l.closeRaft(), l.closeDirectory())
	}
	close(l.transport.ready)
	l.early.Go(l.proposer)
	l.early.Go(l.settler)
	l.early.Go(l.verifier)
	l.running.Go(l.notifier)
	l.running.Go(l.chores)
	l.running.Go(l.promoter)
	l.running.Go(l.detector)
	l.running.Go(l.mover)
	l.running.Go(l.watchMembership)
	close(l.joinable)
	if err := l.join(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if !l.Member() {
		l.logger.Warn("raftlog: this node is not a member of the quorum: it waits to be added by hand", "node", string(l.self))
	}
	if l.soleVoter() {
		l.transport.electSelf()
	}
	if err := l.awaitVoters(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// recovered turns a panic into an error: raft and Pebble panic when a write fails that they cannot do without.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("raftlog: open: %v", p)
		}
	}()
	return f()
}

func closeListener(c Config) error {
	if c.Listener == nil {
		return nil
	}
	return c.Listener.Close()
}

// openDirectory opens what is on disk and checks it.
func (l *Log) openDirectory() error {
	fs, dir := l.config.FS, l.config.Dir
	database, metadata := fs.PathJoin(dir, databaseDir), fs.PathJoin(dir, metadataDir)
	err := makeDir(fs, database)
	if err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	if l.lock, err = lockDatabase(fs, dir); err != nil {
		return err
	}
	isNew := false
	var learn func(identity) (identity, error)
	if l.config.joining() {
		learn = l.learn
	}
	if l.identity, isNew, err = openIdentity(fs, dir, l.config.ClusterID, l.config.NodeID, learn); err != nil {
		return err
	}
	if isNew && !l.identity.joined && l.config.ClusterID != "" {
		l.logger.Warn("raftlog: the directory is empty: a new history of this cluster begins here. Brokers that have seen "+
			"a longer one will not follow it", "cluster", l.identity.cluster, "dir", dir)
	}
	if isNew && l.config.directory != (records.UUID{}) {
		l.identity.directory = l.config.directory
		if err := l.identity.write(fs, dir); err != nil {
			return err
		}
	}
	if l.store, err = openStore(fs, database, l.lock, l.logger, l.fail); err != nil {
		return err
	}
	l.store.slow = l.config.slow
	if l.identity, err = l.identity.claim(fs, l.store, dir); err != nil {
		return err
	}
	l.self = serverID(l.identity.node, l.identity.directory)
	// The directory of the snapshots is made after the first entry is durable: where it is, there was a log.
	began, err := exists(fs, metadata)
	switch {
	case err != nil:
		return fmt.Errorf("raftlog: %w", err)
	case began && l.store.term == 0:
		return errLogGone(dir, database)
	case !began && !l.identity.joined:
		return l.bootstrap(metadata)
	case !began:
		// Term 1 is over wherever there is a quorum to join. With it stored, an empty database is known for one that was lost.
		if err := l.store.SetUint64([]byte("CurrentTerm"), 1); err != nil {
			return err
		}
		if err := makeDir(fs, metadata); err != nil {
			return fmt.Errorf("raftlog: %w", err)
		}
	}
	if l.snapshots, err = openSnapshots(fs, metadata, l.store, l.logger); err != nil {
		return err
	}
	return checkLog(dir, l.store, l.snapshots)
}

// ErrInUse means that another process has the directory open.
var ErrInUse = errors.New("raftlog: in use")

// lockDatabase takes the lock of the directory that the database is in; the kernel gives it back when a process ends.
func lockDatabase(fs vfs.FS, dir string) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(fs.PathJoin(dir, databaseDir), fs)
	var path *os.PathError
	switch {
	case errors.As(err, &path): // there is no such file, or it may not be opened
		return nil, fmt.Errorf("raftlog: the LOCK file of %s cannot be taken: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("%w: another process is using %s: %w", ErrInUse, dir, err)
	}
	return lock, nil
}

func errLogGone(dir, database string) error {
	return fmt.Errorf("raftlog: the log of %s is gone: the database in %s is empty, and it was not always. "+
		"This node must not vote again as who it was: start it with an empty directory", dir, database)
}

// bootstrap writes the first configuration into a new log and then makes the directory of the snapshots.
func (l *Log) bootstrap(metadata string) error {
	fs := l.config.FS
	l.snapshots = &snapshots{fs: fs, dir: metadata, store: l.store, logger: l.logger}
	servers := l.config.bootstrap
	if servers == nil {
		servers = []raft.Server{{ID: l.self, Address: raft.ServerAddress(l.config.Advertise)}}
	}
	if l.store.term == 0 { // else a crash came before the directory was made
		if err := l.store.bootstrap(raft.Configuration{Servers: servers}); err != nil {
			return err
		}
	}
	if err := makeDir(fs, metadata); err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	return nil
}

// exists reports whether there is a file or directory. One that cannot be looked at is an error: what follows from there being none
// must not follow from that.
func exists(fs vfs.FS, path string) (bool, error) {
	_, err := fs.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// makeDir makes dir and the directories above it, durably. They hold password hashes and tokens: nobody else may look.
func makeDir(fs vfs.FS, dir string) error {
	if there, err := exists(fs, dir); there || err != nil {
		return err
	}
	above := fs.PathDir(dir)
	if above != dir {
		if err := makeDir(fs, above); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, above)
}

func (l *Log) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = l.self
	c.Logger = newRaftLogger(l.logger)
	c.BatchApplyCh = true
	c.MaxAppendEntries = 64
	c.ShutdownOnRemove = false
	patience := l.config.LeaderTimeout
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = patience, patience, patience
	c.TrailingLogs = 0 // the store keeps what is needed, see DeleteRange
	c.SnapshotThreshold = math.MaxUint64
	c.SnapshotInterval = 24 * time.Hour
	c.NoLegacyTelemetry = true
	// A restart with RestoreCommittedLogs forgets configuration entries and can block for ever.
	c.RestoreCommittedLogs = false
	if l.config.tune != nil {
		l.config.tune(c)
	}
	return c
}

// openRaft starts raft. From here on entries are applied and votes are given.
func (l *Log) openRaft() error {
	l.peers = newPeers(func() uint64 {
		last, _ := l.store.LastIndex()
		return last
	})
	l.publish(-1, int32(l.store.term))
	l.store.onTerm = l.newTerm
	l.store.onTrim = func() {
		if c := l.snapshots.all(); len(c) > 0 {
			l.offsets.trim(c[0].id, c[0].row.Index)
		}
	}
	l.listen(hello{cluster: l.identity.cluster, from: l.self})
	l.transport = newTransport(l.streams, l.config.Advertise, l.peers, l.heard, l.outcast.Load, l.config.LeaderTimeout, l.logger)
	l.transport.hangs, l.transport.incoming, l.transport.leading, l.transport.member = l.diskHangs, l.introduce, l.Leading, l.isMember
	var err error
	if l.raft, err = raft.NewRaft(l.raftConfig(), l.fsm, l.store, l.store, l.snapshots, l.transport); err != nil {
		return fmt.Errorf("raftlog: start raft: %w", err)
	}
	// An observer's filter runs inside raft's change of state: unlike a channel, it cannot miss one.
	l.raft.RegisterObserver(raft.NewObserver(nil, false, func(*raft.Observation) bool {
		l.wake()
		return false
	}))
	return nil
}

// listen takes connections from now on, if it does not yet, as who this node is.
func (l *Log) listen(self hello) {
	if l.streams == nil {
		l.streams = newStreams(l.config.Listener, l.config.Dial, self, l.serveJoin, l.ended, l.logger)
	} else {
		l.streams.become(self)
	}
}

// fail is told of the first failed write or damaged entry, once. raft gets no further.
func (l *Log) fail(err error) {
	l.logger.Error("raftlog: the log has failed", "err", err)
	l.deadOnce.Do(func() { close(l.dead) })
	l.shutdown()
	go l.config.Fatal(err)
}

// shutdown stops raft. Only the first call gets a future that waits for it, so it is kept.
func (l *Log) shutdown() raft.Future {
	l.shutdownOnce.Do(func() { l.shutdownFuture = l.raft.Shutdown() })
	return l.shutdownFuture
}

// stopped reports whether raft takes nothing more.
func (l *Log) stopped() bool {
	select {
	case <-l.dead:
		return true
	case <-l.closing:
		return true
	default:
		return false
	}
}

// Close hands leadership over if there is somebody to take it, settles what was appended, stops raft and closes the directory. Nothing may be called after it.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.HandOver()
		// What raft has taken is answered as long as it runs, so that comes first: raft forgets its queues when it stops, and who
		// waits for what was in them waits for ever.
		l.toPropose.close()
		l.toVerify.close()
		l.early.Wait()
		close(l.closing)
		l.answered()
		l.deadOnce.Do(func() { close(l.dead) })
		l.running.Wait()
		l.advanced()
		l.closeErr = errors.Join(l.closeRaft(), l.closeDirectory())
	})
	return l.closeErr
}

func (l *Log) closeRaft() error {
	var err error
	if l.raft != nil {
		err = l.shutdown().Error()
	}
	if l.transport != nil {
		return errors.Join(err, l.transport.Close())
	}
	return errors.Join(err, l.closeStreams())
}

// closeStreams closes the listener; the transport does where there is one.
func (l *Log) closeStreams() error {
	if l.streams != nil {
		return l.streams.Close()
	}
	return closeListener(l.config)
}

func (l *Log) closeDirectory() error {
	var err error
	if l.store != nil {
		err = l.store.close()
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

// checkLog reads the whole log: every entry has its checksum and its place. What this cannot tell is in docs/formats.md.
func checkLog(dir string, s *store, kept *snapshots) error {
	first, last := s.first, s.last
	if c, ok := kept.newest(); ok {
		if c.row.Index < first || c.row.Index > last {
			return fmt.Errorf("raftlog: the log in %s is damaged: snapshot %s ends at entry %d and the log has entries %d to %d",
				dir, c.id.FileName(), c.row.Index, first, last)
		}
	}
	base, ok := kept.base(math.MaxUint64)
	if !ok {
		return fmt.Errorf("raftlog: the log in %s begins at entry %d and no good snapshot says what was before. "+
			"This node cannot go on with what is left: start it with an empty directory, as a new member", dir, first)
	}
	seq := records.Sequence{End: base.id.EndOffset, Epoch: base.id.Epoch}
	err := s.scan(first, last, func(index, term uint64, kind raft.LogType, data []byte) error {
		if index <= base.row.Index || kind != raft.LogCommand {
			return nil
		}
		if _, _, err := seq.NextIn(data, int32(term)); err != nil && !errors.Is(err, records.ErrNotNext) { // what is dropped is no damage
			return fmt.Errorf("entry %d is damaged: %w", index, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("raftlog: the log in %s is damaged at offset %d: %w. Nothing was changed. "+
			"This node must not vote with what is left of it: start it with an empty directory, as a new member", dir, seq.End, inALine(err))
	}
	return nil
}

// index rebuilds the offsets up to the end of the snapshot c, which is all committed.
func (l *Log) index(c checkpoint) error {
	base, ok := l.snapshots.base(c.row.Index)
	if !ok {
		return fmt.Errorf("raftlog: the log has nothing to go on with after snapshot %s", c.id.FileName())
	}
	o := &offsets{}
	o.reset(base.id)
	seq := records.Sequence{End: base.id.EndOffset, Epoch: base.id.Epoch}
	var held, counts []position
	err := l.store.scan(base.row.Index+1, c.row.Index, func(index, term uint64, kind raft.LogType, data []byte) error {
		if kind != raft.LogCommand {
			return nil
		}
		b, n, err := seq.NextIn(data, int32(term))
		if err != nil {
			return nil
		}
		held, counts = records.Hold(held, position{b.BaseOffset(), index}, n)
		for _, p := range counts { // held back and let go together, they are of one epoch
			o.add(b.LeaderEpoch(), p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("raftlog: index the log: %w", err)
	}
	if at := (records.SnapshotID{EndOffset: seq.End, Epoch: seq.Epoch}); at != c.id {
		return fmt.Errorf("raftlog: entries up to %d lead to offset %d of epoch %d, and snapshot %s does not", c.row.Index, at.EndOffset, at.Epoch, c.id.FileName())
	}
	o.advance(seq.End)
	l.offsets.replace(o)
	return nil
}

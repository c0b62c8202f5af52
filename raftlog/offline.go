package raftlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// Stopped is the data directory of a node that does not run, open for reading. Nothing in it changes; its lock is held, so
// that no node starts meanwhile. Everything that a start checks has been checked. It serves one goroutine.
type Stopped struct {
	fs        vfs.FS
	dir       string
	lock      *pebble.Lock
	identity  identity
	store     *store
	snapshots *snapshots
	base      checkpoint       // what the log goes on from
	log       records.Sequence // where it ends
	cutOff    map[uint64]bool  // entries with batches of a metadata transaction whose end did not come
	opened    int64            // base offset of the last LeaderChange that counts
	dropped   int
	members   raft.Configuration
}

// EntryKind is what a raft entry is for.
type EntryKind string

// The kinds of entries. Only batches take offsets.
const (
	KindBatch         EntryKind = "batch"
	KindNoop          EntryKind = "no-op"
	KindBarrier       EntryKind = "barrier"
	KindConfiguration EntryKind = "configuration"
)

// Entry is one entry of a stopped node's log.
type Entry struct {
	Index   uint64
	Term    int32
	Kind    EntryKind
	Offset  int64         // where the metadata log ends before it
	Batch   records.Batch // of KindBatch; good until the next entry
	Dropped error         // why the batch does not count on any node; nil: it does
	Members []Member      // of KindConfiguration
}

// Counts reports whether the entry is a batch of the metadata log.
func (e Entry) Counts() bool { return e.Kind == KindBatch && e.Dropped == nil }

// Member is a member of the quorum as a directory knows it.
type Member struct {
	NodeID      int32
	DirectoryID records.UUID
	Addr        string // host:port
	Voter       bool
}

// OpenStopped opens a directory for reading. One that a node is running on gives ErrInUse.
func OpenStopped(dir string) (*Stopped, error) { return openStopped(vfs.Default, dir) }

func openStopped(fs vfs.FS, dir string) (*Stopped, error) {
	s := &Stopped{fs: fs, dir: dir}
	if err := recovered(s.open); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stopped) open() error {
	database, metadata := s.fs.PathJoin(s.dir, databaseDir), s.fs.PathJoin(s.dir, metadataDir)
	var err error
	if s.identity, err = readIdentity(s.fs, s.dir); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("raftlog: %s is not a node's data directory: it has no %s", s.dir, metaFile)
		}
		return err
	}
	// Taking the lock would make its file, and nothing may be made here.
	if _, err := s.fs.Stat(s.fs.PathJoin(database, "LOCK")); err != nil {
		return fmt.Errorf("raftlog: %s holds no log of YAKt's: %w", s.dir, err)
	}
	if s.lock, err = lockDatabase(s.fs, s.dir); err != nil {
		return err
	}
	if desc, err := pebble.Peek(database, s.fs); err != nil || !desc.Exists {
		return cmp.Or(err, fmt.Errorf("raftlog: %s holds no log yet: its node was stopped before it began one", s.dir))
	}
	if s.store, err = readStore(s.fs, database, s.lock); err != nil {
		return err
	}
	if s.identity, _, err = s.identity.confirm(s.store, s.dir); err != nil {
		return err
	}
	began, err := exists(s.fs, metadata)
	if err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	if began && s.store.term == 0 {
		return errLogGone(s.dir, database)
	}
	if s.snapshots, _, err = readSnapshots(s.fs, metadata, s.store, discard); err != nil {
		return err
	}
	if err := checkLog(s.dir, s.store, s.snapshots); err != nil {
		return err
	}
	return s.survey()
}

// survey finds out from the entries what is not written down.
func (s *Stopped) survey() error {
	s.base, _ = s.snapshots.base(math.MaxUint64)
	s.members = s.base.row.Configuration
	s.log = records.Sequence{End: s.base.id.EndOffset, Epoch: s.base.id.Epoch}
	if err := s.findCutOff(); err != nil {
		return err
	}
	return s.scan(func(e Entry, data []byte) error {
		switch {
		case e.Kind == KindConfiguration:
			s.members = raft.DecodeConfiguration(data)
		case e.Counts():
			s.log = records.Sequence{End: e.Batch.EndOffset(), Epoch: e.Term}
			if leaderChange(e.Batch) != nil {
				s.opened = e.Batch.BaseOffset()
			}
		case e.Kind == KindBatch:
			s.dropped++
		}
		return nil
	})
}

// findCutOff looks for batches that were held back for an end that did not come.
func (s *Stopped) findCutOff() error {
	var held, counts []uint64
	s.cutOff = map[uint64]bool{}
	err := s.sequence(func(e Entry, n int, _ []byte) error {
		if e.Kind != KindBatch || e.Dropped != nil {
			return nil
		}
		before := held
		held, counts = records.Hold(held, e.Index, n)
		if n > 0 {
			for _, index := range before[:len(before)+1-len(counts)] {
				s.cutOff[index] = true
			}
		}
		return nil
	})
	for _, index := range held {
		s.cutOff[index] = true
	}
	return err
}

// errCutOff is why a batch does not count that its metadata transaction would have ended after.
var errCutOff = fmt.Errorf("%w: it is part of a metadata transaction whose end did not come", records.ErrNotNext)

// scan calls f with every entry that the base snapshot does not contain, and its payload.
func (s *Stopped) scan(f func(e Entry, data []byte) error) error {
	return s.sequence(func(e Entry, _ int, data []byte) error {
		if s.cutOff[e.Index] {
			e.Dropped = errCutOff
		}
		return f(e, data)
	})
}

// sequence calls f with every entry and its payload, and with how many batches count from it on. Those of a transaction that was cut off
// are not marked as dropped.
func (s *Stopped) sequence(f func(e Entry, counts int, data []byte) error) error {
	seq := records.Sequence{End: s.base.id.EndOffset, Epoch: s.base.id.Epoch}
	from, _ := s.store.FirstIndex()
	last, _ := s.store.LastIndex()
	return s.store.scan(max(from, s.base.row.Index+1), last, func(index, term uint64, kind raft.LogType, data []byte) error {
		e, counts := Entry{Index: index, Term: int32(term), Offset: seq.End}, 0
		switch kind {
		case raft.LogCommand:
			e.Kind = KindBatch
			e.Batch, counts, e.Dropped = seq.NextIn(data, e.Term)
			if e.Dropped == nil {
				e.Offset = e.Batch.BaseOffset()
			}
		case raft.LogConfiguration:
			e.Kind, e.Members = KindConfiguration, members(raft.DecodeConfiguration(data))
		case raft.LogBarrier:
			e.Kind = KindBarrier
		case raft.LogNoop:
			e.Kind = KindNoop
		default:
			return fmt.Errorf("raftlog: entry %d is of type %d, which this program does not write", index, kind)
		}
		return f(e, counts, data)
	})
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// Entries yields every entry from the log's start to its end, in order; an error is the last thing it yields.
func (s *Stopped) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := s.scan(func(e Entry, _ []byte) error {
			if !yield(e, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(Entry{}, err)
		}
	}
}

// Batches yields every batch that counts.
func (s *Stopped) Batches() iter.Seq2[records.Batch, error] {
	return func(yield func(records.Batch, error) bool) {
		for e, err := range s.Entries() {
			if (err != nil || e.Counts()) && !yield(e.Batch, err) {
				return
			}
		}
	}
}

func members(c raft.Configuration) []Member {
	var all []Member
	for _, s := range c.Servers {
		node, directory, err := splitServerID(s.ID)
		if err != nil {
			node = -1
		}
		all = append(all, Member{NodeID: node, DirectoryID: directory, Addr: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return all
}

// Self is who the directory's node is. Its address is empty, and it is no voter, if its own log does not have it as a member.
func (s *Stopped) Self() Member {
	for _, m := range s.Members() {
		if m.NodeID == s.identity.node && m.DirectoryID == s.identity.directory {
			return m
		}
	}
	return Member{NodeID: s.identity.node, DirectoryID: s.identity.directory}
}

// ClusterID is the id of the cluster the directory is of.
func (s *Stopped) ClusterID() string { return s.identity.cluster }

// Members are the members of the quorum by the newest configuration in the log, committed or not.
func (s *Stopped) Members() []Member { return members(s.members) }

// Term is the newest term the node has heard of.
func (s *Stopped) Term() int32 { return int32(s.store.term) }

// StartOffset is where the log begins: 0, or the end of the snapshot it goes on from.
func (s *Stopped) StartOffset() int64 { return s.base.id.EndOffset }

// EndOffset is where the log ends, committed or not.
func (s *Stopped) EndOffset() int64 { return s.log.End }

// Epoch is the leader epoch of the last batch that counts.
func (s *Stopped) Epoch() int32 { return s.log.Epoch }

// Dropped is how many batches in the log do not count.
func (s *Stopped) Dropped() int { return s.dropped }

// Committed is an offset below which everything is known to be committed. raft stores no such thing, but a snapshot holds
// only what is committed, a leader writes its LeaderChange after a barrier of its term was committed, and what a sole
// voter has is committed. What is between Committed and EndOffset may be committed, or have been lost by the quorum.
func (s *Stopped) Committed() int64 {
	if s.Alone() {
		return s.log.End
	}
	newest, _ := s.snapshots.newest()
	return max(newest.id.EndOffset, s.opened)
}

// Alone reports whether the node is the only voter.
func (s *Stopped) Alone() bool {
	voters := 0
	for _, m := range s.Members() {
		if m.Voter {
			voters++
		}
	}
	return voters == 1 && s.Self().Voter
}

// Snapshots are those that are whole and not older than the log's start, oldest first.
func (s *Stopped) Snapshots() []records.SnapshotID {
	var ids []records.SnapshotID
	for _, c := range s.snapshots.all() {
		if c.row.Index >= s.base.row.Index {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// OpenSnapshot opens the file of one of the snapshots.
func (s *Stopped) OpenSnapshot(id records.SnapshotID) (io.ReadCloser, error) {
	r, err := s.snapshots.open(id)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close lets the directory go.
func (s *Stopped) Close() error {
	var err error
	if s.store != nil {
		err = s.store.close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	s.store, s.lock = nil, nil
	return err
}

package raftlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// ErrDropped means that a batch was committed where it does not come next: it does not count, on any node.
var ErrDropped = errors.New("raftlog: the batch was dropped")

// An fsm takes committed entries from raft: which batches count, their offsets, and on to the state machine. All its
// methods run on raft's one FSM goroutine, except that NewRaft calls Restore from the goroutine that opens the log.
//
// It is a BatchingFSM because raft advances a snapshot's index over configuration and barrier entries only for one.
// ApplyBatch returns only after the state machine has published: raft labels a snapshot with what it has handed over.
type fsm struct {
	log  *Log
	seq  records.Sequence
	held []placed // what seq holds back
}

// placed is a batch and the entry that it is in.
type placed struct {
	batch records.Batch
	index uint64
}

var _ raft.BatchingFSM = (*fsm)(nil)

// Apply implements raft.FSM; raft uses ApplyBatch.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. The answer to an entry is nil if its batch counts, at once or with the metadata transaction
// that it belongs to, otherwise why it does not.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	batches := make([]records.Batch, 0, len(logs))
	size := 0
	var led *records.LeaderChange
	var voters *raft.Configuration
	var votersIndex uint64
	for i, l := range logs {
		switch l.Type {
		case raft.LogConfiguration:
			c := raft.DecodeConfiguration(l.Data)
			voters, votersIndex = &c, l.Index
			continue
		case raft.LogCommand:
		default:
			continue
		}
		counts, err := f.next(l)
		if err != nil {
			answers[i] = err
			f.log.logger.Warn("raftlog: dropped a batch", "index", l.Index, "term", l.Term, "err", err)
			f.log.wake() // if the stamp is of another term, leadership was lost on the way
			continue
		}
		for _, p := range counts {
			f.log.offsets.add(p.batch.LeaderEpoch(), position{p.batch.BaseOffset(), p.index})
			batches = append(batches, p.batch)
			size += len(p.batch)
			if c := leaderChange(p.batch); c != nil {
				led = c
			}
		}
	}
	if len(batches) > 0 {
		f.log.machine.Apply(batches)
		f.log.offsets.advance(f.seq.End)
		f.log.grown(size)
	}
	if led != nil {
		f.log.tookOver(led.LeaderID, f.seq.Epoch)
	}
	if voters != nil {
		f.log.setMembership(*voters, votersIndex)
	}
	return answers
}

// next returns the batches that count from a command entry on; none if its own is held back.
func (f *fsm) next(l *raft.Log) ([]placed, error) {
	b, n, err := f.seq.NextIn(l.Data, int32(l.Term))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDropped, err)
	}
	var counts []placed
	f.held, counts = records.Hold(f.held, placed{b, l.Index}, n)
	return counts, nil
}

// leaderChange returns the LeaderChange that b begins with, or nil.
func leaderChange(b records.Batch) *records.LeaderChange {
	if !b.Control() {
		return nil
	}
	all, err := b.DecodeControl()
	if err != nil || len(all) == 0 {
		return nil
	}
	c, _ := all[0].(*records.LeaderChange)
	return c
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.seq.End == 0 {
		return nil, raft.ErrNothingNewToSnapshot
	}
	if f.seq.Holding() {
		return nil, errors.New("not now: a metadata transaction has begun and not ended")
	}
	id, write, err := f.log.machine.Checkpoint()
	if err != nil {
		return nil, err
	}
	// raft will say that the snapshot holds every entry handed over so far; it must.
	if at := (records.SnapshotID{EndOffset: f.seq.End, Epoch: f.seq.Epoch}); id != at {
		return nil, fmt.Errorf("not now: the state is at offset %d of epoch %d, the log at %d of %d",
			id.EndOffset, id.Epoch, at.EndOffset, at.Epoch)
	}
	return &fsmSnapshot{id: id, write: write}, nil
}

type fsmSnapshot struct {
	id    records.SnapshotID
	write func(io.Writer) error
}

// Persist implements raft.FSMSnapshot, on raft's snapshot goroutine. raft closes the sink.
func (s *fsmSnapshot) Persist(to raft.SnapshotSink) error {
	if _, err := io.WriteString(to, preamble(s.id)); err != nil {
		return err
	}
	if w, ok := to.(*sink); ok && w.reuse {
		return nil
	}
	return s.write(to)
}

// Release implements raft.FSMSnapshot.
func (s *fsmSnapshot) Release() {}

// Restore implements raft.FSM: the state machine becomes what the snapshot holds, and the offsets below it are found
// again from the log.
func (f *fsm) Restore(from io.ReadCloser) error {
	head := make([]byte, preambleLen)
	if _, err := io.ReadFull(from, head); err != nil {
		return fmt.Errorf("raftlog: restore a snapshot: %w", err)
	}
	id, err := readPreamble(head)
	if err != nil {
		return err
	}
	l := f.log
	of, ok := l.snapshots.withID(id)
	if !ok {
		return fmt.Errorf("raftlog: restore snapshot %s: it is not kept", id.FileName())
	}
	if err := l.machine.Restore(id, from); err != nil {
		return fmt.Errorf("raftlog: restore snapshot %s: %w", id.FileName(), err)
	}
	f.seq, f.held = records.Sequence{End: id.EndOffset, Epoch: id.Epoch}, nil
	if err := l.index(of); err != nil {
		return err
	}
	l.setMembership(of.row.Configuration, of.row.ConfigurationIndex)
	l.advanced()
	l.logger.Info("raftlog: restored a snapshot", "offset", id.EndOffset, "epoch", id.Epoch, slog.Uint64("index", of.row.Index))
	return nil
}

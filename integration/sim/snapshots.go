package sim

import (
	"bytes"
	"io"
	"io/fs"
	"time"

	"yakt/controller/image"
	"yakt/records"
)

// This file is the part of the model's log that takes checkpoints, keeps, serves and installs them.

// snapshot is a kept checkpoint and where in raft's log it lies.
type snapshot struct {
	id      records.SnapshotID
	applied int
	counted int
	content []byte
}

// load makes a checkpoint the state of the process.
func (n *node) load(s snapshot) {
	n.w.tracef("node %d: loads %s", n.id, s.id.FileName())
	n.w.count("checkpoints loaded")
	if err := n.ctl.Restore(s.id, bytes.NewReader(s.content)); err != nil {
		violate("checkpoint-restores-the-image", "node %d: %v", n.id, err)
	}
	n.applied, n.commit, n.counted = s.applied, max(n.commit, s.applied), s.counted
	n.end, n.seq, n.held = s.id.EndOffset, records.Sequence{End: s.id.EndOffset, Epoch: s.id.Epoch}, nil
	n.checkPublished()
}

// LatestSnapshot implements controller.Log.
func (n *node) LatestSnapshot() (records.SnapshotID, bool) {
	if len(n.snapshots) == 0 {
		return records.SnapshotID{}, false
	}
	return n.snapshots[len(n.snapshots)-1].id, true
}

// OldestSnapshot implements controller.Log.
func (n *node) OldestSnapshot() (records.SnapshotID, bool) {
	if len(n.snapshots) == 0 {
		return records.SnapshotID{}, false
	}
	return n.snapshots[0].id, true
}

// OpenSnapshot implements controller.Log.
func (n *node) OpenSnapshot(id records.SnapshotID) (interface {
	io.ReaderAt
	io.Closer
	Size() int64
}, error) {
	for _, s := range n.snapshots {
		if s.id == id {
			return openSnapshot{bytes.NewReader(s.content)}, nil
		}
	}
	return nil, fs.ErrNotExist
}

type openSnapshot struct{ *bytes.Reader }

// Close implements io.Closer.
func (openSnapshot) Close() error { return nil }

// checkpoint takes a checkpoint, keeps it and lets the log begin there, now or later.
func (n *node) checkpoint() {
	id, write, err := n.ctl.Checkpoint()
	if err != nil || id.EndOffset == 0 || n.seq.Holding() { // as raftlog refuses
		return
	}
	if latest, ok := n.LatestSnapshot(); ok && latest.EndOffset >= id.EndOffset {
		return
	}
	applied, counted := n.applied, n.counted
	n.after(n.w.between(0, 80*time.Millisecond), func() {
		var content bytes.Buffer
		if err := write(&content); err != nil {
			violate("checkpoint-restores-the-image", "node %d: %s: %v", n.id, id.FileName(), err)
		}
		n.keep(snapshot{id: id, applied: applied, counted: counted, content: content.Bytes()})
	})
}

// keep adds a checkpoint, compares what it says with the oracle, and forgets old ones.
func (n *node) keep(s snapshot) {
	if latest, ok := n.LatestSnapshot(); ok && latest.EndOffset >= s.id.EndOffset {
		return
	}
	n.w.tracef("node %d: keeps %s, %d bytes", n.id, s.id.FileName(), len(s.content))
	n.w.count("checkpoints kept")
	img, err := image.ReadCheckpoint(s.id, bytes.NewReader(s.content))
	if err != nil {
		violate("checkpoint-restores-the-image", "node %d: %s: %v", n.id, s.id.FileName(), err)
	}
	n.w.oracle.same("checkpoint-restores-the-image", n, img, s.id.EndOffset)
	n.snapshots = append(n.snapshots, s)
	if len(n.snapshots) > 2 {
		n.snapshots = n.snapshots[1:]
	}
	if n.start > 0 || n.w.chance(0.7) {
		n.start = n.snapshots[0].id.EndOffset
	}
}

// install gives a follower that is behind the leader's checkpoint instead of entries.
func (n *node) install(m *node) {
	if !n.leading || !m.hears(n) || m.term > n.term || len(n.snapshots) == 0 {
		return
	}
	s := n.snapshots[len(n.snapshots)-1]
	if s.applied <= m.applied {
		return
	}
	m.seeTerm(n.term)
	m.heard = n.w.now
	for _, e := range m.log[m.applied:] {
		if m.mine(e) {
			m.settle(e.proposal, errLeadershipLost) // it may be in the checkpoint, or gone
		}
	}
	m.cutTo(0)
	m.extend(n.log[:s.applied]...)
	n.w.count("checkpoints installed")
	m.load(s)
	m.snapshots, m.start = []snapshot{s}, s.id.EndOffset
	m.applySoon()
	m.stepSoon()
}

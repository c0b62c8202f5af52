package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"yakt/controller"
	"yakt/integration/linear/model"
	"yakt/records"
)

// This file is the metadata log over the model of raft: what raftlog is to hashicorp/raft. It has raftlog's manners and its
// right to be late: outcomes are told in the order of Append and never from inside a call, signals may be lost.

var (
	errNotLeader      = errors.New("model: not the leader")
	errTransferring   = errors.New("model: leadership transfer in progress")
	errLeadershipLost = errors.New("model: leadership lost while committing")
	errFixed          = errors.New("model: the quorum changes by itself, not by request")
)

var _ controller.Log = (*node)(nil)

// proposal is a batch or a barrier on its way, and who waits for it.
type proposal struct {
	node        *node
	incarnation int
	kind        entryKind
	batch       records.Batch
	who         []byte
	serial      uint64 // of the world when it was proposed
	done        func(error)
	settled     bool
	err         error
}

// boot starts the process: from its newest checkpoint, and then from what its leader, or its own election, says is committed.
func (n *node) boot() {
	w := n.w
	n.incarnation++
	n.up, n.pausedUntil, n.busyUntil, n.deafUntil, n.slowUntil = true, 0, 0, 0, 0
	n.reads = model.Reads{}
	n.pending = map[string]bool{}
	n.inbox, n.appends, n.notify, n.checked, n.silence = nil, nil, nil, nil, silence{}
	n.commit, n.applied, n.counted, n.end, n.seq = 0, 0, 0, 0, records.Sequence{}
	n.held = nil
	settings := w.settings
	n.ctl = controller.New(controller.Config{
		NodeID:         n.id,
		ListenerName:   "CONTROLLER",
		Settings:       settings,
		Clock:          n.clock,
		Rand:           rand.New(rand.NewPCG(w.seed, uint64(n.id)<<32|uint64(n.incarnation))),
		Logger:         slog.New(logTo{w, n.id}),
		MaxBatch:       w.maxBatch,
		VerifyAdoption: true,
	})
	w.tracef("node %d: boots, incarnation %d, log %d, checkpoints %d", n.id, n.incarnation, len(n.log), len(n.snapshots))
	if len(n.snapshots) > 0 {
		n.load(n.snapshots[len(n.snapshots)-1])
	}
	n.startRaft()
	n.ctl.Attach(n)
	n.stepSoon()
	n.tickTimer()
}

// crash ends the process; what is on disk stays.
func (n *node) crash() {
	n.w.tracef("node %d: crashes", n.id)
	n.w.count("crashes")
	n.up, n.leading, n.pair.id = false, false, -1
	for _, p := range n.appends {
		p.done = nil // nobody waits any more
	}
	n.w.calls = slices.DeleteFunc(n.w.calls, func(k *call) bool {
		if k.node == n {
			n.w.past.unknown(k)
		}
		return k.node == n
	})
}

func (n *node) clock() time.Time { return epoch.Add(n.w.now + n.skew) }

// stepSoon lets the writer run.
func (n *node) stepSoon() {
	d := n.w.between(0, 2*time.Millisecond)
	if n.w.happens(stepLate) {
		d = n.w.between(0, 300*time.Millisecond)
	}
	n.once("step", max(d, n.busyUntil-n.w.now), func() {
		for range 1 + n.w.rand.IntN(3) {
			more := n.ctl.Step()
			n.listen()
			n.checkPublished()
			if !more {
				return
			}
		}
		n.stepSoon()
	})
}

func (n *node) tickTimer() {
	d := n.w.around(n.w.pace.tick)
	if n.w.happens(tickLate) {
		d = n.w.between(0, 3*time.Second)
	}
	n.after(max(d, n.busyUntil-n.w.now), func() {
		n.ctl.Tick()
		n.listen()
		n.checkPublished()
		n.stepSoon()
		n.tickTimer()
	})
}

// ClusterID implements controller.Log.
func (n *node) ClusterID() string { return clusterID }

// Append implements controller.Log.
func (n *node) Append(b records.Batch, who []byte, done func(error)) {
	n.w.tracef("node %d: appends [%d,%d) of epoch %d, %d bytes", n.id, b.BaseOffset(), b.EndOffset(), b.LeaderEpoch(), len(b))
	n.checkFenced(b, who)
	p := &proposal{node: n, incarnation: n.incarnation, kind: entryBatch, batch: b, who: who, serial: n.w.serial, done: done}
	n.appends = append(n.appends, p)
	n.inbox = append(n.inbox, p)
	n.takeSoon(n.w.between(0, 3*time.Millisecond))
}

// Barrier implements controller.Log. As in raft it is an entry of its own.
func (n *node) Barrier(done func(error)) {
	n.inbox = append(n.inbox, &proposal{node: n, incarnation: n.incarnation, kind: entryBarrier, done: done})
	n.takeSoon(n.w.between(0, 3*time.Millisecond))
}

// takeSoon lets raft take what was proposed.
func (n *node) takeSoon(d time.Duration) { n.once("take", d, n.take) }

func (n *node) take() {
	if n.w.now < n.slowUntil && n.w.chance(0.7) {
		n.takeSoon(n.w.between(0, n.w.pace.election))
		return
	}
	for len(n.inbox) > 0 {
		p := n.inbox[0]
		switch {
		case !n.leading:
			if n.w.happens(proposalHeld) {
				n.w.count("proposals held")
				n.takeSoon(n.w.between(20*time.Millisecond, 400*time.Millisecond)) // perhaps into a later term
				return
			}
			n.settle(p, errNotLeader)
		case n.refusing && n.w.chance(0.8) || n.w.happens(proposalRefused):
			n.w.tracef("node %d: refuses a proposal in term %d", n.id, n.term)
			n.w.count("proposals refused")
			n.settle(p, errTransferring)
		default:
			n.appendEntry(&entry{kind: p.kind, batch: p.batch, who: p.who, proposal: p})
		}
		n.inbox = n.inbox[1:]
		if n.w.chance(0.3) {
			n.takeSoon(n.w.between(0, 4*time.Millisecond))
			return
		}
	}
}

// settle decides what a proposer will be told. The first decision stands: later ones find that it was told already.
func (n *node) settle(p *proposal, err error) {
	if p.settled {
		return
	}
	p.settled, p.err = true, err
	if err != nil {
		n.w.count("proposals failed")
	}
	if p.kind == entryBarrier {
		n.after(n.w.between(0, 3*time.Millisecond), func() {
			p.done(p.err)
			n.stepSoon()
		})
		return
	}
	n.tellSoon()
}

// tellSoon lets the log tell outcomes, in the order of Append.
func (n *node) tellSoon() {
	if len(n.appends) == 0 || !n.appends[0].settled {
		return
	}
	d := n.w.between(0, 2*time.Millisecond)
	if n.w.happens(outcomeLate) {
		d = n.w.between(0, 600*time.Millisecond) // even into another term
	}
	n.once("tell", d, func() {
		for len(n.appends) > 0 && n.appends[0].settled {
			p := n.appends[0]
			n.appends = n.appends[1:]
			n.w.tracef("node %d: tells of the append at %d of epoch %d: %v", n.id, p.batch.BaseOffset(), p.batch.LeaderEpoch(), p.err)
			p.done(p.err)
			p.done = nil // it holds on to whatever it answered
			n.stepSoon()
			if n.w.chance(0.3) {
				break
			}
		}
		n.tellSoon()
	})
}

func (n *node) applySoon() {
	d := n.w.between(0, 2*time.Millisecond)
	if n.w.happens(applyLate) {
		d = n.w.between(0, 100*time.Millisecond)
	}
	n.once("apply", d, n.apply)
}

// apply hands the next committed entries to the controller and tells their proposers.
func (n *node) apply() {
	if n.applied >= n.commit {
		return
	}
	var (
		batches  []records.Batch
		outcomes []func()
		to       = n.applied + 1 + n.w.rand.IntN(n.commit-n.applied)
	)
	for i := n.applied; i < to; i++ {
		e := n.log[i]
		var err error
		if e.kind == entryBatch {
			var whole int
			if whole, err = n.seq.Next(e.batch, e.term); err == nil {
				var counts []*entry
				n.held, counts = records.Hold(n.held, e, whole)
				for _, e := range counts {
					batches = append(batches, e.batch)
					n.counted++
					n.end = e.batch.EndOffset()
				}
				if n.leading && e.term == n.term && n.pair.id != n.id && e.batch.Control() {
					n.pair = pair{n.id, n.term}
					outcomes = append(outcomes, n.signal)
				}
			}
			if taken := err == nil; taken != n.w.oracle.taken(i) {
				violate("nodes-agree", "node %d: batch %d of raft's log is taken: %v; by the oracle: %v", n.id, i, taken, !taken)
			}
		} else if !n.leading || e.term != n.term {
			err = errLeadershipLost
		}
		if n.mine(e) {
			outcomes = append(outcomes, func() { n.settle(e.proposal, err) })
		}
	}
	n.applied = to
	if len(batches) > 0 {
		n.w.tracef("node %d: applies up to %d, %d batches", n.id, n.end, len(batches))
		n.ctl.Apply(batches)
		n.checkPublished()
		n.stepSoon()
	}
	for _, tell := range outcomes {
		tell()
	}
	if n.applied < n.commit {
		n.applySoon()
	}
}

// Verify implements controller.Log.
func (n *node) Verify(done func(error)) {
	if !n.leading {
		n.after(n.w.between(0, 5*time.Millisecond), func() {
			done(errNotLeader)
			n.stepSoon()
		})
		return
	}
	n.verify(n.term, n.w.between(time.Millisecond, 15*time.Millisecond), done)
}

func (n *node) verify(term int32, d time.Duration, done func(error)) {
	n.after(d, func() {
		led := n.quorum(func(m *node) bool {
			if n.leading && n.reaches(m) && m.term > n.term {
				n.seeTerm(m.term)
			}
			return n.leading && n.reaches(m)
		})
		var err error
		switch {
		case !n.leading || n.term != term || n.w.happens(verifyFails):
			err = errLeadershipLost
			n.w.count("verifications failed")
		case !led:
			n.verify(term, n.w.between(10*time.Millisecond, 60*time.Millisecond), done)
			return
		}
		done(err)
		n.stepSoon()
	})
}

// Leading implements controller.Log.
func (n *node) Leading() (int32, bool) {
	if !n.leading {
		return 0, false
	}
	return n.term, true
}

// Leader implements controller.Log.
func (n *node) Leader() (int32, int32) { return n.pair.id, n.pair.epoch }

// Notify implements controller.Log.
func (n *node) Notify(f func()) {
	n.notify = f
	n.after(n.w.between(0, 5*time.Millisecond), func() {
		f()
		n.stepSoon()
	})
}

// signal says that something about leadership may have changed. Signals can be lost.
func (n *node) signal() {
	if n.notify == nil || !n.up {
		return
	}
	if n.w.happens(signalLost) || n.w.now < n.deafUntil {
		n.w.count("signals lost")
		return
	}
	d := n.w.between(0, 4*time.Millisecond)
	if n.w.happens(signalLate) {
		d = n.w.between(0, 200*time.Millisecond)
	}
	f := n.notify
	n.after(d, func() {
		f()
		n.stepSoon()
	})
}

// StartOffset implements controller.Log.
func (n *node) StartOffset() int64 { return n.start }

// EndOffset implements controller.Log.
func (n *node) EndOffset() int64 { return n.end }

// Read implements controller.Log.
func (n *node) Read(offset int64, maxBytes int) ([]byte, error) {
	if offset < n.start || offset > n.end {
		return nil, fmt.Errorf("model: offset %d is outside %d..%d", offset, n.start, n.end)
	}
	var out []byte
	for i := n.w.oracle.after(offset); i < n.counted; i++ {
		b := n.w.oracle.batches[i]
		if len(out) > 0 && len(out)+len(b) > maxBytes {
			break
		}
		out = append(out, b...)
	}
	return out, nil
}

// Wait implements controller.Log. Nobody in the simulation waits.
func (n *node) Wait(context.Context, int64, int32, int32) error {
	violate("never-blocks", "node %d: a request waits", n.id)
	return nil
}

// EpochEnd implements controller.Log.
func (n *node) EpochEnd(epoch int32) (found int32, end int64, ok bool) {
	for i := n.counted - 1; i >= 0; i-- {
		b := n.w.oracle.batches[i]
		if b.EndOffset() <= n.start {
			break
		}
		if b.LeaderEpoch() <= epoch {
			return b.LeaderEpoch(), b.EndOffset(), true
		}
	}
	return 0, 0, false
}

// Progress implements controller.Log: the model does not note it.
func (n *node) Progress(func(int32, records.UUID, bool, int64, time.Time, time.Time)) {}

// AddVoter implements controller.Log.
func (n *node) AddVoter(context.Context, int32, records.UUID, string) error { return errFixed }

// RemoveVoter implements controller.Log.
func (n *node) RemoveVoter(context.Context, int32, records.UUID) error { return errFixed }

// Voters implements controller.Log.
func (n *node) Voters() []records.Voter {
	var out []records.Voter
	for _, m := range n.settledMembers().voters {
		out = append(out, n.w.voters[m])
	}
	return out
}

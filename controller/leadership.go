package controller

import (
	"slices"
	"time"

	"yakt/controller/plan"
	"yakt/records"
)

// kraftVersion is the finalized kraft.version: the voter set lives in the log (KIP-853).
const kraftVersion = 1

// leadershipChanged looks at the log's state again. Signals may be lost or doubled: only the state counts.
func (c *Controller) leadershipChanged() {
	w := c.writer
	term, leading := c.log.Leading()
	switch {
	case leading && term != w.term:
		if since := c.clock().Sub(c.failed.at); term == c.failed.term && since >= 0 && since < c.failed.pause {
			return
		}
		c.standDown()
		c.takeOver(term)
	case !leading && w.term != 0:
		c.standDown()
	case leading && w.active:
		c.reportVoters()
	}
}

// takeOver makes this node the active controller: first everything that earlier leaders committed is applied, then the
// epoch is opened with a LeaderChange, then the log gets what it must have (bootstrap records). Requests are taken
// once all that is committed.
func (c *Controller) takeOver(term int32) {
	w := c.writer
	w.term = term
	c.logger.Info("elected; taking over", "epoch", term)
	c.log.Barrier(func(err error) {
		w.mail.post(func() {
			if w.term != term {
				return
			}
			if err != nil {
				c.takeOverFailed(term, err)
				return
			}
			c.activate(term)
		})
	})
}

func (c *Controller) activate(term int32) {
	w := c.writer
	if len(w.flights) > 0 {
		c.takeOverFailed(term, errUnsettled)
		return
	}
	w.abandon()
	now := w.clock()
	opening := c.opening(term)
	b := w.newBatch(now)
	for _, r := range opening {
		if err := b.AddControl(r); err != nil {
			panic(err)
		}
	}
	f := &flight{batch: true}
	f.operations = []*operation{{name: "LeaderChange", settled: func(err error) {
		if err != nil {
			c.takeOverFailed(term, err)
		}
	}}}
	w.flights = append(w.flights, f)
	w.append(b.Batch(), w.head, nil, w.settler(f))

	result := plan.Activation(&plan.View{Image: w.head, Now: now, NextOffset: w.head.EndOffset(), Sessions: w.sessions, Rand: w.rand, Settings: w.settings})
	last := f.operations[0]
	if len(result.Records) > 0 {
		last = &operation{name: "Activation"}
		w.write(last, result.Records)
	}
	last.settled = func(err error) {
		if err != nil {
			c.takeOverFailed(term, err)
			return
		}
		if w.term == term {
			c.activated()
		}
	}
}

// opening is the control batch that opens an epoch: LeaderChange, and what the log says of the quorum when that is missing or has changed.
func (c *Controller) opening(term int32) []records.ControlRecord {
	voters := c.log.Voters()
	ids := make([]int32, 0, len(voters))
	for _, v := range voters {
		ids = append(ids, v.ID)
	}
	slices.Sort(ids)
	out := []records.ControlRecord{&records.LeaderChange{LeaderID: c.nodeID, Voters: ids, GrantingVoters: []int32{c.nodeID}}}
	head := c.writer.head
	if head.KRaftVersion() != kraftVersion {
		out = append(out, &records.KRaftVersion{Version: kraftVersion})
	}
	if !sameVoters(head.Voters(), voters) {
		out = append(out, &records.KRaftVoters{Voters: voters})
	}
	return out
}

func sameVoters(known *records.KRaftVoters, now []records.Voter) bool {
	if known == nil {
		return false
	}
	return slices.EqualFunc(sortedVoters(known.Voters), sortedVoters(now), func(a, b records.Voter) bool {
		return a.ID == b.ID && a.DirectoryID == b.DirectoryID && a.MinKRaft == b.MinKRaft && a.MaxKRaft == b.MaxKRaft && slices.Equal(a.Endpoints, b.Endpoints)
	})
}

func sortedVoters(v []records.Voter) []records.Voter {
	return slices.SortedFunc(slices.Values(v), func(a, b records.Voter) int { return int(a.ID) - int(b.ID) })
}

// maxTakeOverPause is the longest pause between two attempts at a take-over: each may leave a LeaderChange in the log.
const maxTakeOverPause = 10 * time.Second

// failedTakeOver is the latest attempt that came to nothing.
type failedTakeOver struct {
	term  int32
	at    time.Time
	pause time.Duration // before the next one
}

// takeOverFailed leaves it to a later tick to look again: while this node stays elected it tries once more, later each time.
func (c *Controller) takeOverFailed(term int32, err error) {
	if c.writer.term != term {
		return
	}
	if c.failed.term != term {
		c.failed = failedTakeOver{term: term, pause: tickInterval / 2}
	}
	c.failed.at, c.failed.pause = c.clock(), min(2*c.failed.pause, maxTakeOverPause)
	c.logger.Warn("take-over failed; trying again while elected", "epoch", term, "pause", c.failed.pause, "err", err)
	c.writer.term = 0
}

func (c *Controller) activated() {
	w := c.writer
	now := w.clock()
	unfenced := map[int32]int64{}
	for b := range w.head.Brokers() {
		if !b.Fenced {
			unfenced[b.ID] = b.Epoch
		}
	}
	if !keepSessions {
		w.sessions.restart(unfenced, now)
	}
	c.lastTick, c.lastElection, c.lastBalance = now, now, now
	w.active = true
	c.activeTerm.Store(w.term)
	c.logger.Info("active controller", "epoch", w.term, "offset", w.head.EndOffset(), "brokers", len(unfenced))
	c.reportVoters()
}

// standDown lets go of leadership: what is waiting is refused, what is in flight is answered when it settles.
func (c *Controller) standDown() {
	w := c.writer
	if w.active {
		c.logger.Info("no longer the active controller", "epoch", w.term)
	}
	w.active, w.term = false, 0
	c.activeTerm.Store(0)
	w.refuse(w.queue)
	w.queue = nil
	w.abandon()
}

// reportVoters writes KRaftVoters when raft's members are no longer what the log says.
func (c *Controller) reportVoters() {
	w := c.writer
	voters := c.log.Voters()
	if !w.active || c.reportingVoters || sameVoters(w.head.Voters(), voters) {
		return
	}
	c.reportingVoters = true
	w.queue = append(w.queue, &operation{
		name:    "KRaftVoters",
		control: []records.ControlRecord{&records.KRaftVoters{Voters: voters}},
		settled: func(error) { c.reportingVoters = false },
	})
}

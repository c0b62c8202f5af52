package sim

import (
	"fmt"
	"time"

	"yakt/controller"
	"yakt/integration/linear/model"
	"yakt/records"
)

// This file is a model of raft: terms, votes, logs that leaders bring into line, commitment by a majority and by entries of
// the leader's own term. What it hands to the log above it is therefore what raft can hand over, no more and no less.
// A contact is a request and its response in one event; what networks do to them is modelled by not having it.

// entry is one entry of raft's log.
type entry struct {
	serial   uint64
	term     int32
	kind     entryKind
	batch    records.Batch
	who      []byte
	proposal *proposal // what the proposing process waits with; means nothing to others
	members  *membership
}

type entryKind int8

const (
	entryNoop entryKind = iota // every leader's first
	entryBarrier
	entryBatch
	entryMembers
)

// node is one controller process and what it has on disk.
type node struct {
	w  *world
	id int32

	// On disk.
	directory int32 // how many it has had before
	term      int32
	voted     int32 // in term; 0: nobody
	log       []*entry
	snapshots []snapshot
	start     int64       // offset at which the kept log begins
	changes   []int       // where in the log memberships are
	first     *membership // before any
	out       bool        // it is no member, or must not be any more; nobody starts it

	// Of the process.
	up          bool
	incarnation int
	pausedUntil time.Duration // the whole process stands still
	busyUntil   time.Duration // the controller's run loop does, while raft goes on
	deafUntil   time.Duration // every signal is lost
	slowUntil   time.Duration // its disk takes its time
	skew        time.Duration
	leading     bool
	led         int32 // the last term in which it did
	opened      int   // of a leader: where its first entry is
	pair        pair  // who leads, as published
	commit      int   // entries known to be agreed on
	applied     int   // entries applied
	counted     int   // batches of the oracle's log that are applied
	end         int64
	seq         records.Sequence
	held        []*entry                // what seq holds back
	match       map[int32]int           // of a leader: how far each follower's log agrees
	answered    map[int32]time.Duration // of a leader: when each follower answered last
	contacting  map[int32]bool
	heard       time.Duration // from a leader
	patience    time.Duration
	refusing    bool // a leadership transfer is going on

	inbox   []*proposal // on their way to raft
	appends []*proposal // whose outcome has not been told, in the order of Append
	pending map[string]bool

	ctl     *controller.Controller
	silence silence
	notify  func()
	checked any // the published image that was compared last
	reads   model.Reads
}

type pair struct{ id, epoch int32 }

func newNode(w *world, id int32) *node {
	n := &node{w: w, id: id, first: founders, pair: pair{-1, 0}}
	n.announce()
	return n
}

// after schedules an event of this process. It does not happen once the process is gone, and waits while it is stalled.
func (n *node) after(d time.Duration, run func()) {
	incarnation := n.incarnation
	n.w.serial++
	serial := n.w.serial
	var fire func()
	fire = func() {
		switch {
		case !n.up || n.incarnation != incarnation:
		case n.paused():
			// In the order in which they were scheduled, however often the process stalls meanwhile.
			n.w.schedule(n.pausedUntil, serial, fire)
		default:
			run()
		}
	}
	n.w.schedule(n.w.now+d, serial, fire)
}

// once schedules an event unless one of that name is waiting.
func (n *node) once(name string, d time.Duration, run func()) {
	if n.pending[name] {
		return
	}
	n.pending[name] = true
	n.after(d, func() {
		delete(n.pending, name)
		run()
	})
}

func (n *node) paused() bool { return n.w.now < n.pausedUntil }

// hears says whether what the other process sends now arrives.
func (n *node) hears(m *node) bool {
	return n.up && m.up && !n.paused() && !m.paused() && !n.w.cut[link{m.id, n.id}]
}

// reaches says whether the two processes hear each other now.
func (n *node) reaches(m *node) bool { return n.hears(m) && m.hears(n) }

// link is the way from one node to another.
type link struct{ from, to int32 }

// startRaft sets the process's timers.
func (n *node) startRaft() {
	n.leading, n.refusing = false, false
	n.pair = pair{-1, n.term}
	n.heard = n.w.now
	n.contacting = map[int32]bool{}
	n.patience = n.w.between(n.w.pace.election, 2*n.w.pace.election)
	n.electionTimer()
}

func (n *node) electionTimer() {
	n.after(n.w.around(n.w.pace.election/4), func() {
		switch {
		case n.leading:
			n.checkLease()
		case n.w.now-n.heard > n.patience && n.members().votes(n):
			n.campaign(n.w.happens(campaignForced))
		}
		n.electionTimer()
	})
}

// checkLease steps down when no majority has answered for a while.
func (n *node) checkLease() {
	if !n.quorum(func(m *node) bool { return n.w.now-n.answered[m.id] <= n.w.pace.election*4/5 }) {
		n.w.tracef("node %d: lease of term %d ran out", n.id, n.term)
		n.w.count("lease lost")
		n.stepDown()
	}
}

// upToDate says whether n's log may lead m's.
func (n *node) upToDate(m *node) bool {
	a, b := n.lastTerm(), m.lastTerm()
	return a > b || a == b && len(n.log) >= len(m.log)
}

func (n *node) lastTerm() int32 {
	if len(n.log) == 0 {
		return 0
	}
	return n.log[len(n.log)-1].term
}

// campaign asks for votes. Unless forced it asks first whether it would get them, so that it disturbs nobody in vain.
func (n *node) campaign(forced bool) {
	n.heard = n.w.now
	n.patience = n.w.between(n.w.pace.election, 2*n.w.pace.election)
	if !n.members().votes(n) || !forced && !n.quorum(func(m *node) bool {
		return n.reaches(m) && n.upToDate(m) && !m.leading && n.w.now-m.heard > n.w.pace.election/2 && m.members().votes(n)
	}) {
		return
	}
	term := n.term + 1
	if n.w.happens(termsSkipped) {
		term += int32(n.w.rand.IntN(3)) // terms in which nobody was elected
	}
	n.seeTerm(term)
	n.voted = n.id
	voted := map[*node]bool{}
	for _, m := range n.peers() {
		if !m.hears(n) || !n.members().votes(m) || !m.members().votes(n) {
			continue // who knows that the candidate is no voter does not even look at its term
		}
		if m.term > n.term {
			if n.hears(m) {
				n.seeTerm(m.term)
				return
			}
			continue
		}
		m.seeTerm(n.term)
		if (m.voted == 0 || m.voted == n.id) && n.upToDate(m) {
			m.voted = n.id
			voted[m] = n.hears(m) && !n.w.happens(voteLost)
		}
	}
	if !n.quorum(func(m *node) bool { return voted[m] }) {
		n.w.tracef("node %d: not elected in term %d", n.id, n.term)
		return
	}
	n.w.tracef("node %d: elected in term %d, log %d, committed %d", n.id, n.term, len(n.log), n.commit)
	n.w.count("elections")
	if other, ok := n.w.leaders[n.term]; ok {
		violate("one-leader-per-epoch", "nodes %d and %d lead term %d", other, n.id, n.term)
	}
	n.w.leaders[n.term] = n.id
	n.leading, n.refusing, n.led = true, false, n.term
	n.match, n.answered = map[int32]int{}, map[int32]time.Duration{}
	for _, m := range n.peers() {
		n.answered[m.id] = n.w.now
	}
	n.opened = len(n.log)
	n.appendEntry(&entry{kind: entryNoop})
	n.signal()
}

// seeTerm adopts a higher term.
func (n *node) seeTerm(term int32) {
	if term <= n.term {
		return
	}
	n.term, n.voted = term, 0
	n.pair = pair{-1, term}
	if n.leading {
		n.stepDown()
	}
	n.signal()
}

// stepDown gives leadership up. Whoever waits for an entry that is not committed is told that leadership was lost; the
// entry may yet be committed by the next leader.
func (n *node) stepDown() {
	n.leading, n.refusing = false, false
	n.heard = n.w.now
	if n.pair.id == n.id {
		n.pair.id = -1
	}
	n.w.tracef("node %d: steps down in term %d", n.id, n.term)
	n.w.count("step-downs")
	for i, e := range n.log[n.applied:] {
		if n.mine(e) && (n.applied+i >= n.commit || n.w.happens(outcomeUnknown)) {
			n.settle(e.proposal, errLeadershipLost)
		}
	}
	n.signal()
}

// mine says whether a process that lives waits for the entry here.
func (n *node) mine(e *entry) bool {
	return e.proposal != nil && e.proposal.node == n && e.proposal.incarnation == n.incarnation
}

// appendEntry is a leader's.
func (n *node) appendEntry(e *entry) {
	n.w.serial++
	e.serial, e.term = n.w.serial, n.term
	n.extend(e)
	for _, m := range n.peers() {
		n.contactSoon(m, n.w.between(500*time.Microsecond, 6*time.Millisecond))
	}
}

// contactSoon schedules the next contact with a follower unless one is under way.
func (n *node) contactSoon(m *node, d time.Duration) {
	if n.contacting[m.id] || !n.members().has(m) {
		return
	}
	n.contacting[m.id] = true
	n.after(d, func() {
		n.contacting[m.id] = false
		if !n.leading {
			return
		}
		if n.w.happens(contactLate) || n.w.now < m.slowUntil {
			n.contactLate(m)
		} else {
			n.contact(m)
		}
		if !n.leading {
			return
		}
		if len(m.log) < len(n.log) || m.commit < n.commit {
			n.contactSoon(m, n.w.between(time.Millisecond, n.w.pace.election/6))
		} else {
			n.contactSoon(m, n.w.around(n.w.pace.election/4))
		}
	})
}

// contactLate is a contact whose entries are those of now and that arrives later, perhaps after others. The leader may have been
// deposed, the follower be another process by then.
func (n *node) contactLate(m *node) {
	n.w.count("contacts late")
	term, log, commit := n.term, n.log[:len(n.log):len(n.log)], n.commit
	n.after(n.w.between(0, n.w.pace.election), func() {
		if m.hears(n) && m.follow(n, term, log) {
			at := m.agreeing(log)
			n.told(m, term, at)
			m.learn(min(commit, at))
		}
	})
}

// farBehind is how many entries raft would have let go of.
const farBehind = 2000

// contact is one AppendEntries and its answer, or a checkpoint.
func (n *node) contact(m *node) {
	if !m.hears(n) || n.w.happens(contactLost) || !m.follow(n, n.term, n.log) {
		return
	}
	at := m.agreeing(n.log)
	if k := len(n.snapshots); k > 0 && n.snapshots[k-1].applied > at && (n.w.happens(checkpointSent) || len(n.log)-at > farBehind) {
		n.install(m)
		at = max(at, n.snapshots[k-1].applied)
	} else if count := len(n.log) - at; count > 0 {
		if n.w.happens(entriesSplit) {
			count = 1 + n.w.rand.IntN(count)
		}
		m.extend(n.log[at : at+count]...)
		at += count
	}
	n.told(m, n.term, at)
	m.learn(min(n.commit, at))
}

// follow says whether the node takes entries of a leader, and takes off its log what contradicts them.
func (m *node) follow(n *node, term int32, log []*entry) bool {
	if m.term > term {
		if n.hears(m) {
			n.seeTerm(m.term)
		}
		return false
	}
	m.seeTerm(term)
	m.heard = n.w.now
	if m.pair != (pair{n.id, term}) {
		m.pair = pair{n.id, term}
		m.signal()
	}
	if at := m.agreeing(log); at < len(m.log) && at < len(log) {
		n.w.tracef("node %d: %d entries overwritten by node %d", m.id, len(m.log)-at, n.id)
		n.w.stats["entries lost"] += len(m.log) - at
		m.cutTo(at)
	}
	return true
}

// agreeing is how far the node's log is that of a leader.
func (m *node) agreeing(log []*entry) int {
	at := min(m.commit, len(log))
	for at < len(m.log) && at < len(log) && m.log[at].term == log[at].term {
		if m.log[at].serial != log[at].serial {
			panic(fmt.Sprintf("model: entry %d of term %d on node %d is not its leader's", at, m.log[at].term, m.id))
		}
		at++
	}
	return at
}

// told is a leader's: a follower's answer to what was sent in a term arrives, or not.
func (n *node) told(m *node, term int32, at int) {
	if !n.leading || n.term != term || !n.hears(m) {
		return
	}
	n.match[m.id] = max(n.match[m.id], at)
	n.answered[m.id] = n.w.now
	n.advance()
}

// advance commits what a majority has, up to an entry of the leader's own term.
func (n *node) advance() {
	for i := len(n.log); i > n.commit; i-- {
		if n.log[i-1].term != n.term {
			return
		}
		if n.quorum(func(m *node) bool { return n.match[m.id] >= i }) {
			before := n.commit
			n.w.agree(n.log[:i])
			n.learn(i)
			if k := len(n.changes); k > 0 && n.changes[k-1] >= before && n.changes[k-1] < i {
				n.membersCommitted(n.members())
			}
			return
		}
	}
}

// learn notes how much is committed.
func (n *node) learn(commit int) {
	if commit <= n.commit {
		return
	}
	n.commit = commit
	n.applySoon()
}

// agree extends what the quorum has agreed on.
func (w *world) agree(log []*entry) {
	if last := min(len(log), len(w.canon)) - 1; last >= 0 && w.canon[last] != log[last] {
		violate("acknowledged-survives", "the quorum agrees on an entry of term %d at %d where it had agreed on one of term %d", log[last].term, last, w.canon[last].term)
	}
	for i := len(w.canon); i < len(log); i++ {
		w.canon = append(w.canon, log[i])
		w.oracle.commit(log[i])
	}
}

package raftlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// How the leader lets nodes into the quorum: join.go's other side. One change of the membership at a time, and nobody
// votes before it has caught up: a voter counts at once, so an empty one would make a majority of those who have nothing.

const (
	// signOfLife is how long the leader waits for an old member to answer before another directory takes its node id.
	// A follower answers a heartbeat every tenth of a second or so.
	signOfLife = 3 * time.Second
	// changeTimeout is how long a change may wait for the one before it to be committed.
	changeTimeout = 5 * time.Second
	// promotionTick is how often it is looked at how far the non-voters are, while there are any.
	promotionTick = 100 * time.Millisecond
	// promotionLag is how far behind the leader, in time, a voter-to-be may be.
	promotionLag = time.Second
)

// serveJoin answers the one request of a connection that wants to join.
func (l *Log) serveJoin(ctx context.Context, c net.Conn, who hello) {
	now := time.Now() // it says at once what it wants
	if err := errors.Join(c.SetReadDeadline(now.Add(handshakeTimeout)), c.SetWriteDeadline(now.Add(joinTimeout))); err != nil {
		return
	}
	req, err := readJoinRequest(c)
	if err == io.EOF {
		return // it only wanted to know who we are
	}
	if err != nil {
		l.streams.complain("raftlog: a join request that cannot be read", "from", string(who.from), "err", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	a, waits := l.answerEmpty(who, req)
	switch {
	case waits:
	case req.what == joinHandOver:
		a = l.handOverTo(ctx, req.address)
	default:
		a = l.admit(ctx, who.from, req)
	}
	if a.outcome == joinRefused && req.wantsIn() {
		l.streams.complain("raftlog: refused to let a node in", "node", string(who.from), "address", req.address, "why", a.why)
	}
	if _, err := c.Write(a.append(nil)); err != nil {
		l.logger.Debug("raftlog: a join request was not answered", "from", string(who.from), "err", err)
	}
}

// admit decides on a join request, and carries it out if this node leads.
func (l *Log) admit(ctx context.Context, who raft.ServerID, req joinRequest) joinAnswer {
	select {
	case <-l.joinable:
	case <-ctx.Done():
		return notNow("starting")
	}
	if l.stopped() {
		return notNow("stopping")
	}
	node, _, err := splitServerID(who)
	if err != nil {
		return refused("%q is not a server id", who)
	}
	if _, _, err := splitHostPort(req.address); err != nil {
		return refused("the address %q cannot be reached", req.address)
	}
	if req.what == joinBegin { // it met this node while the directory was empty still
		return notNow("in a quorum since a moment ago")
	}
	if node == l.config.NodeID {
		return refused("node id %d is this node's own, with directory %s", node, l.identity.directory)
	}
	if req.what == joinMoved {
		return l.noteMove(who, node, req.address)
	}
	if _, leads := l.Leading(); !leads {
		return l.elsewhere()
	}
	done, err := l.beginChange(ctx)
	if err != nil {
		return notNow("%v", err)
	}
	defer done()
	if req.what == joinMember {
		return l.tellMember(who)
	}
	return l.change(ctx, who, node, req)
}

// beginChange waits for the change of the membership that is under way. The caller calls done after its own.
func (l *Log) beginChange(ctx context.Context) (done func(), err error) {
	select {
	case l.changing <- struct{}{}:
	case <-ctx.Done():
		return nil, errors.New("the membership is being changed")
	}
	// One that was deposed and does not know it yet must not refuse anybody for what it no longer knows.
	if err := l.wait(l.raft.VerifyLeader()); err != nil {
		<-l.changing
		return nil, errors.New("no longer the leader")
	}
	return func() { <-l.changing }, nil
}

func refused(format string, args ...any) joinAnswer {
	return joinAnswer{outcome: joinRefused, why: fmt.Sprintf(format, args...)}
}

func notNow(format string, args ...any) joinAnswer {
	return joinAnswer{outcome: joinNotNow, why: fmt.Sprintf(format, args...)}
}

// elsewhere names the leader to a joiner.
func (l *Log) elsewhere() joinAnswer {
	leader, _ := l.Leader()
	members, _ := l.membership()
	for _, s := range members.Servers {
		if node, _, err := splitServerID(s.ID); err == nil && node == leader && s.ID != l.self {
			return joinAnswer{outcome: joinElsewhere, leader: s.ID, address: l.streams.where(s.ID, string(s.Address))}
		}
	}
	return notNow("no leader is known")
}

// change lets a node in as a non-voter. The caller holds l.changing.
func (l *Log) change(ctx context.Context, who raft.ServerID, node int32, req joinRequest) joinAnswer {
	var old []raft.Server
	address := req.address
	members, index := l.membership()
	if index == 0 {
		return notNow("the members are not known yet")
	}
	for _, s := range members.Servers {
		n, directory, err := splitServerID(s.ID)
		switch {
		case err != nil:
			return refused("the quorum has a member without a usable name, %q", s.ID)
		case s.ID == who && s.Suffrage == raft.Voter && req.what == joinStay:
			return l.noteMove(who, node, req.address)
		case s.ID == who && s.Suffrage == raft.Voter && req.what == joinLetIn:
			// What this one has acknowledged is gone, and it must not vote as if it had it.
			return refused("directory %s has voted here and its log is gone: start node %d with an empty directory", directory, node)
		case s.ID == who: // it may have moved meanwhile; the address is its own to change (move.go)
			if a := l.noteMove(who, node, req.address); a.outcome != joinDone {
				return a
			}
			address = string(s.Address)
		case s.ID != who && n == node:
			switch up, known := l.alive(ctx, s.ID); {
			case !known:
				return notNow("it is not known whether directory %s is still up", directory)
			case up:
				return refused("node id %d is in use by directory %s at %s, which is up: give the new node another id", node, directory, s.Address)
			}
			old = append(old, s)
		case s.ID != who && string(s.Address) == req.address:
			return refused("the address %s is node %d's: give the new node one of its own", req.address, n)
		}
	}
	if l.config.Taken != nil && l.config.Taken(node) && !l.isMember(who) {
		return refused("node id %d is in use by a broker: give the new node another id", node)
	}
	if ctx.Err() != nil {
		return notNow("it took too long")
	}
	if req.what == joinMayI {
		return joinAnswer{outcome: joinDone}
	}
	// The directory that had the id is gone or emptied: its vote goes first, or one node would count twice. A quorum without it
	// has just confirmed this leader.
	for _, s := range old {
		l.logger.Warn("raftlog: a node comes back with another directory; the old member is removed", "old", string(s.ID), "new", string(who))
		change := l.raft.RemoveServer(s.ID, index, changeTimeout)
		if err := l.wait(change); err != nil {
			return notNow("remove %s: %v", s.ID, err)
		}
		index = change.Index()
	}
	l.logger.Info("raftlog: a node joins as a non-voter", "node", string(who), "address", address)
	// Also when it is one already: this answer has to mean that its membership is committed.
	if err := l.wait(l.raft.AddNonvoter(who, raft.ServerAddress(address), index, changeTimeout)); err != nil {
		return notNow("add %s: %v", who, err)
	}
	return joinAnswer{outcome: joinDone}
}

// alive waits a while for an answer of a member's; known is false when the wait was cut short.
func (l *Log) alive(ctx context.Context, id raft.ServerID) (up, known bool) {
	asked := time.Now()
	ticker := time.NewTicker(promotionTick)
	defer ticker.Stop()
	enough := time.After(signOfLife)
	for {
		if p, ok := l.peers.get(id); ok && p.answered.After(asked) {
			return true, true
		}
		select {
		case <-ticker.C:
		case <-enough:
			return false, true
		case <-ctx.Done():
			return false, false
		case <-l.closing:
			return false, false
		}
	}
}

// promoter makes voters of non-voters that have caught up, and leaders of voters that have moved, while this node leads.
func (l *Log) promoter() {
	var seen lag
	var handed time.Time
	for {
		var tick <-chan time.Time
		if term, leads := l.Leading(); !leads || !l.peers.of(uint64(term)) {
			seen = lag{}
			if leads && (l.hasNonvoters() || len(l.moved()) > 0) {
				tick = time.After(promotionTick)
			}
		} else if moved := len(l.moved()) > 0; moved || l.hasNonvoters() {
			last, _ := l.store.LastIndex()
			seen.note(time.Now(), last)
			l.promote(&seen)
			if moved && time.Since(handed) > signOfLife {
				if l.leadMoved(&seen) {
					handed = time.Now()
				}
			}
			tick = time.After(promotionTick)
		} else {
			seen = lag{}
		}
		select {
		case <-tick:
		case <-l.membersChanged:
		case <-l.closing:
			return
		}
	}
}

func (l *Log) hasNonvoters() bool {
	members, _ := l.membership()
	for _, s := range members.Servers {
		if s.Suffrage != raft.Voter {
			return true
		}
	}
	return false
}

// promote makes a voter of the first non-voter that is close enough.
func (l *Log) promote(seen *lag) {
	select {
	case l.changing <- struct{}{}:
		defer func() { <-l.changing }()
	default:
		return // at the next tick
	}
	members, index := l.membership()
	for _, s := range members.Servers {
		if s.Suffrage == raft.Voter || !l.hasCaughtUp(s.ID, seen) {
			continue
		}
		if err := l.letVote(s, index); err != nil {
			l.logger.Warn("raftlog: a node that has caught up does not vote yet", "node", string(s.ID), "err", err)
			return
		}
		l.logger.Info("raftlog: a node has caught up and votes now", "node", string(s.ID))
		return
	}
}

// hasCaughtUp reports whether a member has answered lately, and has all that the log had not longer ago than promotionLag.
func (l *Log) hasCaughtUp(id raft.ServerID, seen *lag) bool {
	p, ok := l.peers.get(id)
	return ok && p.match > 0 && time.Since(p.answered) <= promotionLag && seen.within(p.match)
}

// letVote makes a voter of a non-voter. raft hands the change to its followers first and counts the new voter's answers afterwards, so one that
// answers in between is not counted until there is another entry (1.8.0, appendConfigurationEntry). If the new voter is needed for the
// majority, a cluster in which nobody writes would wait for long: so an entry follows.
func (l *Log) letVote(s raft.Server, index uint64) error {
	change := l.raft.AddVoter(s.ID, s.Address, index, changeTimeout)
	another := time.AfterFunc(promotionTick, func() { l.raft.Barrier(changeTimeout) })
	defer another.Stop()
	return l.wait(change)
}

// lag remembers where the log ended lately, to tell how far behind in time an index is.
type lag struct {
	ends []endAt // oldest first
}

type endAt struct {
	at   time.Time
	last uint64
}

func (g *lag) note(now time.Time, last uint64) {
	g.ends = append(g.ends, endAt{now, last})
	for len(g.ends) > 1 && now.Sub(g.ends[0].at) > promotionLag {
		g.ends = g.ends[1:]
	}
}

// within says whether index was the end of the log not longer ago than promotionLag.
func (g *lag) within(index uint64) bool { return len(g.ends) > 0 && index >= g.ends[0].last }

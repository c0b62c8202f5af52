package raftlog

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// How a leader lets another voter lead: before it stops, when its disk is nearly full, when it is to be removed, or when it is asked to.
// Meanwhile raft refuses what is appended.

// transfer hands leadership over. raft's own choice may fall on a voter that is down; this takes one that has just answered.
func (l *Log) transfer() error {
	to, ok := l.successor()
	if !ok {
		return errors.New("raftlog: no other voter answers that could take leadership over")
	}
	return l.transferTo(to)
}

func (l *Log) transferTo(to raft.Server) error {
	return l.wait(l.raft.LeadershipTransferToServer(to.ID, to.Address))
}

// successor is the voter that is furthest of those that have answered lately.
func (l *Log) successor() (to raft.Server, ok bool) {
	var best peer
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		p, known := l.peers.get(s.ID)
		if s.Suffrage != raft.Voter || s.ID == l.self || !known || time.Since(p.answered) > recentAnswer {
			continue
		}
		if !ok || p.match > best.match {
			to, best, ok = s, p, true
		}
	}
	return to, ok
}

// recentAnswer is how long a follower counts as up after it has answered.
const recentAnswer = time.Second

// HandOver lets somebody else lead before this node stops, if somebody can, and returns when it is known to or after a second
// or two. Close does it too; whoever serves requests does it before it stops serving them.
func (l *Log) HandOver() {
	term, leads := l.Leading()
	if !leads || l.stopped() || l.soleVoter() {
		return
	}
	if err := l.transfer(); err != nil {
		l.logger.Warn("raftlog: leadership was not handed over before the stop", "err", err)
		return
	}
	// This node's vote may be the one that the next leader needs: it stays until that one is heard.
	l.awaitLeaderAfter(term)
}

// awaitLeaderAfter waits, for a second at most, until who leads next has been heard.
func (l *Log) awaitLeaderAfter(term int32) (heard bool) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for start := time.Now(); time.Since(start) < recentAnswer; <-ticker.C {
		if id, epoch := l.Leader(); id >= 0 && epoch > term {
			return true
		}
	}
	return false
}

// handOverTo does what AskHandover asks for.
func (l *Log) handOverTo(ctx context.Context, argument string) joinAnswer {
	term, leads := l.Leading()
	if !leads {
		return l.elsewhere()
	}
	done, err := l.beginChange(ctx) // of the membership: raft refuses one meanwhile
	if err != nil {
		return notNow("%v", err)
	}
	defer done()
	to, a := l.handOverCandidate(argument)
	if to.ID == "" {
		return a
	}
	l.logger.Info("raftlog: leadership is handed over, as asked", "to", string(to.ID))
	if err := l.transferTo(to); err != nil {
		return notNow("%v", err)
	}
	if !l.awaitLeaderAfter(term) {
		return notNow("this node leads no longer, and the next leader is not known yet")
	}
	next := l.elsewhere()
	if next.outcome == joinElsewhere {
		next.outcome = joinDone
	}
	return next
}

// handOverCandidate is who is to lead next, or why there is none.
func (l *Log) handOverCandidate(argument string) (raft.Server, joinAnswer) {
	if argument == "" {
		if to, ok := l.successor(); ok {
			return to, joinAnswer{}
		}
		return raft.Server{}, notNow("no other voter answers that could take leadership over")
	}
	members, _ := l.membership()
	for _, s := range members.Servers {
		node, _, err := splitServerID(s.ID)
		switch {
		case err != nil || strconv.Itoa(int(node)) != argument || s.Suffrage != raft.Voter:
			continue
		case s.ID == l.self:
			return raft.Server{}, refused("node %d leads already", node)
		}
		if p, ok := l.peers.get(s.ID); !ok || time.Since(p.answered) > recentAnswer {
			return raft.Server{}, notNow("node %d does not answer", node)
		}
		return s, joinAnswer{}
	}
	return raft.Server{}, refused("node %s is no voter of the quorum", argument)
}

package raftlog

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// raft pauses longer with each failure of its replication to a follower, up to ten seconds, and nothing ends the pause: a follower that
// was down for a minute is back for up to ten seconds before it is sent anything, and whoever restarts one node after another has no majority
// if the next one goes then. Its heartbeats, which run beside, pause for half an election timeout at most. So replication to
// a follower that did not answer the last heartbeat is not tried, and does not fail: it waits here until one is answered.

// reachPause is how often who waits looks whether there still is something to wait for.
const reachPause = 100 * time.Millisecond

// reach knows which followers did not answer the last heartbeat.
type reach struct {
	mu     sync.Mutex
	silent map[raft.ServerID]chan struct{} // closed when it answers
}

// note takes the outcome of a request in.
func (r *reach) note(id raft.ServerID, req *raft.AppendEntriesRequest, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answers, silent := r.silent[id]
	switch {
	case err == nil && silent:
		close(answers)
		delete(r.silent, id)
	case err != nil && !silent && isHeartbeat(req):
		r.silent[id] = make(chan struct{})
	}
}

// answering returns a channel that is closed when the follower answers, nil if it does.
func (r *reach) answering(id raft.ServerID) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.silent[id]
}

var errNotMember = errors.New("raftlog: not a member any more")

// maySendTo is maySend once the follower can be reached. Who was removed is told so if it can, and not waited for.
func (t *transport) maySendTo(id raft.ServerID, term uint64) error {
	answers := t.reach.answering(id)
	if answers == nil {
		return t.maySend(term)
	}
	tick := time.NewTicker(reachPause)
	defer tick.Stop()
	for {
		if err := t.maySend(term); err != nil {
			return err
		}
		if !t.member(id) {
			return errNotMember
		}
		select {
		case <-answers:
			return t.maySend(term)
		case <-tick.C:
		case <-t.done:
			return ErrClosed
		}
	}
}

// isHeartbeat says whether raft sends the request for nothing but being heard.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return req.PrevLogEntry == 0 && req.PrevLogTerm == 0 && len(req.Entries) == 0 && req.LeaderCommitIndex == 0
}

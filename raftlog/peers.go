package raftlog

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// peers knows how far each follower is, from what it answered to this leader.
type peers struct {
	lastIndex func() uint64
	mu        sync.Mutex
	term      uint64 // in which they answered
	known     map[raft.ServerID]peer
}

type peer struct {
	match    uint64    // the last entry it is known to have
	answered time.Time // when it last answered
	caughtUp time.Time // when the request was sent with whose answer it had all we had
}

func newPeers(lastIndex func() uint64) *peers {
	return &peers{lastIndex: lastIndex, known: map[raft.ServerID]peer{}}
}

func (p *peers) answered(id raft.ServerID, asked time.Time, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case req.Term < p.term:
		return
	case req.Term > p.term:
		p.term = req.Term
		clear(p.known)
	}
	k := p.known[id]
	k.answered = now
	if match := req.PrevLogEntry + uint64(len(req.Entries)); resp.Success && match > 0 { // a heartbeat names no entry
		k.match = max(k.match, match)
		if k.match >= p.lastIndex() {
			k.caughtUp = asked
		}
	}
	p.known[id] = k
}

func (p *peers) get(id raft.ServerID) (peer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.known[id]
	return k, ok
}

// of reports whether what is known was answered to the leader of this term. What was matched in another may have been
// overruled since.
func (p *peers) of(term uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.term == term
}

// begin forgets what was answered in earlier terms.
func (p *peers) begin(term uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if term > p.term {
		p.term = term
		clear(p.known)
	}
}

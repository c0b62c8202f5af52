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

// reset forgets everything: a new term of leadership has begun, and what was matched may have been overruled since.
func (p *peers) reset() {
	p.mu.Lock()
	clear(p.known)
	p.mu.Unlock()
}

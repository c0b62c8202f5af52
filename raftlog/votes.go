package raftlog

import (
	"math"
	"slices"

	"github.com/hashicorp/raft"
)

// raft gives its vote, and its pre-vote, to nobody but the voters of the configuration that it knows last. A voter that lags has not
// heard of whoever was let in meanwhile. If the quorum then loses another voter, those two are the majority, the one that lags lacks
// entries, the other one gets no vote, and nobody leads ever again.
//
// Raft itself has no such rule: "a server accepts ... a RequestVote request from a candidate that is not part of the server's latest
// configuration" (Ongaro's thesis, 4.1). What makes an election safe is that majorities of the candidate's configuration overlap with those of
// the one before it, and that who votes has no entry that the candidate lacks. So a candidate whose log is at least as long as this node's is
// passed on to raft without the name by which raft would refuse it. All else is left to raft: whether a leader is known, the
// term, one vote a term (which it remembers by the address, and that holds the candidate's id here), the log once more.
//
// Who was removed, and has not been told, is refused as ever, before raft looks at its term: who refuses it has the entry that
// removed it, and it has not.

// introduce makes raft judge a candidate that this node does not know for a voter by its log alone. It runs before raft sees
// the request, on the one goroutine that passes requests to raft: nothing is appended meanwhile but by a leader, which votes for nobody.
func (l *Log) introduce(request any) {
	var header *raft.RPCHeader
	var index, term uint64
	switch req := request.(type) {
	case *raft.RequestVoteRequest:
		header, index, term = &req.RPCHeader, req.LastLogIndex, req.LastLogTerm
	case *raft.RequestPreVoteRequest:
		header, index, term = &req.RPCHeader, req.LastLogIndex, req.LastLogTerm
	default:
		return
	}
	who := raft.ServerID(header.ID)
	servers := l.raft.GetConfiguration().Configuration().Servers
	votes := func(s raft.Server) bool { return s.Suffrage == raft.Voter }
	known := slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == who && votes(s) })
	voter := slices.IndexFunc(servers, votes)
	if known || voter < 0 {
		return
	}
	if ownIndex, ownTerm := l.lastEntry(); term < ownTerm || term == ownTerm && index < ownIndex {
		return
	}
	l.logger.Info("raftlog: a candidate that this node has not heard of is judged by its log", "candidate", string(who), "index", index, "term", term)
	if _, ok := request.(*raft.RequestVoteRequest); ok {
		header.ID = nil // raft asks nothing about members then
	} else {
		header.ID = []byte(servers[voter].ID) // here it always asks, and does nothing else with the name
	}
}

// lastEntry is the index and the term of the last entry in the log, or in the snapshot that is all there is. An entry that cannot be read is
// of a term that nobody reaches.
func (l *Log) lastEntry() (index, term uint64) {
	index = l.raft.LastIndex()
	if index == 0 {
		return 0, 0
	}
	var e raft.Log
	if err := l.store.entry(index, &e); err == nil {
		return index, e.Term
	}
	if c, ok := l.snapshots.newest(); ok && c.row.Index == index {
		return index, c.row.Term
	}
	return index, math.MaxUint64
}

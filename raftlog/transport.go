package raftlog

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A transport is what this package puts between raft and raft's own network transport:
//
//   - An RPC is for a server id, not only for an address: the id travels to the stream layer, which refuses a connection
//     to anybody else (handshake.go).
//   - Every AppendEntries or InstallSnapshot that this node answers with the sender's own term tells who leads that term.
//     Nothing else does so without a race (architecture.md §2).
//   - Every answer of a follower tells how far it is.
//   - RequestPreVote is passed on: raft switches pre-vote off, silently, for a transport that lacks it. But who knows that it was
//     removed asks nobody.
//   - A voter that lags gives its vote to a candidate that it has not heard of (votes.go).
//   - A leader whose disk hangs sends nothing.
//   - Nor does one that was deposed. raft's replication to a follower that cannot be reached may wait for ten seconds before it looks whether it
//     has to stop, and then it sends, in the old term, what the log has by then, the next leader's entries and snapshots included. A follower that
//     has not heard of the next term takes them, and may have a snapshot then that the next leader finds no way on from.
//   - What is for a follower that cannot be reached waits until it can (reach.go).
//   - A voter can be told to stand for election at once.
//
// Heartbeats do not take raft's fast path, which handles them on the connection's goroutine beside raft's main one: a
// heartbeat of term T+1 in the instant in which the main goroutine counts the last vote for T would make it leader of
// T+1, which somebody else leads. Through the queue, only the main goroutine ever changes term and state. The price is
// that a follower's disk can delay its answer to a heartbeat; pre-vote keeps that from costing an election.
type transport struct {
	inner    *raft.NetworkTransport
	streams  *streams
	addr     raft.ServerAddress
	rpcs     chan raft.RPC
	leads    func(id raft.ServerID, term uint64, addr []byte)
	outcast  func() bool
	peers    *peers
	hangs    func() bool // whether this node's disk does
	incoming func(any)   // sees a request before raft does
	leading  func() (term int32, leads bool)
	member   func(id raft.ServerID) bool
	reach    reach
	patience time.Duration // with a leader that is silent
	logger   *slog.Logger
	ready    chan struct{} // closed when the log can be told who leads; RPCs wait until then
	done     chan struct{}
	stopped  sync.WaitGroup
	once     sync.Once
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

var (
	errDiskHangs = errors.New("raftlog: the disk hangs")
	errDeposed   = errors.New("raftlog: no longer the leader of this term")
)

// newTransport serves RPCs that come in over stream. leads is called, from one goroutine, with whoever is known to lead a term,
// and with what EncodePeer made of its address. While outcast, nobody is asked for a vote.
func newTransport(stream *streams, addr string, peers *peers, leads func(raft.ServerID, uint64, []byte), outcast func() bool,
	patience time.Duration, logger *slog.Logger) *transport {
	t := &transport{
		inner: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: stream, MaxPool: 3, Timeout: 10 * time.Second, Logger: newRaftLogger(logger), MsgpackUseNewTimeFormat: true,
		}),
		streams: stream, addr: raft.ServerAddress(addr), rpcs: make(chan raft.RPC), leads: leads, outcast: outcast, peers: peers,
		patience: patience, logger: logger, hangs: func() bool { return false }, incoming: func(any) {}, leading: func() (int32, bool) { return 0, false },
		member: func(raft.ServerID) bool { return true }, reach: reach{silent: map[raft.ServerID]chan struct{}{}},
		ready: make(chan struct{}), done: make(chan struct{}),
	}
	t.stopped.Go(t.pump)
	return t
}

// pump hands RPCs to raft one by one, as raft takes them, and looks at the answers on their way back.
func (t *transport) pump() {
	select {
	case <-t.ready:
	case <-t.done:
		return
	}
	for {
		var rpc raft.RPC
		select {
		case rpc = <-t.inner.Consumer():
		case <-t.done:
			return
		}
		if !t.pass(rpc) {
			return
		}
	}
}

// pass has raft answer one RPC; false when the transport is closed.
func (t *transport) pass(rpc raft.RPC) bool {
	t.incoming(rpc.Command)
	answer := make(chan raft.RPCResponse, 1)
	asked := raft.RPC{Command: rpc.Command, Reader: rpc.Reader, RespChan: answer}
	defer t.watchInstall(&asked)()
	select {
	case t.rpcs <- asked:
	case <-t.done:
		return false
	}
	select {
	case a := <-answer:
		if leader, term, ok := leaderOf(rpc.Command, a.Response); ok {
			t.leads(raft.ServerID(leader.ID), term, leader.Addr)
		}
		rpc.RespChan <- a // has room for one
		return true
	case <-t.done:
		return false
	}
}

// leaderOf returns who sent an AppendEntries or InstallSnapshot, if the answer shows that its term was accepted.
func leaderOf(request, response any) (leader raft.RPCHeader, term uint64, ok bool) {
	switch req := request.(type) {
	case *raft.AppendEntriesRequest:
		resp, ok := response.(*raft.AppendEntriesResponse)
		return req.RPCHeader, req.Term, ok && resp.Term == req.Term
	case *raft.InstallSnapshotRequest:
		resp, ok := response.(*raft.InstallSnapshotResponse)
		return req.RPCHeader, req.Term, ok && resp.Term == req.Term
	}
	return leader, 0, false
}

// electSelf makes raft stand for election now instead of after a second or two of silence: for a sole voter, and for one that has found the
// leader's process gone (detector.go).
func (t *transport) electSelf() {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}
	answer := make(chan raft.RPCResponse, 1)
	select {
	case t.rpcs <- raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: header}, RespChan: answer}:
	case <-t.done:
	}
}

// target is the address under which the stream layer finds both whom to dial and where.
func target(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + "@" + addr
}

func splitTarget(t raft.ServerAddress) (id raft.ServerID, addr string, ok bool) {
	before, after, ok := strings.Cut(string(t), "@")
	return raft.ServerID(before), after, ok
}

func (t *transport) Consumer() <-chan raft.RPC     { return t.rpcs }
func (t *transport) LocalAddr() raft.ServerAddress { return t.addr }

// EncodePeer implements raft.Transport. raft tells by these bytes for whom a vote was: an address may be another node's by now.
func (t *transport) EncodePeer(id raft.ServerID, addr raft.ServerAddress) []byte {
	return []byte(target(id, addr))
}
func (t *transport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler does nothing, see above.
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// maySend says whether this node may send as the leader of a term. What raft has put into a request before was the log of that leader, if it
// still is.
func (t *transport) maySend(term uint64) error {
	select {
	case <-t.ready:
	default:
		return errDeposed // raft has only just been started
	}
	if t.hangs() {
		return errDiskHangs
	}
	if now, leads := t.leading(); !leads || uint64(now) != term {
		return errDeposed
	}
	return nil
}

func (t *transport) AppendEntries(id raft.ServerID, addr raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	may := t.maySend
	if !isHeartbeat(req) {
		may = func(term uint64) error { return t.maySendTo(id, term) }
	}
	if err := may(req.Term); err != nil {
		return err
	}
	start := time.Now()
	err := t.inner.AppendEntries(id, target(id, addr), req, resp)
	t.reach.note(id, req, err)
	if err == nil {
		t.peers.answered(id, start, req, resp)
	}
	return err
}

func (t *transport) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.inner.AppendEntriesPipeline(id, target(id, addr))
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, maySend: t.maySend, answers: make(chan raft.AppendFuture), done: make(chan struct{})}
	p.stopped.Go(func() { p.relay(id, t.peers) })
	return p, nil
}

func (t *transport) RequestVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.inner.RequestVote(id, target(id, addr), req, resp)
}

func (t *transport) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if t.outcast() {
		resp.Term, resp.Granted = req.Term, false // as everybody would answer
		return nil
	}
	return t.inner.RequestPreVote(id, target(id, addr), req, resp)
}

func (t *transport) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := t.maySendTo(id, req.Term); err != nil {
		return err
	}
	return t.inner.InstallSnapshot(id, target(id, addr), req, resp, data)
}

func (t *transport) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.inner.TimeoutNow(id, target(id, addr), req, resp)
}

// Close ends all connections. raft calls it too, when it has shut down.
func (t *transport) Close() error {
	t.once.Do(func() {
		close(t.done)
		t.inner.Close()
		t.inner.CloseStreams()
		t.stopped.Wait()
	})
	return nil
}

// A pipeline looks at the answers of raft's pipeline on their way to raft.
type pipeline struct {
	raft.AppendPipeline
	maySend func(term uint64) error
	answers chan raft.AppendFuture
	done    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
}

func (p *pipeline) relay(id raft.ServerID, peers *peers) {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			if f.Error() == nil {
				peers.answered(id, f.Start(), f.Request(), f.Response())
			}
			select {
			case p.answers <- f:
			case <-p.done:
				return
			}
		case <-p.done:
			return
		}
	}
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := p.maySend(req.Term); err != nil {
		return nil, err
	}
	return p.AppendPipeline.AppendEntries(req, resp)
}

func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

func (p *pipeline) Close() error {
	err := p.AppendPipeline.Close()
	p.once.Do(func() { close(p.done) })
	p.stopped.Wait()
	return err
}

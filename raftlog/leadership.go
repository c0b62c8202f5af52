package raftlog

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// Two different questions are answered here. Leading: has raft elected this node, and for which term? Leader: which pair
// (leader, epoch) may brokers be told? For the second, two answers with the same epoch and different leaders would stop
// every broker that hears both, so a pair is published only from proof and never changes within its epoch.

// leaders is the published pair.
type leaders struct {
	mu    sync.Mutex
	id    int32 // -1: not known
	epoch int32
	last  struct{ id, epoch int32 } // the last pair that named a leader
	watch func(id, epoch int32)     // for tests: told of every pair
}

// publish makes (id, epoch) the pair if that is news, and says whether it was.
func (p *leaders) publish(id, epoch int32) (news bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case epoch < p.epoch, epoch == p.epoch && (id == p.id || id == -1):
		return false, nil
	case epoch == p.epoch && p.id != -1:
		return false, fmt.Errorf("raftlog: nodes %d and %d both claim to lead epoch %d", p.id, id, epoch)
	}
	p.id, p.epoch = id, epoch
	if id != -1 {
		p.last.id, p.last.epoch = id, epoch
	}
	if p.watch != nil {
		p.watch(id, epoch)
	}
	return true, nil
}

func (p *leaders) get() (id, epoch int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id, p.epoch
}

// latest is the last pair that named a leader; epoch 0: none has yet.
func (p *leaders) latest() (id, epoch int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.id, p.last.epoch
}

// publish passes a pair on to whoever waits for it.
func (l *Log) publish(id, epoch int32) {
	news, err := l.leaders.publish(id, epoch)
	switch {
	case err != nil:
		l.logger.Error(err.Error())
	case news:
		if id != -1 {
			l.logger.Info("raftlog: the leader is known", "leader", id, "epoch", epoch)
		}
		l.advanced()
		l.wake()
	}
}

// Leading returns the term this node has been elected for, or ok = false.
//
// raft changes term and state on its main goroutine only (transport.go sees to that), and leaves the leader's state
// before it takes up a higher term: a leader's state seen between two equal terms is of that term.
func (l *Log) Leading() (term int32, ok bool) {
	for {
		before := l.raft.CurrentTerm()
		state := l.raft.State()
		if l.raft.CurrentTerm() == before {
			return int32(before), state == raft.Leader
		}
	}
}

// Leader returns the pair that brokers are told: -1 while nobody is known to lead the epoch. It is this node only after
// its own LeaderChange of that epoch was applied here.
func (l *Log) Leader() (id int32, epoch int32) { return l.leaders.get() }

// Notify sets a function that is called whenever Leading, Leader or Voters may have changed, and once right away. It runs
// on a goroutine of the log's and must not block.
func (l *Log) Notify(f func()) {
	l.mu.Lock()
	l.notify = f
	l.mu.Unlock()
	l.wake()
}

// wake has the function of Notify called. Never blocks; several calls may become one.
func (l *Log) wake() { signal(l.woken) }

// notifier calls the function of Notify.
func (l *Log) notifier() {
	var led int32
	for {
		select {
		case <-l.woken:
		case <-l.closing:
			return
		}
		if term, ok := l.Leading(); ok && term != led {
			led = term
			l.peers.begin(uint64(term))
			l.mu.Lock()
			l.heardFrom = ""
			l.mu.Unlock()
			l.logger.Info("raftlog: elected", "epoch", term)
			signal(l.elected)
			signal(l.membersChanged)
		} else if !ok && led != 0 {
			l.logger.Info("raftlog: no longer the leader", "epoch", led)
			led = 0
		}
		l.mu.Lock()
		f := l.notify
		l.mu.Unlock()
		if f != nil {
			f()
		}
	}
}

// heard is told by the transport who leads a term, and where that node says that it is: a broker keeps the first address
// that it is told for as long as the epoch lasts.
func (l *Log) heard(id raft.ServerID, term uint64, addr []byte) {
	node, _, err := splitServerID(id)
	if err != nil {
		l.logger.Error("raftlog: a leader without a name", "err", err)
		return
	}
	if known, epoch := l.Leader(); known == node && epoch == int32(term) {
		return
	}
	if _, at, ok := splitTarget(raft.ServerAddress(addr)); ok {
		l.rememberAddress(id, at)
		l.mu.Lock()
		l.heardFrom, l.heardAt = id, at
		l.mu.Unlock()
	}
	l.publish(node, int32(term))
}

// newTerm is told by the store that a term has begun for this node.
func (l *Log) newTerm(term uint64) { l.publish(-1, int32(term)) }

// tookOver is told by the fsm that a LeaderChange was applied.
func (l *Log) tookOver(id, epoch int32) {
	if term, ok := l.Leading(); ok && term == epoch && id == l.config.NodeID {
		l.publish(id, epoch)
	}
}

// serverID is raft's name for a node: a directory that was emptied comes back under another one.
func serverID(node int32, directory records.UUID) raft.ServerID {
	return raft.ServerID(strconv.Itoa(int(node)) + ":" + directory.String())
}

func splitServerID(id raft.ServerID) (node int32, directory records.UUID, err error) {
	n, d, ok := strings.Cut(string(id), ":")
	number, err := strconv.ParseInt(n, 10, 32)
	if err != nil || !ok {
		return 0, directory, fmt.Errorf("raftlog: %q is no server id", id)
	}
	directory, err = records.ParseUUID(d)
	return int32(number), directory, err
}

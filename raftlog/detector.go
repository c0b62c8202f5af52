package raftlog

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// A detector of leaders whose process has ended. raft waits for heartbeats that do not come, because from silence alone
// nobody can tell a dead leader from a slow one. But a process that ends takes its connections with it and leaves a port
// at which nobody listens: the operating system says so at once, and says it only of processes that are gone. So when a
// connection from the leader ends, a voter knocks at the leader's port, and if it is refused, stands for election
// without waiting. A machine that disappears, a stopped process and a cut network refuse nothing; those are raft's.
//
// Being wrong costs an election, never data: votes are counted as ever. docs/decisions/0011.

const (
	// knocks is how often a leader's port is tried: a dying process may still listen when its first connection ends.
	knocks = 4
	// knockPause is the time between two of them.
	knockPause = 20 * time.Millisecond
	// knockTimeout is how long one may take. A machine that answers at all refuses at once.
	knockTimeout = 200 * time.Millisecond
	// turn is how long each voter lets the one before it try, in the order of their ids: an election takes a round trip
	// and two synced writes.
	turn = 200 * time.Millisecond
)

// ended is told by the stream layer that a connection which another node opened has ended.
func (l *Log) ended(from raft.ServerID) {
	select {
	case l.lost <- from:
	default: // the detector is busy, with that node or with its successor
	}
}

// detector stands for election when the leader's process has ended.
func (l *Log) detector() {
	var mourned int32 // the epoch whose leader was found gone last: each of its connections ends
	for {
		select {
		case from := <-l.lost:
			if leader, epoch, ok := l.leaderBy(from); ok && epoch > mourned && l.gone(leader, epoch) {
				mourned = epoch
				l.succeed(leader, epoch)
			}
		case <-l.closing:
			return
		}
	}
}

// leaderBy returns the last known leader as a member, if that is who id names. Another voter may have noticed earlier and
// have begun the next epoch already.
func (l *Log) leaderBy(id raft.ServerID) (leader raft.Server, epoch int32, ok bool) {
	node, epoch := l.leaders.latest()
	if from, _, err := splitServerID(id); err != nil || from != node || node == l.config.NodeID {
		return leader, epoch, false
	}
	members, _ := l.membership()
	i := slices.IndexFunc(members.Servers, func(s raft.Server) bool { return s.ID == id })
	if i < 0 {
		return leader, epoch, false
	}
	return members.Servers[i], epoch, true
}

// gone reports whether nobody listens where the leader of this epoch was.
func (l *Log) gone(leader raft.Server, epoch int32) bool {
	for range knocks {
		if _, now := l.leaders.latest(); now != epoch || l.config.Dial == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), knockTimeout)
		c, err := l.config.Dial(ctx, l.streams.where(leader.ID, string(leader.Address)))
		cancel()
		if err != nil {
			return errors.Is(err, syscall.ECONNREFUSED)
		}
		c.Close()
		if !l.pause(knockPause) {
			return false
		}
	}
	return false
}

// succeed makes this node a candidate, in its turn and unless somebody has been elected by then.
func (l *Log) succeed(leader raft.Server, epoch int32) {
	before, votes := 0, false
	// Who was removed has heard so at most: it is not told when that is committed.
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		votes = votes || s.ID == l.self && s.Suffrage == raft.Voter
		if s.Suffrage == raft.Voter && s.ID != leader.ID && s.ID < l.self {
			before++
		}
	}
	if !votes || l.outcast.Load() || !l.pause(time.Duration(before)*turn) {
		return
	}
	if _, now := l.leaders.latest(); now > epoch {
		return
	}
	if _, leads := l.Leading(); leads {
		return
	}
	l.logger.Info("raftlog: the leader's process has ended: standing for election", "leader", string(leader.ID), "epoch", epoch)
	l.transport.electSelf()
}

// pause waits; false when the log is being closed.
func (l *Log) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-l.closing:
		return false
	}
}

package raftlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// Members added and removed by hand, on the leader. Adding goes the way of a join (admit.go), with the leader looking first
// who answers at the address. Both name the configuration that they change, so that raft refuses if it is no longer that one.
//
// A node that is removed is sent the entry that says so, once, and nothing after it; one that was down asks (watchMembership).
// It cannot disturb: voters answer a pre-vote only to members and to whose log is as long as theirs, and a node that has the entry elects nobody. It asks nobody
// to be let in again either (join.go). Its directory stays whole, so that it may be added again as who it was.

// AddVoter lets a running node into the quorum, as a non-voter: it votes once it has caught up, by the promoter. It returns when
// that it was let in is committed. The error is os.ErrInvalid if asking again is of no use.
func (l *Log) AddVoter(ctx context.Context, id int32, directory records.UUID, address string) error {
	who := serverID(id, directory)
	if _, leads := l.Leading(); !leads {
		return errNotLeading
	}
	if who != l.self {
		if err := l.meet(ctx, who, address); err != nil {
			return err
		}
	}
	switch a := l.admit(ctx, who, joinRequest{what: joinStay, address: address}); a.outcome {
	case joinDone:
		return nil
	case joinRefused:
		return errRefused{a.why}
	case joinElsewhere:
		return errNotLeading
	default:
		return errors.New("raftlog: not now: " + a.why)
	}
}

var errNotLeading = errors.New("raftlog: this node does not lead")

// meet sees to it that the server with this name answers at an address.
func (l *Log) meet(ctx context.Context, who raft.ServerID, address string) error {
	l.streams.remember(who, address, address) // wherever it was once
	c, err := l.streams.connect(ctx, target(who, raft.ServerAddress(address)), handshakeTimeout)
	if err != nil {
		return err
	}
	return c.Close()
}

// RemoveVoter takes a member out of the quorum, a voter or one that does not vote yet, and returns when that is committed.
// The error is os.ErrInvalid if asking again is of no use. A leader that is to remove itself hands leadership over instead, and the next one has to be asked:
// raft would have it lead on until its own removal is committed, and the others wait for an election after that.
func (l *Log) RemoveVoter(ctx context.Context, id int32, directory records.UUID) error {
	who := serverID(id, directory)
	term, leads := l.Leading()
	if !leads {
		return errNotLeading
	}
	done, err := l.beginChange(ctx)
	if err != nil {
		return fmt.Errorf("raftlog: not now: %w", err)
	}
	defer done()
	members, index := l.membership()
	if err := l.mayRemove(members, who); err != nil {
		return err
	}
	if who == l.self {
		if err := l.transfer(); err != nil {
			return err
		}
		l.awaitLeaderAfter(term)
		return errNotLeading
	}
	l.logger.Info("raftlog: a node is removed from the quorum", "node", string(who))
	if err := l.wait(l.raft.RemoveServer(who, index, changeTimeout)); err != nil {
		return fmt.Errorf("raftlog: not now: remove %s: %w", who, err)
	}
	return nil
}

// mayRemove refuses what would leave no quorum, or one that could not go on.
func (l *Log) mayRemove(members raft.Configuration, who raft.ServerID) error {
	found, votes := false, false
	left, up := 0, 0
	for _, s := range members.Servers {
		switch {
		case s.ID == who:
			found, votes = true, s.Suffrage == raft.Voter
		case s.Suffrage == raft.Voter:
			left++
			if p, ok := l.peers.get(s.ID); s.ID == l.self || ok && time.Since(p.answered) < signOfLife {
				up++
			}
		}
	}
	switch {
	case !found:
		return errRefused{fmt.Sprintf("%s is not a member of the quorum", who)}
	case left == 0:
		return errRefused{fmt.Sprintf("%s is the only voter there is", who)}
	case votes && up < left/2+1:
		return fmt.Errorf("raftlog: not now: of the %d voters that would be left only %d answer, which is no majority: start the others, or remove them first", left, up)
	}
	return nil
}

const (
	// membershipInterval is how often it is looked at whether this node is still a member.
	membershipInterval = time.Second
	// lonelyAfter is how long a voter hears no leader before it asks whether it is one still, and how often then.
	lonelyAfter = 10 * time.Second
)

// watchMembership says once when this node is no longer a member.
func (l *Log) watchMembership() {
	ticker := time.NewTicker(membershipInterval)
	defer ticker.Stop()
	member, asked := l.Member(), time.Now()
	for {
		select {
		case <-ticker.C:
		case <-l.closing:
			return
		}
		if l.hearsLeader() {
			l.outcast.Store(false)
			asked = time.Now()
		} else if member && time.Since(asked) > lonelyAfter {
			l.outcast.Store(l.toldRemoved())
			asked = time.Now()
		}
		was := member
		if member = l.Member() && !l.outcast.Load(); was && !member {
			l.logger.Warn("raftlog: this node was removed from the quorum: it follows no more and elects nobody. "+
				"Stop it, or add it again by hand", "node", string(l.self))
		}
	}
}

// hearsLeader reports whether this node leads or has heard who does within the last seconds.
func (l *Log) hearsLeader() bool {
	_, leads := l.Leading()
	return leads || time.Since(l.raft.LastContact()) < signOfLife
}

// toldRemoved asks the others whether this node is a member, and reports whether a leader said no.
func (l *Log) toldRemoved() bool {
	ctx, cancel := l.untilDead(context.Background())
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, lonelyAfter)
	defer stop()
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		node, _, err := splitServerID(s.ID)
		if err != nil || s.ID == l.self {
			continue
		}
		by, _, a, err := l.askLeader(ctx, Peer{node, l.streams.where(s.ID, string(s.Address))}, joinMember, l.identity)
		switch {
		case err != nil:
		case a.outcome == joinDone:
			return false
		case a.outcome == joinRefused:
			l.logger.Info("raftlog: not a member any more", "says", by.String(), "why", a.why)
			return true
		}
	}
	return false
}

// tellMember answers a node that asks whether it is a member. What is not committed yet counts: only who is in neither is out.
func (l *Log) tellMember(who raft.ServerID) joinAnswer {
	if l.isMember(who) {
		return joinAnswer{outcome: joinDone}
	}
	return refused("%s is not a member of the quorum", who)
}

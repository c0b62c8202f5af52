package raftlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// How a member that is started at another address than the quorum has for it gets that changed. raft 1.8.0 reads a
// peer's address without its lock while a change of it is applied, so no leader may change the address of one that it
// replicates to. The one member that it does not replicate to is itself:
//
//  1. The moved node tells every member it can find, at their addresses in the configuration and at those it was given.
//  2. The leader, or anybody while there is none, remembers it until the process ends, and dials there (streams.go). So the
//     node follows and votes at once, and no majority is lost on the way.
//  3. Once it has caught up, whoever leads hands leadership over to it.
//  4. As the leader it changes its own address. Its followers see the new one in what it sends, before they tell anybody
//     that it leads.
//
// It tells again every second until that is committed. Those who follow a leader send it on to that one. A connection is
// for a server id: a wrong word here can keep one from being made, and do nothing else.

// mover tells the members of this node's address, or corrects it, for as long as the quorum has another one.
func (l *Log) mover() {
	ctx, cancel := l.untilDead(context.Background())
	defer cancel()
	var noticed, said time.Time
	for {
		var tick <-chan time.Time
		old, moved := l.movedFrom()
		switch _, leads := l.Leading(); {
		case !moved:
			noticed = time.Time{}
		case leads:
			if err := l.correctAddress(old); err != nil && time.Since(said) > joinReminder {
				said = time.Now()
				l.logger.Warn("raftlog: this node leads and cannot change its address", "from", old, "to", l.config.Advertise, "err", err)
			}
			tick = time.After(joinPause)
		default:
			if noticed.IsZero() {
				noticed, said = time.Now(), time.Now()
				l.logger.Info("raftlog: this node has moved and tells the members", "from", old, "to", l.config.Advertise)
			}
			told, err := l.tellMembers(ctx)
			if time.Since(said) > joinReminder {
				said = time.Now()
				l.remindOfMove(told, old, err)
			}
			tick = time.After(joinPause)
		}
		select {
		case <-tick:
		case <-l.elected:
		case <-l.addressDue:
		case <-l.closing:
			return
		}
	}
}

func (l *Log) remindOfMove(told int, old string, err error) {
	if told > 0 {
		l.logger.Warn("raftlog: the quorum does not have this node's address yet", "from", old, "to", l.config.Advertise, "err", err)
		return
	}
	l.logger.Warn("raftlog: this node has moved and finds no member that it could tell. Where others have moved, too, name them with -e "+
		"at their new addresses, or start them at their old ones, and move one at a time", "from", old, "to", l.config.Advertise, "err", err)
}

// movedFrom returns the address that the quorum has for this node, if that is another than its own.
func (l *Log) movedFrom() (old string, moved bool) {
	members, index := l.membership()
	if index == 0 { // nothing is known to be committed yet
		members = l.raft.GetConfiguration().Configuration()
	}
	for _, s := range members.Servers {
		if s.ID == l.self && l.Member() && !l.outcast.Load() {
			return string(s.Address), string(s.Address) != l.config.Advertise
		}
	}
	return "", false
}

// tellMembers tells all that can be found where this node is.
func (l *Log) tellMembers(ctx context.Context) (told int, err error) {
	seen := map[string]bool{l.config.Advertise: true}
	var errs []error
	tell := func(p Peer) {
		if seen[p.Addr] || ctx.Err() != nil {
			return
		}
		seen[p.Addr] = true
		_, err := l.askThrough(ctx, p, joinMoved, l.identity)
		var later errNotNow
		if err == nil || errors.As(err, &later) {
			told++
		}
		errs = append(errs, err)
	}
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		if node, _, err := splitServerID(s.ID); err == nil && s.ID != l.self {
			tell(Peer{node, l.streams.where(s.ID, string(s.Address))})
		}
	}
	for _, p := range l.config.Peers {
		tell(p)
	}
	return told, errors.Join(errs...)
}

// noteMove is what a member does that is told. One that follows a leader leaves it to that one, which knows whether the node
// still answers where it was: then it is there twice, on a copy of its directory.
func (l *Log) noteMove(who raft.ServerID, node int32, address string) joinAnswer {
	_, leads := l.Leading()
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		if s.ID != who {
			continue
		}
		at := l.streams.where(who, string(s.Address))
		p, known := l.peers.get(who)
		_, leader := l.raft.LeaderWithID()
		switch {
		case leads && at != address && known && time.Since(p.answered) < recentAnswer:
			return notNow("node %d answers at %s still: if it runs there, too, one of the two has to be stopped", node, at)
		case !leads && leader != "":
			return l.elsewhere()
		}
		l.rememberAddress(who, address)
		if !leads {
			return notNow("no leader is known")
		}
		return joinAnswer{outcome: joinDone}
	}
	return refused("node %d with this directory is no member", node)
}

// rememberAddress remembers where a member is, if that is not where the configuration has it.
func (l *Log) rememberAddress(id raft.ServerID, address string) {
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		if s.ID == id && l.streams.remember(id, address, string(s.Address)) {
			l.logger.Info("raftlog: a member has moved", "node", string(id), "from", string(s.Address), "to", address)
			signal(l.membersChanged)
		}
	}
}

// moved are the members that have said to be at another address than the quorum has for them.
func (l *Log) moved() (all []raft.Server) {
	members, _ := l.membership()
	for _, s := range members.Servers {
		if l.streams.where(s.ID, string(s.Address)) != string(s.Address) {
			all = append(all, s)
		}
	}
	return all
}

// leadMoved hands leadership to the first of the moved voters that has caught up and can change its address. It says whether
// there was one that had caught up.
func (l *Log) leadMoved(seen *lag) (tried bool) {
	select {
	case l.changing <- struct{}{}:
		defer func() { <-l.changing }()
	default:
		return false
	}
	for _, s := range l.moved() {
		address := l.streams.where(s.ID, string(s.Address))
		if s.Suffrage != raft.Voter || !l.hasCaughtUp(s.ID, seen) {
			continue
		}
		tried = true
		if err := l.addressFree(s.ID, address); err != nil {
			l.logger.Warn("raftlog: a member that has moved cannot take its new address", "node", string(s.ID), "err", err)
			continue
		}
		l.logger.Info("raftlog: a member that has moved is to lead, and changes its address", "node", string(s.ID), "to", address)
		if err := l.transferTo(s); err != nil {
			l.logger.Warn("raftlog: leadership was not handed to a member that has moved", "node", string(s.ID), "err", err)
		}
		break
	}
	return tried
}

// addressFree says who else has an address. raft allows none twice.
func (l *Log) addressFree(id raft.ServerID, address string) error {
	members, _ := l.membership()
	for _, s := range members.Servers {
		if s.ID != id && string(s.Address) == address {
			return fmt.Errorf("the quorum has %s for node %s: members cannot trade addresses, one has to go to a third one first", address, s.ID)
		}
	}
	return nil
}

// correctAddress brings raft's configuration in line with the address this node now has. Only a leader can.
func (l *Log) correctAddress(old string) error {
	if err := l.addressFree(l.self, l.config.Advertise); err != nil {
		return err
	}
	select {
	case l.changing <- struct{}{}:
		defer func() { <-l.changing }()
	case <-l.closing:
		return ErrClosed
	}
	l.logger.Info("raftlog: the advertised address has changed", "from", old, "to", l.config.Advertise)
	return l.wait(l.raft.AddVoter(l.self, raft.ServerAddress(l.config.Advertise), 0, time.Second))
}

package raftlog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/hashicorp/raft"
)

// How a node with an empty directory gets into a quorum that exists. The other side is admit.go.
//
//  1. It makes up a directory id and asks its peers whether it would be let in, and into which cluster. Nothing is
//     stored yet: who is refused leaves no trace.
//  2. It stores who it is, with the mark that it joined: such a directory never begins a history of its own.
//  3. With an empty log, raft waits and elects nobody. It asks to be let in and is a non-voter when the answer comes.
//  4. The leader sends it the log, or a snapshot, and makes it a voter once it has caught up.
//
// After a crash at any point it goes on from what is stored, with the same directory id, so that asking twice is asking
// once. That it was let in is stored too, and then nobody is asked any more: a node that is removed does not come back by itself.
// Nor is anybody asked in step 3 by a node that was told to wait: it is added by hand (reconfigure.go).
// To have entries does not mean that: a leader sends them before the change of the membership is committed.

// AnyNode is the NodeID of a peer of which only the address is known.
const AnyNode = -1

// Peer is another member of the quorum, as this node was told of it.
type Peer struct {
	NodeID int32  // or AnyNode
	Addr   string // host:port
}

const (
	// joinTimeout is how long one answer to a join request may take: the leader may be waiting for a sign of life.
	joinTimeout = 30 * time.Second
	// joinPause is the longest pause between two rounds of asking.
	joinPause = time.Second
	// joinReminder is how often a node that waits says so.
	joinReminder = 10 * time.Second
)

// errRefused is the end of asking; outside this package it is os.ErrInvalid.
type errRefused struct{ why string }

func (e errRefused) Error() string { return e.why }

// Is implements what errors.Is looks for.
func (errRefused) Is(target error) bool { return target == os.ErrInvalid }

// errNotNow is the answer of one that was reached and wants to be asked again.
type errNotNow struct{ why string }

func (e errNotNow) Error() string { return e.why }

// joining reports whether an empty directory is to become a member of an existing quorum.
func (c *Config) joining() bool { return len(c.Peers) > 0 }

// keyLetIn is the name under which it is stored that this node does not ask to be let in, and why.
var keyLetIn = []byte("LetIn")

const (
	wasLetIn       = 1 // it has been let in once
	waitsToBeAdded = 2 // it waits until somebody adds it by hand
)

// join asks to be let in unless that is stored already.
func (l *Log) join() error {
	if !l.identity.joined {
		return nil
	}
	if _, err := l.store.get(keyLetIn); err != errNotFound {
		return err
	}
	last, _ := l.store.LastIndex()
	switch {
	case l.config.Wait:
		return l.store.set(keyLetIn, []byte{waitsToBeAdded})
	case last > 0 && !l.config.joining():
		return nil // perhaps the log says that it is a member
	case !l.config.joining():
		return fmt.Errorf("raftlog: %s is of a node that was about to join cluster %s and was not let in yet: "+
			"start it with -e and members of that quorum", l.config.Dir, l.identity.cluster)
	}
	if _, _, err := l.ask(joinLetIn, l.identity); err != nil {
		return err
	}
	l.logger.Info("raftlog: let into the quorum; this node votes once it has caught up", "cluster", l.identity.cluster)
	return l.store.set(keyLetIn, []byte{wasLetIn})
}

func (l *Log) peerNames() (names []string) {
	for _, p := range l.config.Peers {
		names = append(names, p.String())
	}
	return names
}

// String is ID/HOST:PORT, or the address alone.
func (p Peer) String() string {
	if p.NodeID == AnyNode {
		return p.Addr
	}
	return fmt.Sprintf("%d/%s", p.NodeID, p.Addr)
}

// ask goes round the peers until one has an answer that stands, or until all agree that this node begins the quorum.
func (l *Log) ask(what byte, id identity) (cluster string, begin bool, err error) {
	ctx, cancel := l.untilDead(l.config.Context)
	defer cancel()
	if what == joinLetIn && !l.empty() {
		what = joinStay
	}
	var said time.Time
	for pause := joinPause / 16; ; pause = min(2*pause, joinPause) {
		if l.raft != nil {
			if _, leads := l.Leading(); leads { // the answer was lost, and the others would send it to itself
				return id.cluster, false, nil
			}
		}
		asked := time.Now()
		var errs []error
		for _, p := range l.config.Peers {
			cluster, err := l.askThrough(ctx, p, what, id)
			var refused errRefused
			switch {
			case err == nil:
				return cluster, false, nil
			case what == joinLetIn && !l.empty():
				what = joinStay // entries came meanwhile: what was said to an empty log does not hold
			case errors.As(err, &refused):
				return "", false, fmt.Errorf("raftlog: not let into the quorum: %w", err)
			}
			errs = append(errs, err)
		}
		if what == joinMayI {
			cluster, begin, err := l.mayBegin(id.cluster, errs, asked)
			if begin {
				return cluster, true, nil
			}
			errs = append(errs, err)
		}
		if ctx.Err() == nil && time.Since(said) > joinReminder {
			said = time.Now()
			l.logger.Warn("raftlog: not in the quorum yet; asking again", "err", errors.Join(errs...))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if l.stopped() {
				return "", false, ErrClosed
			}
			return "", false, fmt.Errorf("raftlog: stopped before the quorum was joined: %w", context.Cause(l.config.Context))
		}
	}
}

// untilDead is a context that also ends when the log does.
func (l *Log) untilDead(above context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(above)
	go func() { // ends with the context
		select {
		case <-l.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (l *Log) empty() bool {
	last, _ := l.store.LastIndex()
	return last == 0
}

// askLeader asks one peer, and the leader if it names one. It returns who answered.
func (l *Log) askLeader(ctx context.Context, p Peer, what byte, id identity) (by Peer, cluster string, a joinAnswer, err error) {
	cluster, a, err = l.askOne(ctx, p, what, id)
	if err == nil && a.outcome == joinElsewhere {
		node, _, splitErr := splitServerID(a.leader)
		if splitErr != nil {
			return p, "", a, splitErr
		}
		p = Peer{node, a.address}
		id.cluster = cluster
		cluster, a, err = l.askOne(ctx, p, what, id)
	}
	return p, cluster, a, err
}

// askThrough asks the leader, through one peer.
func (l *Log) askThrough(ctx context.Context, p Peer, what byte, id identity) (cluster string, err error) {
	p, cluster, a, err := l.askLeader(ctx, p, what, id)
	switch {
	case err != nil:
		return "", err
	case a.outcome == joinDone:
		return cluster, nil
	case a.outcome == joinRefused:
		return "", errRefused{fmt.Sprintf("node %v says: %s", p, a.why)}
	case a.outcome == joinWaits:
		return "", errWaits{p, a.cluster}
	}
	return "", errNotNow{fmt.Sprintf("node %v says: %s", p, a.why)}
}

func (l *Log) askOne(ctx context.Context, p Peer, what byte, id identity) (cluster string, a joinAnswer, err error) {
	fail := func(err error) (string, joinAnswer, error) { return "", a, fmt.Errorf("node %v: %w", p, err) }
	if l.config.Dial == nil {
		return fail(errors.New("this node was given no dialer"))
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	dialing, stop := context.WithTimeout(ctx, handshakeTimeout)
	defer stop()
	c, err := l.config.Dial(dialing, p.Addr)
	if err != nil {
		return fail(err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	cluster, from, err := joinHandshake(c, hello{cluster: id.cluster, from: serverID(id.node, id.directory)})
	if err != nil {
		return fail(err)
	}
	if node, _, err := splitServerID(from); err != nil || node != p.NodeID && p.NodeID != AnyNode {
		return fail(fmt.Errorf("server %s answers there", from))
	}
	req := joinRequest{what: what, address: l.config.Advertise}
	switch {
	case cluster != "": // it is in a quorum
	case what != joinMayI:
		return fail(errors.New("its directory is empty"))
	case len(l.config.Voters) > 0:
		req.what, req.voters = joinBegin, l.config.voterNames()
	}
	if _, err := c.Write(req.append(nil)); err != nil {
		return fail(err)
	}
	if a, err = readJoinAnswer(c); err != nil {
		return fail(err)
	}
	return cluster, a, nil
}

// joinHandshake says hello to whoever answers and returns who that is; no cluster if its directory is empty, too.
func joinHandshake(c net.Conn, hi hello) (cluster string, from raft.ServerID, err error) {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return "", "", err
	}
	if _, err := c.Write(appendHello(nil, hi.cluster, string(hi.from), "")); err != nil {
		return "", "", fmt.Errorf("handshake: %w", err)
	}
	cluster, name, reason, err := readHello(c)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("handshake: %w", err)
	case reason == reasonYourself: // a list that is the same everywhere has this node's own address, too
		return "", "", errors.New("that is this node itself")
	case reason != "":
		return "", "", errRefused{reason}
	case cluster != "" && hi.cluster != "" && cluster != hi.cluster:
		return "", "", errRefused{fmt.Sprintf("it belongs to cluster %q, this node to %s", cluster, hi.cluster)}
	}
	return cluster, raft.ServerID(name), c.SetDeadline(time.Now().Add(joinTimeout))
}

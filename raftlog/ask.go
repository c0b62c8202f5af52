package raftlog

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// What a tool asks of a node over a connection like a joiner's: who it is, and to hand leadership over. There is no Kafka API for
// either. A tool is no server and gives an empty id.

// Identity is whose directory a node runs on.
type Identity struct {
	ClusterID   string
	NodeID      int32
	DirectoryID records.UUID
}

// Identify asks who answers on a connection, which is good for nothing else then.
func Identify(c net.Conn) (Identity, error) {
	cluster, from, err := joinHandshake(c, hello{})
	if err != nil {
		return Identity{}, err
	}
	node, directory, err := splitServerID(from)
	return Identity{cluster, node, directory}, err
}

// Handover is what came of asking for one.
type Handover struct {
	Done    bool   // Leader leads now
	Leader  int32  // if not Done: who has to be asked; -1 if Why says why there is no point
	Address string // of the leader
	Why     string
}

// AskHandover asks the node at the other end of a connection to let another voter lead: to, or whoever is furthest (-1).
func AskHandover(c net.Conn, to int32) (Handover, error) {
	h := Handover{Leader: -1}
	if _, _, err := joinHandshake(c, hello{}); err != nil {
		return h, err
	}
	req := joinRequest{what: joinHandOver}
	if to >= 0 {
		req.address = strconv.Itoa(int(to))
	}
	if _, err := c.Write(req.append(nil)); err != nil {
		return h, err
	}
	a, err := readJoinAnswer(c)
	if err != nil {
		return h, err
	}
	h.Done, h.Why, h.Address = a.outcome == joinDone, a.why, a.address
	if a.leader != "" {
		h.Leader, _, err = splitServerID(a.leader)
	}
	return h, err
}

// handOverTo does what AskHandover asks for.
func (l *Log) handOverTo(ctx context.Context, argument string) joinAnswer {
	term, leads := l.Leading()
	if !leads {
		return l.elsewhere()
	}
	done, err := l.beginChange(ctx) // of the membership: raft refuses one meanwhile
	if err != nil {
		return notNow("%v", err)
	}
	defer done()
	to, a := l.handOverCandidate(argument)
	if to.ID == "" {
		return a
	}
	l.logger.Info("raftlog: leadership is handed over, as asked", "to", string(to.ID))
	if err := l.transferTo(to); err != nil {
		return notNow("%v", err)
	}
	if !l.awaitLeaderAfter(term) {
		return notNow("this node leads no longer, and the next leader is not known yet")
	}
	next := l.elsewhere()
	if next.outcome == joinElsewhere {
		next.outcome = joinDone
	}
	return next
}

// handOverCandidate is who is to lead next, or why there is none.
func (l *Log) handOverCandidate(argument string) (raft.Server, joinAnswer) {
	if argument == "" {
		if to, ok := l.successor(); ok {
			return to, joinAnswer{}
		}
		return raft.Server{}, notNow("no other voter answers that could take leadership over")
	}
	members, _ := l.membership()
	for _, s := range members.Servers {
		node, _, err := splitServerID(s.ID)
		switch {
		case err != nil || strconv.Itoa(int(node)) != argument || s.Suffrage != raft.Voter:
			continue
		case s.ID == l.self:
			return raft.Server{}, refused("node %d leads already", node)
		}
		if p, ok := l.peers.get(s.ID); !ok || time.Since(p.answered) > recentAnswer {
			return raft.Server{}, notNow("node %d does not answer", node)
		}
		return s, joinAnswer{}
	}
	return raft.Server{}, refused("node %s is no voter of the quorum", argument)
}

// String is ID:DIRECTORY.
func (i Identity) String() string { return fmt.Sprintf("%d:%s", i.NodeID, i.DirectoryID) }

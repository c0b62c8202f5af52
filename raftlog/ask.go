package raftlog

import (
	"fmt"
	"net"
	"strconv"

	"yakt/records"
)

// What a tool asks of a node over a connection like a joiner's: who it is, and to hand leadership over (handover.go). There is no Kafka API
// for either. A tool is no server and gives an empty id.

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

// String is ID:DIRECTORY.
func (i Identity) String() string { return fmt.Sprintf("%d:%s", i.NodeID, i.DirectoryID) }

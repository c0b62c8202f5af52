package raftlog

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// A connection whose hello wants nobody by name asks to be let into the quorum, and carries one message each way and no
// raft. Strings are a length byte and their bytes.
//
//	who joins:      version u8 = 1 │ what u8 │ the address at which it is reached; to hand over: a node id, or empty
//	  to begin:       │ count u8 │ the listed voters, as ID@HOST:PORT and by id
//	who is asked:   version u8 = 1 │ outcome u8 │ why │ server id of the leader │ its address
//	  who waits too:  │ the cluster id it was given; empty: none
//
// Leader and address are empty unless the outcome sends the joiner to the leader. The joiner's hello has its server id, and the
// cluster id if it knows one; the answer to that hello is how a new directory learns it. Whoever only wants to know who answers
// hangs up after the hellos.
const joinVersion = 1

// What a joiner wants.
const (
	joinMayI  = 1 // would it be let in? nothing is changed
	joinLetIn = 2 // become a non-voter, with this server id, and later a voter; its log is empty
	joinStay  = 3 // the same, from one that has some of the log and has not been told that it was let in
	joinBegin = 4 // may a new quorum begin? only asked of one whose directory is empty, too
	joinMoved = 5 // it is a member, and is reached at this address from now on; told to any member

	joinHandOver = 6 // let another node lead; from a tool, which is nobody
	joinMember   = 7 // am I a member? from one that has not heard of a leader for long
)

// What it is told.
const (
	joinDone      = 0
	joinElsewhere = 1 // the leader is asked
	joinNotNow    = 2 // the same may be asked again
	joinRefused   = 3 // asking again is of no use
	joinWaits     = 4 // it waits for the same quorum, with an empty directory, and knows of none that exists
)

type joinRequest struct {
	what    byte
	address string
	voters  []string // joinBegin only
}

type joinAnswer struct {
	outcome byte
	why     string
	leader  raft.ServerID
	address string
	cluster string // joinWaits only
}

// wantsIn reports whether a node asks to be in the quorum, or to be found there.
func (r joinRequest) wantsIn() bool {
	switch r.what {
	case joinMayI, joinLetIn, joinStay, joinBegin, joinMoved:
		return true
	}
	return false
}

func (r joinRequest) append(b []byte) []byte {
	b = appendStrings(append(b, joinVersion, r.what), r.address)
	if r.what == joinBegin {
		b = appendStrings(append(b, byte(len(r.voters))), r.voters...)
	}
	return b
}

func (a joinAnswer) append(b []byte) []byte {
	b = appendStrings(append(b, joinVersion, a.outcome), a.why, string(a.leader), a.address)
	if a.outcome == joinWaits {
		b = appendStrings(b, a.cluster)
	}
	return b
}

func readJoinRequest(r io.Reader) (req joinRequest, err error) {
	if req.what, err = readJoinHead(r); err != nil {
		return req, err
	}
	if req.what < joinMayI || req.what > joinMember {
		return req, fmt.Errorf("a join request of an unknown kind %d", req.what)
	}
	if err := readStrings(r, &req.address); err != nil || req.what != joinBegin {
		return req, err
	}
	var count [1]byte
	if _, err := io.ReadFull(r, count[:]); err != nil {
		return req, err
	}
	req.voters = make([]string, count[0])
	for i := range req.voters {
		if err := readStrings(r, &req.voters[i]); err != nil {
			return req, err
		}
	}
	return req, nil
}

func readJoinAnswer(r io.Reader) (a joinAnswer, err error) {
	if a.outcome, err = readJoinHead(r); err != nil {
		return a, err
	}
	if a.outcome > joinWaits {
		return a, fmt.Errorf("an answer of an unknown kind %d", a.outcome)
	}
	var leader string
	err = readStrings(r, &a.why, &leader, &a.address)
	a.leader = raft.ServerID(leader)
	if err == nil && a.outcome == joinWaits {
		err = readStrings(r, &a.cluster)
	}
	return a, err
}

func readJoinHead(r io.Reader) (kind byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	if head[0] != joinVersion {
		return 0, fmt.Errorf("version %d of the join messages; this program speaks version %d", head[0], joinVersion)
	}
	return head[1], nil
}

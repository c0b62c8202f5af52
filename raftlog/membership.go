package raftlog

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// The quorum as raft's committed configuration has it. The voters' records in the log only report it.

// setMembership takes a committed configuration: from a snapshot, or from an entry in its turn.
func (l *Log) setMembership(c raft.Configuration, index uint64) {
	l.mu.Lock()
	l.members, l.membersIndex = c, index
	l.mu.Unlock()
	signal(l.membersChanged)
	signal(l.addressDue)
	l.wake()
}

// membership returns the committed configuration and its index. A change that is made on top of it names the index, so that raft
// refuses it if there has been another.
func (l *Log) membership() (raft.Configuration, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.members, l.membersIndex
}

// Voters returns the voters of the quorum, by raft's committed configuration and in its order. Each has one endpoint, Config.ListenerName at the
// host and port that it advertises; this node's own, and the leader's, as they announce it themselves: that comes before the change of it
// is committed (move.go). Those that do not vote yet are not among them. A change is covered by Notify.
// A node outside of the quorum names the others that it has heard or been told of: whoever asks it is to find them.
func (l *Log) Voters() []records.Voter {
	members, _ := l.membership()
	if !l.Member() || l.outcast.Load() {
		members = l.others()
	}
	var voters []records.Voter
	for _, s := range members.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		v, err := l.voter(s)
		if err != nil {
			l.logger.Error("raftlog: a voter without a usable name", "err", err)
			continue
		}
		voters = append(voters, v)
	}
	return voters
}

// others are the members without this node; before it has any log, the peers it was started with.
func (l *Log) others() (others raft.Configuration) {
	members := l.raft.GetConfiguration().Configuration().Servers // raft's own: not to be changed
	if len(members) == 0 {
		for _, p := range l.config.Peers {
			if p.NodeID == AnyNode {
				continue // it cannot be named
			}
			others.Servers = append(others.Servers, raft.Server{ID: serverID(p.NodeID, records.UUID{}), Address: raft.ServerAddress(p.Addr)})
		}
	}
	for _, s := range members {
		if s.ID != l.self {
			others.Servers = append(others.Servers, s)
		}
	}
	return others
}

func (l *Log) voter(s raft.Server) (records.Voter, error) {
	node, directory, err := splitServerID(s.ID)
	if err != nil {
		return records.Voter{}, err
	}
	address := string(s.Address)
	l.mu.Lock()
	if s.ID == l.heardFrom {
		address = l.heardAt
	}
	l.mu.Unlock()
	if s.ID == l.self {
		address = l.config.Advertise
	}
	host, port, err := splitHostPort(address)
	if err != nil {
		return records.Voter{}, fmt.Errorf("node %d: %w", node, err)
	}
	return records.Voter{ID: node, DirectoryID: directory, MaxKRaft: 1,
		Endpoints: []records.VoterEndpoint{{Name: l.config.ListenerName, Host: host, Port: port}}}, nil
}

func splitHostPort(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("raftlog: address %q: %w", address, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("raftlog: address %q: %w", address, err)
	}
	return host, uint16(n), nil
}

// Member reports whether this node is one of the quorum as far as it has heard, voting or not yet.
func (l *Log) Member() bool { return l.isMember(l.self) }

func (l *Log) isMember(id raft.ServerID) bool {
	return slices.ContainsFunc(l.raft.GetConfiguration().Configuration().Servers, func(s raft.Server) bool { return s.ID == id })
}

// soleVoter reports whether this node is all of the quorum.
func (l *Log) soleVoter() bool {
	voters, self := 0, false
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters++
			self = self || s.ID == l.self
		}
	}
	return voters == 1 && self
}

// Progress tells how far every member of the quorum is, voter or not yet, this node included. end is an offset: of what is committed, the
// member is known to have everything below it. It is at least this log's start, also for a member that lacks some of what has been compacted
// here; and it is 0 as long as nothing that the member has answered in this term says what it has. answered is when it last answered,
// caughtUp when it was last asked and then answered that it had all there was; zero if it never has in this term. Only meaningful
// while this node leads.
func (l *Log) Progress(tell func(node int32, directory records.UUID, voter bool, end int64, answered, caughtUp time.Time)) {
	members, _ := l.membership()
	for _, s := range members.Servers {
		node, directory, err := splitServerID(s.ID)
		if err != nil {
			continue
		}
		voter := s.Suffrage == raft.Voter
		if s.ID == l.self {
			now := time.Now()
			tell(node, directory, voter, l.EndOffset(), now, now)
			continue
		}
		p, _ := l.peers.get(s.ID)
		end := int64(0)
		if p.match > 0 {
			end = l.offsets.endAt(p.match)
		}
		tell(node, directory, voter, end, p.answered, p.caughtUp)
	}
}

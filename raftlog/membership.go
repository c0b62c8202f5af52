package raftlog

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// The quorum as raft's committed configuration has it. The voters' records in the log only report it.

// setVoters takes a committed configuration: from a snapshot, or from an entry in its turn.
func (l *Log) setVoters(c raft.Configuration) {
	l.mu.Lock()
	l.members = c
	l.mu.Unlock()
	l.wake()
}

// Voters returns the voters of the quorum, by raft's committed configuration, with this node's own directory id and
// endpoint as it announces them itself. A change of them is covered by Notify.
func (l *Log) Voters() []records.Voter {
	l.mu.Lock()
	members := l.members
	l.mu.Unlock()
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

func (l *Log) voter(s raft.Server) (records.Voter, error) {
	node, directory, err := splitServerID(s.ID)
	if err != nil {
		return records.Voter{}, err
	}
	address := string(s.Address)
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

// correctAddress brings raft's configuration in line with the address this node now has. Only a leader can.
func (l *Log) correctAddress() {
	if _, leads := l.Leading(); !leads {
		return
	}
	f := l.raft.GetConfiguration()
	for _, s := range f.Configuration().Servers {
		if s.ID == l.self && string(s.Address) != l.config.Advertise {
			l.logger.Info("raftlog: the advertised address has changed", "from", string(s.Address), "to", l.config.Advertise)
			if err := l.wait(l.raft.AddVoter(l.self, raft.ServerAddress(l.config.Advertise), 0, time.Second)); err != nil {
				l.logger.Warn("raftlog: change the advertised address", "err", err)
			}
		}
	}
}

// TransferLeadership hands leadership to the follower that is furthest, and calls done with nil once this node has let
// go of it. Meanwhile what is appended is refused.
func (l *Log) TransferLeadership(done func(error)) {
	go func() {
		if l.stopped() {
			done(ErrClosed)
			return
		}
		done(l.wait(l.raft.LeadershipTransfer()))
	}()
}

// Progress is how far a member of the quorum is, as its leader knows it.
type Progress struct {
	NodeID       int32
	DirectoryID  records.UUID
	Voter        bool
	EndOffset    int64     // it has everything below
	LastAnswer   time.Time // zero: never, in this term
	LastCaughtUp time.Time // when it last had all there was
}

// Progress returns how far every member is, this node included. Only meaningful while this node leads.
func (l *Log) Progress() []Progress {
	l.mu.Lock()
	members := l.members
	l.mu.Unlock()
	var all []Progress
	for _, s := range members.Servers {
		node, directory, err := splitServerID(s.ID)
		if err != nil {
			continue
		}
		p := Progress{NodeID: node, DirectoryID: directory, Voter: s.Suffrage == raft.Voter}
		if s.ID == l.self {
			now := time.Now()
			p.EndOffset, p.LastAnswer, p.LastCaughtUp = l.EndOffset(), now, now
		} else if k, ok := l.peers.get(s.ID); ok {
			p.EndOffset, p.LastAnswer, p.LastCaughtUp = l.offsets.endAt(k.match), k.answered, k.caughtUp
		}
		all = append(all, p)
	}
	return all
}

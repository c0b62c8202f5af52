package sim

import (
	"fmt"
	"slices"
	"time"

	"yakt/records"
)

// The quorum changes while it works: nodes are added, first to follow and then to vote, voters are removed, the leader too, and a
// node whose directory was emptied has to be removed and comes back as a new one. As with hashicorp/raft a change is an entry of the
// log that counts from when a node has it, and there is one at a time.

// member is a node with the directory that it had when it was let in, as raftlog's server ids are: one that comes back with an empty one
// is another, and not who it was in the eyes of those whose log is as old.
type member struct{ node, directory int32 }

// String is the node's id, and how many directories it has lost.
func (m member) String() string {
	if m.directory == 0 {
		return fmt.Sprint(m.node)
	}
	return fmt.Sprintf("%d'%d", m.node, m.directory)
}

// member is who the node is now.
func (n *node) member() member { return member{n.id, n.directory} }

// membership is who votes, and who only follows so far. It is never changed.
type membership struct{ voters, learners []member }

func (m *membership) votes(who *node) bool { return slices.Contains(m.voters, who.member()) }

func (m *membership) has(who *node) bool {
	return m.votes(who) || slices.Contains(m.learners, who.member())
}

// of are those members that are or were this node.
func (m *membership) of(who *node) []member {
	return slices.DeleteFunc(slices.Concat(m.voters, m.learners), func(m member) bool { return m.node != who.id })
}

func (m *membership) majority() int { return len(m.voters)/2 + 1 }

// founders are the voters of a new cluster.
var founders = &membership{voters: []member{{1, 0}, {2, 0}, {3, 0}}}

// members is the membership that the node goes by: the last that its log has.
func (n *node) members() *membership {
	if k := len(n.changes); k > 0 {
		return n.log[n.changes[k-1]].members
	}
	return n.first
}

// settledMembers is the last membership that the node has applied.
func (n *node) settledMembers() *membership {
	for i := len(n.changes) - 1; i >= 0; i-- {
		if n.changes[i] < n.applied {
			return n.log[n.changes[i]].members
		}
	}
	return n.first
}

// extend adds entries to the node's log.
func (n *node) extend(entries ...*entry) {
	for i, e := range entries {
		if e.kind == entryMembers {
			n.changes = append(n.changes, len(n.log)+i)
		}
	}
	n.log = append(n.log, entries...)
}

// cutTo takes the entries from one on off the node's log.
func (n *node) cutTo(length int) {
	n.log = n.log[:length:length]
	for len(n.changes) > 0 && n.changes[len(n.changes)-1] >= length {
		n.changes = n.changes[:len(n.changes)-1]
	}
}

// peers are the other members, as far as the node knows.
func (n *node) peers() []*node {
	m := n.members()
	var out []*node
	for _, other := range n.w.nodes {
		if other != n && m.has(other) {
			out = append(out, other)
		}
	}
	return out
}

// quorum counts the voters for which something is so, with the node itself if it votes, and says whether they are a majority.
func (n *node) quorum(so func(m *node) bool) bool {
	members, count := n.members(), 0
	for _, m := range n.w.nodes {
		if members.votes(m) && (m == n || so(m)) {
			count++
		}
	}
	return count >= members.majority()
}

// somePeer is another voter, nil if there is none.
func (n *node) somePeer() *node {
	peers := slices.DeleteFunc(n.peers(), func(m *node) bool { return !n.members().votes(m) })
	if len(peers) == 0 {
		return nil
	}
	return peers[n.w.rand.IntN(len(peers))]
}

// settledQuorum says whether a leader may change the quorum: the change before is not on its way any more, the leader is not too new
// to know, and, what raft does not ask for, every voter that is there has the change before. As with hashicorp/raft a voter refuses
// candidates that it does not know as members: if then others are lost for good, the one that could lead would wait for its vote forever.
func (n *node) settledQuorum() bool {
	last := n.opened
	if k := len(n.changes); k > 0 {
		last = max(last, n.changes[k-1])
	}
	return n.commit > last && !slices.ContainsFunc(n.peers(), func(m *node) bool {
		return !m.out && n.members().votes(m) && n.match[m.id] <= last
	})
}

// propose appends a membership if the quorum may change.
func (n *node) propose(m *membership) bool {
	if !n.settledQuorum() {
		return false
	}
	n.w.tracef("node %d: members shall be %v, and %v that follow", n.id, m.voters, m.learners)
	n.appendEntry(&entry{kind: entryMembers, members: m})
	return true
}

// membersCommitted is called on a leader when a membership is committed: one that is no voter any more lets go.
func (n *node) membersCommitted(m *membership) {
	n.signal()
	if n.leading && !m.votes(n) {
		n.w.count("leaders removed")
		n.stepDown()
	}
}

var quorumFaults = []fault{
	{"the quorum changes", 1200 * time.Millisecond, changeQuorum},
	{"a directory is emptied", 8 * time.Second, func(w *world) {
		n := w.someNode()
		if n.out || !n.up || !emptiedVotes && !w.canLoseOne() {
			return
		}
		n.crash()
		term, voted, members := n.term, n.voted, n.members()
		n.empty()
		w.count("directories emptied")
		if emptiedVotes { // its log is gone, its vote is not
			n.term, n.voted, n.first = term, voted, members
			n.boot()
		}
	}},
}

// empty loses what the node had on disk. Until the others have let it go and taken it in again it stays out. A term that only it
// knew, it may have told to brokers, who would wait for that term: here the others hear of it before.
func (n *node) empty() {
	n.w.tracef("node %d: has an empty directory", n.id)
	if l := n.w.leader(); l != nil {
		l.seeTerm(n.term)
	}
	n.term, n.voted, n.log, n.changes, n.snapshots, n.start, n.led = 0, 0, nil, nil, nil, 0, 0
	n.first, n.out = &membership{}, !emptiedVotes
	if !emptiedVotes {
		n.directory++
	}
	n.announce()
}

// announce makes up what the node says of itself, with the id of its directory.
func (n *node) announce() {
	n.w.voters[n.member()] = records.Voter{
		ID: n.id, DirectoryID: n.w.uuid(), MaxKRaft: 1,
		Endpoints: []records.VoterEndpoint{{Name: "CONTROLLER", Host: fmt.Sprintf("node%d", n.id), Port: 9093}},
	}
}

// canLoseOne says whether the quorum can do without what one of its nodes has: the others are there, and know who is a member.
func (w *world) canLoseOne() bool {
	l := w.leader()
	return l != nil && l.settledQuorum() && w.unwell() == 0 && w.votersOut() == 0 && !w.fewVoters()
}

// fewVoters says whether somebody takes the quorum for so small that it cannot do without one.
func (w *world) fewVoters() bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool { return !n.out && len(n.members().voters) < 3 && n.up })
}

// votersOut counts those that are out and voters, as far as anybody knows.
func (w *world) votersOut() int {
	count := 0
	for _, n := range w.nodes {
		if n.out && slices.ContainsFunc(w.nodes, func(m *node) bool {
			return !m.out && slices.ContainsFunc(m.members().voters, func(v member) bool { return v.node == n.id })
		}) {
			count++
		}
	}
	return count
}

// changeQuorum takes the next step: who is out is removed, who follows and has caught up votes, and then somebody comes or goes.
func changeQuorum(w *world) {
	n := w.leader()
	if n == nil {
		return
	}
	m := n.members()
	for _, other := range w.nodes {
		if gone := m.of(other); other.out && len(gone) > 0 {
			n.propose(&membership{without(m.voters, gone), without(m.learners, gone)})
			return
		}
	}
	if len(m.learners) > 0 {
		next := m.learners[0]
		if n.match[next.node] >= n.commit && n.propose(&membership{append(slices.Clone(m.voters), next), m.learners[1:]}) {
			w.count("voters added")
		}
		return
	}
	switch grow := len(m.voters) < 3 || len(m.voters) < 5 && w.chance(0.5); {
	case grow:
		w.add(n, m)
	case len(m.voters) > 3:
		gone := m.voters[w.rand.IntN(len(m.voters))]
		if n.propose(&membership{without(m.voters, []member{gone}), m.learners}) {
			w.count("voters removed")
			w.nodes[gone.node-1].retire()
		}
	}
}

// add takes a node in that has nothing yet: one that is out, or one more.
func (w *world) add(leader *node, m *membership) {
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.out && len(m.of(n)) == 0 })
	if i < 0 {
		if len(w.nodes) == 5 {
			return
		}
		n := newNode(w, int32(len(w.nodes)+1))
		n.first, n.out = &membership{}, true
		i, w.nodes = len(w.nodes), append(w.nodes, n)
	}
	n := w.nodes[i]
	if leader.propose(&membership{m.voters, append(slices.Clone(m.learners), n.member())}) {
		delete(leader.match, n.id)
		n.out = false
		n.boot()
		n.retire()
	}
}

// retire stops a node and empties its directory if some time later it is no member: because it was removed, or because the leader
// that added it was lost with the change.
func (n *node) retire() {
	n.w.after(n.w.between(time.Second, 4*time.Second), func() {
		l := n.w.leader()
		switch {
		case l == nil || !l.settledQuorum():
			n.retire() // nobody knows for certain
		case l.members().has(n) || n.out:
		default:
			if n.up {
				n.crash()
			}
			n.empty()
			n.out = true
		}
	})
}

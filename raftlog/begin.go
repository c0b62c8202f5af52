package raftlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// How a quorum begins of which all nodes were given the same list. Exactly one history may begin, whatever crashes and
// whichever disk is emptied, so it does not begin everywhere at once:
//
//  1. A node with an empty directory asks all others on the list. One that finds a cluster behind any of them joins it (join.go).
//  2. Meanwhile it answers who asks it: that its directory is empty, and whether its own list is the same.
//  3. The listed voter with the lowest id begins, alone, when all others have told it so in one round of asking. From the
//     moment in which it decides, it says that it is of that cluster.
//  4. The others find it, join, and are made voters. Until a majority of the list votes, the one that began does not return
//     from Open: nothing is acknowledged by one disk alone.
//
// There is no second beginning while anything is left of the first: who has joined says so, and then not all are empty.
// That this node began for others is stored with its identity, and that their majority voted, once, in the database: after a
// crash between the two it goes on waiting.

// waiting is the state of a node whose directory is empty and that was told of others.
type waiting struct {
	mu    sync.Mutex
	empty bool // until it is decided which cluster it is of

	// Who asked for this node's word to begin, and when last. Two directories under one id could otherwise both have everybody's.
	asked map[raft.ServerID]time.Time
}

// onlyOne notes that who asks for this node's word to begin, and says whether nobody else has lately.
func (w *waiting) onlyOne(who raft.ServerID) bool {
	if w.asked == nil {
		w.asked = map[raft.ServerID]time.Time{}
	}
	maps.DeleteFunc(w.asked, func(_ raft.ServerID, at time.Time) bool { return time.Since(at) > signOfLife })
	w.asked[who] = time.Now()
	return len(w.asked) == 1
}

// errWaits is the answer of a peer that agrees to begin.
type errWaits struct {
	peer    Peer
	cluster string // the id it was given
}

func (e errWaits) Error() string { return fmt.Sprintf("node %v: its directory is empty, too", e.peer) }

// keyBegun is the name under which it is stored that a majority of the list has voted.
var keyBegun = []byte("Begun")

// setVoters makes peers of the other listed voters. A node that is not on the list only joins.
func (c *Config) setVoters() error {
	if len(c.Voters) == 0 {
		return nil
	}
	if len(c.Peers) > 0 {
		return errors.New("raftlog: both peers and a list of voters given")
	}
	c.Voters = slices.SortedFunc(slices.Values(c.Voters), func(a, b Peer) int { return cmp.Compare(a.NodeID, b.NodeID) })
	c.Peers = slices.DeleteFunc(slices.Clone(c.Voters), func(p Peer) bool { return p.NodeID == c.NodeID })
	if len(c.Voters) > 255 {
		return fmt.Errorf("raftlog: %d voters given, and 255 is the most", len(c.Voters))
	}
	return nil
}

// voterNames are the listed voters as the properties file has them.
func (c *Config) voterNames() (names []string) {
	for _, v := range c.Voters {
		names = append(names, fmt.Sprintf("%d@%s", v.NodeID, v.Addr))
	}
	return names
}

// learn asks the peers what the empty directory is to become: a member of their quorum, or the first one of a new quorum.
func (l *Log) learn(id identity) (identity, error) {
	l.logger.Info("raftlog: the directory is empty: asking to join a quorum", "dir", l.config.Dir, "peers", l.peerNames())
	self := serverID(id.node, id.directory)
	l.waiting.empty = true // nobody can ask yet
	l.listen(hello{from: self})
	cluster, begin, err := l.ask(joinMayI, id)
	if err != nil {
		return id, err
	}
	if id.cluster, id.joined = cluster, !begin; begin {
		var listed []int32
		for _, v := range l.config.Voters {
			listed = append(listed, v.NodeID)
		}
		id.listed = idsText(listed)
		l.logger.Info("raftlog: all listed voters are here with empty directories: this node begins the quorum", "cluster", cluster)
	}
	// Nobody may be told any more that this directory is empty, though it still is.
	l.waiting.mu.Lock()
	l.waiting.empty = false
	l.listen(hello{cluster: cluster, from: self})
	l.waiting.mu.Unlock()
	return id, nil
}

// mayBegin decides, from a round of answers, whether this node begins the quorum, and under which cluster id.
func (l *Log) mayBegin(cluster string, answers []error, asked time.Time) (of string, begin bool, err error) {
	if len(l.config.Voters) == 0 || l.config.Voters[0].NodeID != l.config.NodeID || time.Since(asked) > signOfLife {
		return "", false, nil
	}
	from := "this node"
	for _, err := range answers {
		var w errWaits
		if !errors.As(err, &w) {
			return "", false, nil
		}
		if cluster != "" && w.cluster != "" && w.cluster != cluster {
			return "", false, fmt.Errorf("node %v was given cluster id %s, and %s %s: give all the same, or one of them", w.peer, w.cluster, from, cluster)
		}
		if w.cluster != "" {
			cluster, from = w.cluster, "node "+w.peer.String()
		}
	}
	if cluster == "" {
		cluster = newIdentity("", l.config.NodeID).cluster
	}
	return cluster, true, nil
}

// answerEmpty answers who asks a node with an empty directory; ok is false when it is none any more.
func (l *Log) answerEmpty(who hello, req joinRequest) (a joinAnswer, ok bool) {
	w := &l.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.empty {
		return a, false
	}
	mine := l.config.voterNames()
	given := l.config.ClusterID
	node, _, err := splitServerID(who.from)
	switch {
	case err != nil:
		return refused("%q is not a server id", who.from), true
	case node == l.config.NodeID:
		return refused("node id %d is this node's own", node), true
	case len(mine) == 0:
		return notNow("its directory is empty, and it waits to be let into the quorum of %s", strings.Join(l.peerNames(), ",")), true
	case req.what != joinBegin:
		return notNow("its directory is empty, and it waits for the voters %s", strings.Join(mine, ",")), true
	case !slices.Equal(req.voters, mine):
		return notNow("its list of voters is %s, and the one of node %d is %s: make them the same", strings.Join(mine, ","), node, strings.Join(req.voters, ",")), true
	case given != "" && who.cluster != "" && given != who.cluster:
		return notNow("it was given cluster id %s, and node %d %s: give all the same, or one of them", given, node, who.cluster), true
	case node == l.config.Voters[0].NodeID && !w.onlyOne(who.from):
		return notNow("node %d asks from two directories: unless it was just started anew, two nodes have this id, and one has to go", node), true
	}
	return joinAnswer{outcome: joinWaits, cluster: given}, true
}

// awaitVoters returns when a majority of those votes for whom this node began the quorum, or once did.
func (l *Log) awaitVoters() error {
	if l.identity.listed == "" {
		return nil
	}
	listed, err := parseIDs(l.identity.listed)
	if err != nil {
		return err
	}
	if _, err := l.store.get(keyBegun); err != errNotFound {
		return err
	}
	changed := make(chan struct{}, 1)
	l.Notify(func() { signal(changed) })
	defer l.Notify(nil)
	reminder := time.NewTicker(joinReminder)
	defer reminder.Stop()
	for {
		missing := l.notVoting(listed)
		if 2*len(missing) < len(listed) {
			l.logger.Info("raftlog: a majority of the listed voters votes", "cluster", l.identity.cluster, "missing", idsText(missing))
			return l.store.set(keyBegun, []byte{1})
		}
		select {
		case <-changed:
		case <-reminder.C:
			l.logger.Warn("raftlog: this node has begun a quorum and waits until a majority of the listed voters votes",
				"listed", l.identity.listed, "missing", idsText(missing))
		case <-l.dead:
			return ErrClosed
		case <-l.config.Context.Done():
			return fmt.Errorf("raftlog: stopped before a majority of the listed voters voted: %w", context.Cause(l.config.Context))
		}
	}
}

// notVoting returns those of the nodes that are not voters, by the committed configuration.
func (l *Log) notVoting(nodes []int32) (missing []int32) {
	voting := map[int32]bool{}
	for _, v := range l.Voters() {
		voting[v.ID] = true
	}
	for _, id := range nodes {
		if !voting[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

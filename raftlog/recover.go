package raftlog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// RecoveryTerms is how far a recovery raises the term: above all that the others may have reached without this node.
const RecoveryTerms = 1000

// Recover makes this node all of the quorum, by the log that it has: the last resort when a majority is lost for good. At
// its next start it leads alone, and all that is in its log is committed.
//
// The others may come back all the same. By their logs they are still a quorum, with this node in it, and a majority of
// them could elect a leader in a term of their own choosing, who would overrule what is written here from now on. So this
// directory gets another id: it is not the server that they know (handshake.go), neither votes for them nor takes their
// entries, and their brokers have an epoch that is long over.
//
//	one write:  entry last+1, a configuration of this node alone, in the raised term │ the term │ the identity, and the one before it
//	then:       meta.properties
//
// The first is the recovery. If a crash prevents the second, the next start does it (identity.confirm). The directory can
// only be closed afterwards.
func (s *Stopped) Recover() error {
	self := s.Self()
	last, _ := s.store.LastIndex()
	switch {
	case s.Alone():
		return fmt.Errorf("raftlog: the node of %s is the only voter already: just start it", s.dir)
	case self.Addr == "":
		return fmt.Errorf("raftlog: by its own log, the node of %s is no member of the quorum: it was removed, or never let in. "+
			"What it has may be far from all; use the directory of a member", s.dir)
	}
	term := s.store.term + RecoveryTerms // raft stores a term before any entry of it
	if term >= math.MaxInt32 {
		return fmt.Errorf("raftlog: term %d is no leader epoch", term)
	}
	now := s.identity
	now.directory = records.RandomUUID(rand.Reader)
	now.listed = "" // it waits for nobody any more
	alone := raft.Configuration{Servers: []raft.Server{{ID: serverID(now.node, now.directory), Address: raft.ServerAddress(self.Addr)}}}

	err := s.store.close()
	s.store = nil
	if err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	return recovered(func() error {
		st, err := openStore(s.fs, s.fs.PathJoin(s.dir, databaseDir), s.lock, discard, nil)
		if err != nil {
			return err
		}
		if err = st.beginAlone(now, s.identity, alone, last+1, term); err == nil {
			err = now.write(s.fs, s.dir)
		}
		return errors.Join(err, st.close())
	})
}

// beginAlone is the one write of a recovery.
func (s *store) beginAlone(now, former identity, alone raft.Configuration, index, term uint64) error {
	b := s.db.NewBatch()
	setEntry(b, &raft.Log{Index: index, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(alone)})
	must(b.Set(stableKey([]byte("CurrentTerm")), binary.BigEndian.AppendUint64(nil, term), nil))
	must(b.Set([]byte(keyFormer), []byte(former.text()), nil))
	must(b.Set([]byte{keyIdentity}, []byte(now.text()), nil))
	if now.joined { // it needs nobody to let it in any more
		must(b.Set(stableKey(keyLetIn), []byte{1}, nil))
	}
	return s.commit(b, "make this node the whole quorum")
}

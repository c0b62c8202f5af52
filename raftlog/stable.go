package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// The store as raft's StableStore: its term and its vote.
var _ raft.StableStore = (*store)(nil)

// errNotFound is compared by its text inside raft: it must be exactly this.
var errNotFound = errors.New("not found")

func stableKey(name []byte) []byte { return append([]byte{keyStable}, name...) }

// Set implements raft.StableStore.
func (s *store) Set(key, value []byte) error {
	defer s.waitsForDisk()()
	b := s.db.NewBatch()
	if string(key) == "LastVoteCand" {
		s.mu.Lock()
		if s.votePending {
			s.votePending = false
			must(b.Set(stableKey([]byte("LastVoteTerm")), binary.BigEndian.AppendUint64(nil, s.voteTerm), nil))
		}
		s.mu.Unlock()
	}
	must(b.Set(stableKey(key), value, nil))
	return s.stop(s.commit(b, "store "+string(key)))
}

// set is Set of what is not raft's. A write that fails ends the goroutine that has made it (logger.go), so it has one of its own.
func (s *store) set(key, value []byte) error {
	b := s.db.NewBatch()
	must(b.Set(stableKey(key), value, nil))
	what := "store " + string(key)
	outcome := make(chan error, 1)
	go func() {
		err := fmt.Errorf("raftlog: %s: the database failed", what)
		defer func() { outcome <- err }()
		err = s.commit(b, what)
	}()
	return <-outcome
}

// Get implements raft.StableStore.
func (s *store) Get(key []byte) ([]byte, error) {
	value, err := s.get(key)
	if err != nil && err != errNotFound {
		return nil, s.stop(err)
	}
	return value, err
}

// get is Get of what is not raft's.
func (s *store) get(key []byte) ([]byte, error) {
	done, err := s.use()
	if err != nil {
		return nil, err
	}
	defer done()
	value, closer, err := s.db.Get(stableKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, s.fail(fmt.Errorf("raftlog: read %s: %w", key, err))
	}
	defer closer.Close()
	return append([]byte{}, value...), nil
}

// SetUint64 implements raft.StableStore. A vote is two values in raft, its term and then its candidate; here the term
// waits for the candidate, so that a vote is one write and never half of one.
func (s *store) SetUint64(key []byte, v uint64) error {
	switch string(key) {
	case "LastVoteTerm":
		s.mu.Lock()
		s.voteTerm, s.votePending = v, true
		s.mu.Unlock()
		return nil
	case "CurrentTerm":
		if v > math.MaxInt32 {
			panic(fmt.Sprintf("raftlog: term %d is no leader epoch", v))
		}
		s.mu.Lock()
		known := v == s.term
		s.mu.Unlock()
		if known {
			return nil // NewRaft stores what it has just read
		}
	}
	defer s.waitsForDisk()()
	b := s.db.NewBatch()
	must(b.Set(stableKey(key), binary.BigEndian.AppendUint64(nil, v), nil))
	if err := s.commit(b, "store "+string(key)); err != nil {
		return s.stop(err)
	}
	if string(key) == "CurrentTerm" {
		s.mu.Lock()
		s.term = v
		s.mu.Unlock()
		if s.onTerm != nil {
			s.onTerm(v)
		}
	}
	return nil
}

// GetUint64 implements raft.StableStore.
func (s *store) GetUint64(key []byte) (uint64, error) {
	if string(key) == "LastVoteTerm" {
		s.mu.Lock()
		v, pending := s.voteTerm, s.votePending
		s.mu.Unlock()
		if pending {
			return v, nil
		}
	}
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, s.stop(s.fail(fmt.Errorf("raftlog: %s is damaged: %d bytes", key, len(value))))
	}
	return binary.BigEndian.Uint64(value), nil
}

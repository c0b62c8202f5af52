package controller

import (
	"sync"
	"time"

	"yakt/controller/plan"
)

// sessions is the soft state about brokers that lives with one term of the active controller: when each was last heard
// from, how far it has followed the log, and whether it is being shut down. It is never logged; a new active
// controller starts over and gives every unfenced broker a full session.
//
// Contacts are noted by the goroutines that receive heartbeats, before the writer's queue, so that a long queue fences nobody.
type sessions struct {
	timeout time.Duration

	mu sync.Mutex
	by map[int32]*session
}

type session struct {
	epoch          int64
	contact        time.Time
	metadataOffset int64
	shutdownOffset int64 // -1: no controlled shutdown
}

func newSessions(timeout time.Duration) *sessions {
	return &sessions{timeout: timeout, by: map[int32]*session{}}
}

// get returns the broker's session in this epoch, made anew if need be. The caller holds mu.
func (s *sessions) get(id int32, epoch int64) *session {
	e := s.by[id]
	if e == nil || e.epoch != epoch {
		e = &session{epoch: epoch, metadataOffset: -1, shutdownOffset: -1}
		s.by[id] = e
	}
	return e
}

func (s *sessions) touch(id int32, epoch int64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.get(id, epoch); now.After(e.contact) {
		e.contact = now
	}
}

// restart forgets everything and gives the named brokers a full session from now on.
func (s *sessions) restart(brokers map[int32]int64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = make(map[int32]*session, len(brokers))
	for id, epoch := range brokers {
		s.get(id, epoch).contact = now
	}
}

// extend moves every contact forward: for so long nobody could have been heard.
func (s *sessions) extend(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.by {
		if !e.contact.IsZero() {
			e.contact = e.contact.Add(by)
		}
	}
}

func (s *sessions) change(c *plan.SessionChange, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.End {
		if e := s.by[c.BrokerID]; e != nil && e.epoch == c.Epoch {
			delete(s.by, c.BrokerID)
		}
		return
	}
	e := s.get(c.BrokerID, c.Epoch)
	if c.MetadataOffset >= 0 {
		e.metadataOffset = c.MetadataOffset
	}
	switch {
	case c.BeginShutdown:
		e.shutdownOffset = end
	case c.EndShutdown:
		e.shutdownOffset = -1
	}
}

// expired says whether a broker that should be heartbeating in this epoch no longer does. One that is not known yet
// gets a session that begins now.
func (s *sessions) expired(id int32, epoch int64, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(id, epoch)
	if e.contact.IsZero() {
		e.contact = now
	}
	return now.Sub(e.contact) >= s.timeout
}

// lapsed says whether the broker had a session in this epoch that has run out.
func (s *sessions) lapsed(id int32, epoch int64, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.by[id]
	return e != nil && e.epoch == epoch && !e.contact.IsZero() && now.Sub(e.contact) >= s.timeout
}

// Alive implements plan.Sessions.
func (s *sessions) Alive(id int32, epoch int64, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.by[id]
	return e != nil && e.epoch == epoch && !e.contact.IsZero() && now.Sub(e.contact) < s.timeout
}

// MetadataOffset implements plan.Sessions.
func (s *sessions) MetadataOffset(id int32, epoch int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.by[id]; e != nil && e.epoch == epoch {
		return e.metadataOffset
	}
	return -1
}

// ShutdownOffset implements plan.Sessions.
func (s *sessions) ShutdownOffset(id int32, epoch int64) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.by[id]; e != nil && e.epoch == epoch && e.shutdownOffset >= 0 {
		return e.shutdownOffset, true
	}
	return 0, false
}

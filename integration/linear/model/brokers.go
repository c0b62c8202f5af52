package model

import (
	"github.com/twmb/franz-go/pkg/kerr"
)

// BrokerState is the registration of a broker's id.
type BrokerState struct {
	Registered bool
	Process    [16]byte
	// Epoch is the registration's. While it is not known, because the registration was not answered, it is Pending and above Last.
	Epoch   int64
	Pending bool
	Last    int64 // the highest epoch that there was before, plus one
}

func (s BrokerState) equal(o State) bool {
	t, ok := o.(BrokerState)
	return ok && s == t
}

func (s BrokerState) looks(o State) bool {
	t, ok := o.(BrokerState)
	if !ok || s.Registered != t.Registered || !s.Registered {
		return ok && s.Registered == t.Registered
	}
	_, ok = s.has(t.Epoch)
	return ok && s.Process == t.Process
}

// has says whether the registration may have this epoch; if so, that is what is known from then on.
func (s BrokerState) has(epoch int64) (BrokerState, bool) {
	switch {
	case !s.Registered:
		return s, false
	case s.Pending && epoch >= s.Last:
		s.Epoch, s.Pending = epoch, false
		return s, true
	}
	return s, !s.Pending && s.Epoch == epoch
}

// next is a registration that replaces this one, with an epoch that is not known yet.
func (s BrokerState) next(process [16]byte) BrokerState {
	n := BrokerState{Registered: true, Process: process, Pending: true, Last: s.Last}
	if s.Registered && !s.Pending {
		n.Last = max(s.Last, s.Epoch+1)
	}
	return n
}

func (s BrokerState) step(in Input, out Output) (State, bool) {
	again := s.Registered && s.Process == in.ID
	switch in.Kind {
	case RegisterBroker:
		switch {
		case out.Unknown && again:
			return s, true
		case out.Unknown:
			return s.next(in.ID), true
		case out.Code == kerr.DuplicateBrokerRegistration.Code:
			return s, s.Registered && !again
		case out.Code != 0:
			return s, true
		case again:
			return s.has(out.Epoch)
		}
		return s.next(in.ID).has(out.Epoch)
	case UnregisterBroker:
		gone := BrokerState{Last: s.next(in.ID).Last}
		switch {
		case out.Unknown:
			return gone, true
		case out.Code == kerr.BrokerIDNotRegistered.Code:
			return s, !s.Registered
		case out.Code != 0:
			return s, true
		}
		return gone, s.Registered
	}
	switch { // a heartbeat changes nothing that is known here
	case out.Unknown:
		return s, true
	case out.Code == kerr.StaleBrokerEpoch.Code:
		return s, !s.Registered || s.Pending || s.Epoch != in.Epoch
	case out.Code != 0:
		return s, true
	}
	return s.has(in.Epoch)
}

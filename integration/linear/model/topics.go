package model

import (
	"maps"

	"github.com/twmb/franz-go/pkg/kerr"
)

// TopicState is a topic of a name: there or not.
type TopicState struct {
	Exists     bool
	ID         [16]byte // zero: not known, its creation was not answered
	Partitions int32
	Configs    map[string]string
}

func (s TopicState) equal(o State) bool {
	t, ok := o.(TopicState)
	return ok && s.Exists == t.Exists && s.ID == t.ID && s.Partitions == t.Partitions && maps.Equal(s.Configs, t.Configs)
}

func (s TopicState) looks(o State) bool {
	t, ok := o.(TopicState)
	if s.ID == [16]byte{} {
		s.ID = t.ID
	}
	return ok && s.equal(t)
}

// is says whether the topic may be the one with this id.
func (s TopicState) is(id [16]byte) bool { return s.Exists && (s.ID == id || s.ID == [16]byte{}) }

func (s TopicState) step(in Input, out Output) (State, bool) {
	byID := in.ID != [16]byte{}
	switch {
	case out.Unknown:
		return s.attempt(in), true
	case out.Code == kerr.TopicAlreadyExists.Code:
		return s, s.Exists
	case out.Code == kerr.UnknownTopicID.Code:
		return s, !s.Exists || s.ID != in.ID
	case out.Code == kerr.UnknownTopicOrPartition.Code:
		return s, !s.Exists || byID && s.ID != in.ID
	case out.Code == kerr.InvalidPartitions.Code && in.Kind == GrowTopic:
		return s, s.Exists && s.Partitions >= in.Partitions
	case out.Code == kerr.InvalidReplicationFactor.Code, out.Code == kerr.InvalidReplicaAssignment.Code:
		return s, s.Exists == (in.Kind == GrowTopic)
	case out.Code != 0:
		return s, true
	}
	switch in.Kind {
	case ValidateTopic:
		return s, !s.Exists
	case CreateTopic:
		next := created(in)
		next.ID = out.ID
		return next, !s.Exists
	case DeleteTopic:
		return TopicState{}, s.is(out.ID) && (!byID || in.ID == out.ID)
	case GrowTopic:
		ok := s.Exists && s.Partitions < in.Partitions
		s.Partitions = in.Partitions
		return s, ok
	case SeeTopic:
		if out.ID != [16]byte{} {
			ok := s.is(out.ID)
			s.ID = out.ID
			return s, ok
		}
		return s, s.Exists && maps.Equal(s.Configs, altered(s.Configs, in))
	}
	ok := s.Exists
	s.Configs = altered(s.Configs, in)
	return s, ok
}

// attempt is what the operation does if it can do anything.
func (s TopicState) attempt(in Input) State {
	switch {
	case in.Kind == ValidateTopic, in.Kind == SeeTopic:
	case in.Kind == CreateTopic:
		if !s.Exists {
			return created(in)
		}
	case !s.Exists:
	case in.Kind == DeleteTopic:
		if in.ID == [16]byte{} || s.is(in.ID) {
			return TopicState{}
		}
	case in.Kind == GrowTopic:
		s.Partitions = max(s.Partitions, in.Partitions)
	default:
		s.Configs = altered(s.Configs, in)
	}
	return s
}

func created(in Input) TopicState {
	return TopicState{Exists: true, Partitions: in.Partitions, Configs: altered(nil, in)}
}

package model

// ProducerIDState is where the next block of producer ids begins, or later: blocks may be handed out whose answers are
// lost, or that nobody asked for in this history. So an allocation without an answer need not be in it.
type ProducerIDState struct{ Next int64 }

func (s ProducerIDState) equal(o State) bool {
	t, ok := o.(ProducerIDState)
	return ok && s == t
}

func (s ProducerIDState) looks(o State) bool {
	t, ok := o.(ProducerIDState)
	return ok && t.Next >= s.Next
}

func (s ProducerIDState) step(_ Input, out Output) (State, bool) {
	if out.Unknown || out.Code != 0 {
		return s, true
	}
	return ProducerIDState{out.First + out.Count}, out.First >= s.Next && out.Count > 0
}

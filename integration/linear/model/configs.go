package model

import (
	"maps"
)

// ConfigState is what is set for a broker or for all of them.
type ConfigState struct{ Set map[string]string }

func (s ConfigState) equal(o State) bool {
	t, ok := o.(ConfigState)
	return ok && maps.Equal(s.Set, t.Set)
}

func (s ConfigState) looks(o State) bool { return s.equal(o) }

func (s ConfigState) step(in Input, out Output) (State, bool) {
	if !out.Unknown && out.Code != 0 {
		return s, true // which configs there may be says the controller
	}
	return ConfigState{altered(s.Set, in)}, true
}

// altered is what is set afterwards. Where it is as before it may be the same map.
func altered(set map[string]string, in Input) map[string]string {
	next := map[string]string{}
	if in.Kind != ReplaceConfigs {
		maps.Copy(next, set)
	}
	for key, value := range in.Configs {
		if value == nil {
			delete(next, key)
		} else {
			next[key] = *value
		}
	}
	return next
}

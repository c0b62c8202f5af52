package wire

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// everyVersion calls f for every request that kmsg knows, in each of its versions.
func everyVersion(t *testing.T, f func(t *testing.T, key, version int16)) {
	for key := range int16(kmsg.MaxKey + 1) {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		for version := range req.MaxVersion() + 1 {
			f(t, key, version)
		}
	}
}

func TestEveryRequestHasAShape(t *testing.T) {
	everyVersion(t, func(t *testing.T, key, version int16) {
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		if _, err := shapeOf(req); err != nil {
			t.Errorf("%s version %d: %v", kmsg.NameForKey(key), version, err)
		}
		resp := kmsg.ResponseForKey(key)
		resp.SetVersion(version)
		if _, err := shapeOf(resp); err != nil {
			t.Errorf("%s response version %d: %v", kmsg.NameForKey(key), version, err)
		}
	})
}

package wire

import (
	"math"
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

// Of what real brokers sent, every beginning fits exactly if kmsg can decode it.
func TestHalfARequestDoesNotFit(t *testing.T) {
	for _, e := range exchanges(t) {
		served := newVersions(testVersions).find(e.Key)
		h, rest := parseHeader(unhex(t, e.Request)[4:])
		s := served.shape(h.version)
		body, err := h.parseRest(rest, s.flexible)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(body) + 1 {
			req := kmsg.RequestForKey(e.Key)
			req.SetVersion(e.Version)
			_, misfit := s.weigh(body[:n], math.MaxInt64)
			decoded := req.ReadFrom(body[:n])
			if (misfit == nil) != (decoded == nil) || (misfit == nil) != (n == len(body)) {
				t.Errorf("%s, %d of %d bytes: %v, kmsg: %v", e.API, n, len(body), misfit, decoded)
			}
		}
	}
}

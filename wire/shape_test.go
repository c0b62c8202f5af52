package wire

import (
	"math"
	"strings"
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

// kmsg takes an absent list for an empty one wherever it stands. Where Kafka's schema has no absence, Kafka closes the
// connection, and so does this server: to some requests "none" and "all" differ.
func TestOnlyWhatMayBeAbsentIsAbsent(t *testing.T) {
	for name, c := range map[string]struct {
		req   kmsg.Request
		body  string
		takes bool
	}{
		"Metadata's topics":                     {&kmsg.MetadataRequest{Version: 9}, "\x00\x00\x00\x00\x00", true},
		"Metadata's topics, before version 1":   {&kmsg.MetadataRequest{Version: 0}, "\xff\xff\xff\xff", false},
		"Metadata's topics, from version 1":     {&kmsg.MetadataRequest{Version: 1}, "\xff\xff\xff\xff", true},
		"CreateTopics' topics":                  {&kmsg.CreateTopicsRequest{Version: 5}, "\x00\x00\x00\x00\x00\x00\x00", false},
		"CreateTopics without topics":           {&kmsg.CreateTopicsRequest{Version: 5}, "\x01\x00\x00\x00\x00\x00\x00", true},
		"CreateTopics' topics, not flexible":    {&kmsg.CreateTopicsRequest{Version: 2}, "\xff\xff\xff\xff\x00\x00\x00\x00\x00", false},
		"an Envelope's request":                 {&kmsg.EnvelopeRequest{}, "\x00\x01\x01\x00", false},
		"an Envelope's principal":               {&kmsg.EnvelopeRequest{}, "\x01\x00\x01\x00", true},
		"a heartbeat's failed directories, tag": {&kmsg.BrokerHeartbeatRequest{Version: 1}, zeros(22) + "\x01\x00\x01\x00", false},
		"a heartbeat's cordoned ones, tag":      {&kmsg.BrokerHeartbeatRequest{Version: 2}, zeros(22) + "\x01\x01\x01\x00", true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := shapeOf(c.req)
			if err != nil {
				t.Fatal(err)
			}
			fresh := kmsg.RequestForKey(c.req.Key())
			fresh.SetVersion(c.req.GetVersion())
			if err := fresh.ReadFrom([]byte(c.body)); err != nil {
				t.Fatalf("even kmsg does not take it: %v", err)
			}
			if _, err := s.weigh([]byte(c.body), math.MaxInt64); (err == nil) != c.takes {
				t.Errorf("weigh: %v", err)
			}
		})
	}
}

func zeros(n int) string { return strings.Repeat("\x00", n) }

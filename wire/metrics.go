package wire

import "sync/atomic"

// Metrics is what a Server has counted since it was made.
type Metrics struct {
	Open      int64            // connections there are now
	Accepted  uint64           // connections there have been
	Refused   uint64           // connections closed because there were too many
	Malformed uint64           // connections closed for what the peer sent, or for being slow
	Failed    uint64           // connections closed by an error of the Handler
	BytesIn   uint64           // of requests that arrived whole
	BytesOut  uint64           // of answers that were sent
	Requests  map[int16]uint64 // requests given to the Handler, by API key
}

// counters is Metrics while it is being counted.
type counters struct {
	open                                                    atomic.Int64
	accepted, refused, malformed, failed, bytesIn, bytesOut atomic.Uint64
	requests                                                map[int16]*atomic.Uint64 // one for each API served; never changes
}

// Metrics returns the present counts. They are read one after the other and need not add up exactly.
func (s *Server) Metrics() Metrics {
	c := &s.counters
	m := Metrics{
		Open: c.open.Load(), Accepted: c.accepted.Load(), Refused: c.refused.Load(), Malformed: c.malformed.Load(),
		Failed: c.failed.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Requests: make(map[int16]uint64, len(c.requests)),
	}
	for key, n := range c.requests {
		m.Requests[key] = n.Load()
	}
	return m
}

func (c *counters) countRequestsOf(list []APIVersions) {
	c.requests = make(map[int16]*atomic.Uint64, len(list))
	for _, v := range list {
		c.requests[v.Key] = new(atomic.Uint64)
	}
}

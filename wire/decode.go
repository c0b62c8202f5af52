package wire

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/semaphore"
)

// budget is memory for decoded requests, shared by all connections. Small requests have an eighth for
// themselves, so that heartbeats do not queue up behind somebody's bulk.
type budget struct {
	small, large     *semaphore.Weighted
	smallest, common int64 // claims up to smallest go to small, others to large, which has common
}

func newBudget(limit int64) *budget {
	b := &budget{smallest: 64 << 10, common: limit - limit/8}
	if limit/8 < b.smallest {
		b.smallest, b.common = 0, limit
	}
	b.small, b.large = semaphore.NewWeighted(limit-b.common), semaphore.NewWeighted(b.common)
	return b
}

// claim waits until n bytes are free; release gives them back. n is at most b.common.
func (b *budget) claim(ctx context.Context, n int64) (release func(), err error) {
	from := b.large
	if n <= b.smallest {
		from = b.small
	}
	if err := from.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { from.Release(n) }, nil
}

// decode makes a request of a frame that begins with h, once there is room for it. What follows the
// request's last field is ignored, as Apache does.
func (s *Server) decode(ctx context.Context, h *header, served *served, rest []byte) (req kmsg.Request, release func(), err error) {
	shape := served.shape(h.version)
	body, err := h.parseRest(rest, shape.flexible)
	if err != nil {
		return nil, nil, err
	}
	weight, err := shape.weigh(body, s.budget.common)
	if err != nil {
		return nil, nil, malformed(fmt.Sprintf("%s version %d %v", kmsg.NameForKey(h.key), h.version, err))
	}
	if h.key == int16(kmsg.Envelope) {
		forwarded, err := s.weighForwarded(body)
		if err != nil {
			return nil, nil, err
		}
		weight = min(weight+forwarded, s.budget.common)
	}
	release, err = s.budget.claim(ctx, weight)
	if err != nil {
		return nil, nil, err
	}
	req = kmsg.RequestForKey(h.key)
	req.SetVersion(h.version)
	if err := readBody(req, body); err != nil {
		release()
		return nil, nil, malformed(fmt.Sprintf("%s version %d cannot be decoded: %v", kmsg.NameForKey(h.key), h.version, err))
	}
	return req, release, nil
}

// weighForwarded is weigh for the request within an Envelope, which the Handler will decode with kmsg. Where
// it is not even served there is nothing to weigh: the Handler refuses it by its first four bytes.
//
//	Envelope version 0: compact bytes: header, body as in a frame | compact bytes principal | …
func (s *Server) weighForwarded(body []byte) (int64, error) {
	r := reader{b: body}
	n := int64(r.uvarint()) - 1
	if n < minFrame || n > int64(len(r.b)) {
		return 0, nil
	}
	h, rest := parseHeader(r.b[:n])
	served := s.versions.find(h.key)
	if served == nil || h.version < served.Min || h.version > served.Max {
		return 0, nil
	}
	shape := served.shape(h.version)
	rest, err := h.parseRest(rest, shape.flexible)
	if err != nil {
		return 0, malformed(fmt.Sprintf("Envelope of %s: %v", kmsg.NameForKey(h.key), err))
	}
	weight, err := shape.weigh(rest, s.budget.common)
	if err != nil {
		return 0, malformed(fmt.Sprintf("Envelope of %s version %d %v", kmsg.NameForKey(h.key), h.version, err))
	}
	return weight, nil
}

// readBody has kmsg decode a body that was weighed. It is not known to panic; if it does, that is one connection's end.
func readBody(into interface{ ReadFrom([]byte) error }, body []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("kmsg: %v", r)
		}
	}()
	return into.ReadFrom(body)
}

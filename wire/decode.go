package wire

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/semaphore"
)

// budget is a number of bytes shared by all connections. Small claims have a part of their own, so that
// heartbeats do not queue up behind somebody's bulk.
type budget struct {
	limit        int64
	small, large pool
}

type pool struct {
	*semaphore.Weighted
	size int64
}

// smallClaim is what counts as small.
const smallClaim = 64 << 10

func newBudget(limit int64) *budget {
	small := limit / 8
	return &budget{
		limit: limit,
		small: pool{semaphore.NewWeighted(small), small},
		large: pool{semaphore.NewWeighted(limit - small), limit - small},
	}
}

// claim waits for n bytes. More than there is counts as all there is: such a request goes alone.
func (b *budget) claim(ctx context.Context, n int64) (release func(), err error) {
	p := b.large
	if n <= smallClaim && b.small.size >= smallClaim {
		p = b.small
	}
	n = min(n, p.size)
	if err := p.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { p.Release(n) }, nil
}

// decode makes a request of the body of a frame.
func decode(h header, req kmsg.Request, body []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = malformed(fmt.Sprintf("%s version %d cannot be decoded: %v", kmsg.NameForKey(h.key), h.version, r))
		}
	}()
	if err := req.ReadFrom(body); err != nil {
		return malformed(fmt.Sprintf("%s version %d cannot be decoded: %v", kmsg.NameForKey(h.key), h.version, err))
	}
	return nil
}

// decodedSize is how much memory a body may take once decoded, at the very worst.
func decodedSize(body []byte) int64 { return 150 * int64(len(body)) }

package controller

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/plan"
)

// producerIDs is the block of producer ids that this node hands out to clients that ask it rather than a broker. What
// is in it was committed as this node's, so it is used up even after leadership was lost: nobody else has these ids. What is left when
// the process ends is lost, as with a broker.
//
// Any goroutine may take; the writer fills it.
type producerIDs struct {
	mu      sync.Mutex
	next    int64
	left    int32
	filling bool
	filled  chan struct{} // closed when filling ends, however it ended
}

// take returns one id. Without any it returns what to wait for, and whether the caller must see to it that it comes.
func (p *producerIDs) take() (id int64, filled <-chan struct{}, fill bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left > 0 {
		p.left--
		p.next++
		return p.next - 1, nil, false
	}
	if fill = !p.filling; fill {
		p.filling, p.filled = true, make(chan struct{})
	}
	return 0, p.filled, fill
}

// fill ends the wait with the ids of a block, or none.
func (p *producerIDs) fill(first int64, count int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.left, p.filling = first, count, false
	close(p.filled)
}

// initProducerID answers InitProducerId v0-5 for idempotent producers, which may ask any node (KIP-360 lets them bring
// the id they had; a new one is always right). Those with a transactional id belong to its coordinator, a broker.
func initProducerID(c *Controller, ctx context.Context, from Caller, r kmsg.Request) func() (kmsg.Response, error) {
	req := r.(*kmsg.InitProducerIDRequest)
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	answer := func() (kmsg.Response, error) { return resp, nil }
	switch {
	case req.TransactionalID == nil:
	case *req.TransactionalID == "":
		resp.ErrorCode = kerr.InvalidRequest.Code
		return answer
	default:
		resp.ErrorCode = kerr.NotCoordinator.Code
		return answer
	}
	const attempts = 3 // somebody else may be faster, a block of a thousand times
	return func() (kmsg.Response, error) {
		for range attempts {
			id, filled, fill := c.producerIDs.take()
			if filled == nil {
				resp.ProducerID, resp.ProducerEpoch = id, 0
				return resp, nil
			}
			if fill {
				c.fillProducerIDs(from)
			}
			select {
			case <-filled:
			case <-ctx.Done():
				return nil, fmt.Errorf("controller: InitProducerId: %w", ctx.Err())
			}
		}
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code // clients ask again
		return resp, nil
	}
}

// fillProducerIDs takes the next block. It needs the active controller: elsewhere the wait ends with nothing.
func (c *Controller) fillProducerIDs(from Caller) {
	var block *kmsg.AllocateProducerIDsResponse
	op := &operation{
		caller: from,
		name:   "InitProducerId",
		plan: func(v *plan.View) plan.Result {
			r := plan.OwnProducerIDs(v, c.nodeID)
			block = r.Response.(*kmsg.AllocateProducerIDsResponse)
			return r
		},
		settled: func(err error) {
			if err != nil || block == nil || block.ErrorCode != 0 {
				c.producerIDs.fill(0, 0)
				return
			}
			c.producerIDs.fill(block.ProducerIDStart, block.ProducerIDLen)
		},
	}
	if c.activeTerm.Load() == 0 || !c.writer.mail.submit(op) {
		op.settled(errNotActive)
	}
}

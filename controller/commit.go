package controller

import (
	"fmt"
	"sync"
	"sync/atomic"

	"yakt/controller/image"
	"yakt/records"
)

// proposal is what the writer knows about a batch that it has appended: enough to recognize it when the log hands it
// back, and the image it leads to.
type proposal struct {
	base   int64
	epoch  int32
	length int
	crc    uint32
	parent *image.Image // what the batch was planned on
	result *image.Image
}

// committed turns counted batches into published images: ours is adopted, anyone else's is replayed.
//
// A batch is ours when it is the oldest open proposal, byte for byte as far as offset, epoch, length and CRC tell, and when
// the image it was planned on is the very one that the batch before led to. That last condition carries "the one before was
// adopted too": after one replay no open proposal's parent is what came of it, so all that follow are replayed as well.
//
// The log hands over the batches of a metadata transaction together, so what is published never lies inside one.
//
// The log's apply goroutine calls apply; the writer calls propose and abandon. Readers load the image without a lock.
type committed struct {
	published atomic.Pointer[image.Image] // what everybody reads

	mu        sync.Mutex
	applied   *image.Image // what is published, or will be in a moment
	proposals []proposal
	verify    bool   // replay adopted batches too and compare
	foreign   func() // told when a batch was replayed while proposals were open
}

func newCommitted(verify bool, foreign func()) *committed {
	c := &committed{applied: new(image.Image), verify: verify, foreign: foreign}
	c.published.Store(c.applied)
	return c
}

// last is the image with everything that is applied.
func (c *committed) last() *image.Image {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied
}

// propose remembers a batch that is about to be appended.
func (c *committed) propose(p proposal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proposals = append(c.proposals, p)
	if publishBeforeCommit {
		c.published.Store(p.result)
	}
}

// abandon forgets every open proposal.
func (c *committed) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proposals = nil
}

// apply publishes what some batches lead to.
func (c *committed) apply(batches []records.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range batches {
		c.advance(b)
	}
	c.published.Store(c.applied)
}

func (c *committed) advance(b records.Batch) {
	before := c.applied
	if next, ok := c.adopt(b); ok {
		if c.verify {
			if diff := image.Diff(next, replay(before, b)); diff != "" {
				panic(fmt.Sprintf("controller: invariant adopt-equals-replay: batch at %d of epoch %d: %s", b.BaseOffset(), b.LeaderEpoch(), diff))
			}
		}
		c.applied = next
	} else {
		c.applied = replay(before, b)
		if len(c.proposals) > 0 {
			c.proposals = nil
			c.foreign()
		}
	}
}

// restore makes a checkpoint's image the last one.
func (c *committed) restore(img *image.Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied = img
	c.published.Store(img)
	if len(c.proposals) > 0 {
		c.proposals = nil
		c.foreign()
	}
}

func (c *committed) adopt(b records.Batch) (*image.Image, bool) {
	if len(c.proposals) == 0 {
		return nil, false
	}
	p := c.proposals[0]
	ours := p.parent == c.applied && p.base == b.BaseOffset() && p.epoch == b.LeaderEpoch() && p.length == len(b) && p.crc == b.CRC()
	if !ours && !adoptWithoutIdentity {
		return nil, false
	}
	c.proposals[0] = proposal{}
	c.proposals = c.proposals[1:]
	return p.result, true
}

func replay(on *image.Image, b records.Batch) *image.Image {
	edit := on.Edit()
	edit.ReplayBatch(b)
	return edit.Image()
}

// Apply implements the log's state machine: batches that are committed and count, in order.
func (c *Controller) Apply(batches []records.Batch) { c.committed.apply(batches) }

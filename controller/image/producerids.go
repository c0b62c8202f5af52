package image

import (
	"iter"

	"yakt/records"
)

// ProducerIDBlock is a range of producer ids that was handed out.
type ProducerIDBlock struct {
	First int64
	Count int64
}

// producerIDs is the producer ids' part of an image.
type producerIDs struct {
	next   int64 // first id not handed out
	blocks tree[int32, ProducerIDBlock]
}

// NextProducerID is the first producer id that was never handed out.
func (i *Image) NextProducerID() int64 { return i.producerIDs.next }

// ProducerIDBlocks iterates over the brokers that got producer ids, and the last block of each. It is for people to
// look at: checkpoints do not hold it, so nodes may differ in what they still know.
func (i *Image) ProducerIDBlocks() iter.Seq2[int32, ProducerIDBlock] {
	return i.producerIDs.blocks.scan
}

func (e *Edit) replayProducerIDs(o *owner, r *records.ProducerIDs, offset int64) {
	p := &e.head.producerIDs
	if r.NextProducerID <= p.next {
		refuse(r, offset, "next producer id %d after %d", r.NextProducerID, p.next)
	}
	if r.BrokerID >= 0 { // -1 is how checkpoints say it
		p.blocks.set(o, r.BrokerID, ProducerIDBlock{First: p.next, Count: r.NextProducerID - p.next})
	}
	p.next = r.NextProducerID
}

package image

import "yakt/records"

// InTransaction says whether a metadata transaction is open (KIP-868): what it changed so far is in the image but does
// not count yet.
func (i *Image) InTransaction() bool { return i.stable != nil }

// Stable returns the image as it was when the open metadata transaction began, or the image itself when none is open.
// Its end offset is the last stable offset.
func (i *Image) Stable() *Image {
	if i.stable != nil {
		return i.stable
	}
	return i
}

func (e *Edit) replayBeginTransaction(r *records.BeginTransaction, offset int64) {
	if e.head.stable != nil {
		refuse(r, offset, "a transaction is open since offset %d", e.head.stable.endOffset)
	}
	e.head.stable = e.Image()
	e.owner()
}

func (e *Edit) replayEndTransaction(r *records.EndTransaction, offset int64) {
	if e.head.stable == nil {
		refuse(r, offset, "no transaction is open")
	}
	e.head.stable = nil
}

func (e *Edit) replayAbortTransaction(r *records.AbortTransaction, offset int64) {
	if e.head.stable == nil {
		refuse(r, offset, "no transaction is open")
	}
	aborted := e.head
	e.head = *aborted.stable
	e.head.endOffset, e.head.epoch, e.head.timestamp = aborted.endOffset, aborted.epoch, aborted.timestamp
	e.head.quorum = aborted.quorum // who leads and votes does not depend on what the leader wrote
	e.topic = nil
}

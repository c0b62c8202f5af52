package raftlog

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"yakt/records"
)

// ErrOutOfRange means an offset below the log's start or above its end.
var ErrOutOfRange = errors.New("raftlog: offset out of range")

// offsets knows, for every batch that counts from the log's start to the high watermark, the raft entry that holds it,
// and where each leader epoch begins. It is rebuilt at every start; 16 bytes a batch.
//
// Only what was applied is in it, so nothing in it is ever taken back. Applying writes it, from one goroutine; compaction
// trims it; anybody reads it.
type offsets struct {
	mu      sync.RWMutex
	start   int64 // log start offset
	end     int64 // high watermark
	batches []position
	epochs  []epochStart // ascending; if start > 0, the first is that of the last batch below start
}

type position struct {
	offset int64 // of the batch's first record
	index  uint64
}

type epochStart struct {
	epoch  int32
	offset int64
}

// reset begins a new index after the snapshot id.
func (o *offsets) reset(id records.SnapshotID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.start, o.end = id.EndOffset, id.EndOffset
	o.batches, o.epochs = nil, nil
	if id.EndOffset > 0 {
		o.epochs = []epochStart{{id.Epoch, id.EndOffset}}
	}
}

// replace takes over what another index has. Nobody sees the end move back and forth.
func (o *offsets) replace(with *offsets) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.start, o.end, o.batches, o.epochs = with.start, with.end, with.batches, with.epochs
}

// add appends a batch that counts. It becomes visible with advance.
func (o *offsets) add(epoch int32, p position) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches = append(o.batches, p)
	if n := len(o.epochs); n == 0 || o.epochs[n-1].epoch != epoch {
		o.epochs = append(o.epochs, epochStart{epoch, p.offset})
	}
}

// advance makes everything below end visible.
func (o *offsets) advance(end int64) {
	o.mu.Lock()
	o.end = end
	o.mu.Unlock()
}

// trim moves the start up to the end of a snapshot that holds all entries up to index.
func (o *offsets) trim(id records.SnapshotID, index uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if id.EndOffset <= o.start {
		return
	}
	o.start = id.EndOffset
	n := sort.Search(len(o.batches), func(i int) bool { return o.batches[i].index > index })
	o.batches = slices.Clone(o.batches[n:])
	for len(o.epochs) > 1 && o.epochs[1].offset < o.start {
		o.epochs = o.epochs[1:]
	}
}

func (o *offsets) bounds() (start, end int64) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.start, o.end
}

// from appends to into the raft indexes of the visible batches beginning with the one that contains offset, as many as
// into has room for, and returns the offset after the last of them.
func (o *offsets) from(offset int64, into []uint64) (indexes []uint64, next int64, err error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if offset < o.start || offset > o.end {
		return nil, 0, fmt.Errorf("%w: %d is not between %d and %d", ErrOutOfRange, offset, o.start, o.end)
	}
	if offset == o.end {
		return into, offset, nil
	}
	i := sort.Search(len(o.batches), func(i int) bool { return o.batches[i].offset > offset }) - 1
	for ; i < len(o.batches) && o.batches[i].offset < o.end && len(into) < cap(into); i++ {
		into = append(into, o.batches[i].index)
	}
	next = o.end
	if i < len(o.batches) {
		next = min(next, o.batches[i].offset)
	}
	return into, next, nil
}

// epochEnd returns the largest epoch <= epoch that has batches, and the offset after its last one.
func (o *offsets) epochEnd(epoch int32) (found int32, end int64, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	i := sort.Search(len(o.epochs), func(i int) bool { return o.epochs[i].epoch > epoch }) - 1
	for i >= 0 && o.epochs[i].offset >= o.end && (i > 0 || o.start == 0) {
		i-- // applied, but not visible yet
	}
	if i < 0 {
		return 0, 0, false
	}
	end = o.end
	if i+1 < len(o.epochs) {
		end = min(end, o.epochs[i+1].offset)
	}
	return o.epochs[i].epoch, end, true
}

// endAt returns the end offset of the last visible batch at or below a raft index, the log's start if there is none: how far somebody is who
// has that entry.
func (o *offsets) endAt(index uint64) int64 {
	o.mu.RLock()
	defer o.mu.RUnlock()
	i := sort.Search(len(o.batches), func(i int) bool { return o.batches[i].index > index })
	if i < len(o.batches) {
		return min(o.batches[i].offset, o.end)
	}
	return o.end
}

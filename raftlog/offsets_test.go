package raftlog

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"yakt/records"
)

// dumbOffsets keeps every batch ever added.
type dumbOffsets struct {
	start, end int64
	base       int32 // epoch below start
	batches    []records.Batch
	indexes    []uint64
}

func (d *dumbOffsets) epochEnd(epoch int32) (found int32, end int64, ok bool) {
	if d.start > 0 && d.base <= epoch {
		found, end, ok = d.base, d.start, true
	}
	for _, b := range d.batches {
		if b.BaseOffset() >= d.start && b.BaseOffset() < d.end && b.LeaderEpoch() <= epoch {
			found, end, ok = b.LeaderEpoch(), b.EndOffset(), true
		}
	}
	return found, end, ok
}

func (d *dumbOffsets) from(offset int64, room int) []uint64 {
	var found []uint64
	for i, b := range d.batches {
		if b.EndOffset() > offset && b.BaseOffset() < d.end && offset < d.end && len(found) < room {
			found = append(found, d.indexes[i])
		}
	}
	return found
}

func TestOffsetsAgreeWithTheirDumbTwin(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	for range 8 {
		o, d := &offsets{}, &dumbOffsets{}
		epoch, index := int32(1), uint64(1)
		for range 200 {
			switch rng.IntN(8) {
			case 0:
				epoch += int32(rng.IntN(3))
			case 1: // a snapshot at a visible batch's end
				if n := len(d.batches); n > 0 && d.end > 0 {
					i := rng.IntN(n)
					if b := d.batches[i]; b.EndOffset() > d.start && b.EndOffset() <= d.end {
						o.trim(records.SnapshotID{EndOffset: b.EndOffset(), Epoch: b.LeaderEpoch()}, d.indexes[i]+uint64(rng.IntN(2)))
						d.start, d.base = b.EndOffset(), b.LeaderEpoch()
					}
				}
			case 2:
				if n := len(d.batches); n > 0 {
					d.end = d.batches[n-1].EndOffset()
					o.advance(d.end)
				}
			default:
				next := d.end
				if n := len(d.batches); n > 0 {
					next = d.batches[n-1].EndOffset()
				}
				b := records.NewBatchBuilder(next, epoch, 1)
				for range 1 + rng.IntN(3) {
					if err := b.Add(&records.NoOp{}, 0); err != nil {
						t.Fatal(err)
					}
				}
				index += 2 + uint64(rng.IntN(3))
				batch := b.Batch()
				o.add(epoch, position{batch.BaseOffset(), index})
				d.batches, d.indexes = append(d.batches, batch), append(d.indexes, index)
			}
			if start, end := o.bounds(); start != d.start || end != d.end {
				t.Fatalf("%d to %d, expected %d to %d", start, end, d.start, d.end)
			}
			for e := range epoch + 2 {
				f1, e1, ok1 := o.epochEnd(e)
				f2, e2, ok2 := d.epochEnd(e)
				if f1 != f2 || e1 != e2 || ok1 != ok2 {
					t.Fatalf("epoch %d: %d %d %v, expected %d %d %v", e, f1, e1, ok1, f2, e2, ok2)
				}
			}
			offset := d.start - 1 + rng.Int64N(d.end-d.start+3)
			got, next, err := o.from(offset, make([]uint64, 0, 4))
			if outside := offset < d.start || offset > d.end; outside != errors.Is(err, ErrOutOfRange) {
				t.Fatal(offset, err)
			} else if outside {
				continue
			}
			if want := d.from(offset, 4); !slices.Equal(got, want) {
				t.Fatalf("from %d: %v, expected %v", offset, got, want)
			}
			if len(got) > 0 {
				i := slices.Index(d.indexes, got[len(got)-1])
				if next != d.batches[i].EndOffset() {
					t.Fatalf("next is %d", next)
				}
			}
		}
	}
}

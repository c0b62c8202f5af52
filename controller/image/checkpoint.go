package image

import (
	"errors"
	"fmt"
	"io"
	"runtime"

	"yakt/records"
)

// checkpointStep is after how many records the writer of a checkpoint lets others have its processor, about half a millisecond. Go
// takes it away only after ten, and a change passes a dozen goroutines on its way to the disk and back, each of which may have to wait
// for that.
const checkpointStep = 1024

// WriteCheckpoint writes the image as a checkpoint file with the image's end offset and epoch, made at nowMs
// (milliseconds since the Unix epoch). Any goroutine may do so while others go on with later images.
func (i *Image) WriteCheckpoint(w io.Writer, nowMs int64) error {
	if i.InTransaction() {
		return fmt.Errorf("image: no checkpoint at offset %d: a metadata transaction is open since %d", i.endOffset, i.stable.endOffset)
	}
	kraft, voters := i.Control()
	out := records.NewCheckpointWriter(w, records.SnapshotID{EndOffset: i.endOffset, Epoch: i.epoch}, i.timestamp, nowMs, kraft, voters)
	var one [1]records.Record
	n := 0
	i.passing(func(_ identity, r records.Record) bool {
		one[0] = r
		if n++; n%checkpointStep == 0 {
			runtime.Gosched()
		}
		return out.Append(one[:], i.MetadataVersion()) == nil
	})
	if err := out.Close(); err != nil { // with Append's error, if there was one
		return fmt.Errorf("image: checkpoint at offset %d: %w", i.endOffset, err)
	}
	return nil
}

// ReadCheckpoint reads a checkpoint file. What it holds counts as lying at its last offset. It returns an error for a
// file that is damaged, not the one that id names, or holds records that make no sense.
func ReadCheckpoint(id records.SnapshotID, r io.Reader) (img *Image, err error) {
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case *ReplayError:
			img, err = nil, failed
		default:
			panic(failed)
		}
		if err != nil {
			err = fmt.Errorf("image: checkpoint %s: %w", id.FileName(), err)
		}
	}()
	in, err := records.ReadCheckpoint(r)
	if err != nil {
		return nil, err
	}
	if in.Epoch != id.Epoch {
		return nil, fmt.Errorf("its batches are of epoch %d", in.Epoch)
	}
	e := new(Image).Edit()
	last := id.EndOffset - 1
	if in.KRaft != nil {
		e.ReplayControl(in.KRaft, last)
	}
	if in.Voters != nil {
		e.ReplayControl(in.Voters, last)
	}
	for {
		step, err := in.Next()
		if errors.Is(err, io.EOF) {
			e.Advance(id.EndOffset, id.Epoch, in.Header.LastContainedLogTimestamp)
			return e.Image(), nil
		}
		if err != nil {
			return nil, err
		}
		for _, r := range step {
			e.Replay(r, last)
		}
	}
}

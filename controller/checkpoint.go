package controller

import (
	"fmt"
	"io"

	"yakt/controller/image"
	"yakt/records"
)

// Checkpoint implements the log's state machine. It captures what is applied; write may run later, on any goroutine.
func (c *Controller) Checkpoint() (records.SnapshotID, func(io.Writer) error, error) {
	img := c.committed.last()
	id := records.SnapshotID{EndOffset: img.EndOffset(), Epoch: img.Epoch()}
	now := c.clock().UnixMilli()
	return id, func(w io.Writer) error { return img.WriteCheckpoint(w, now) }, nil
}

// Restore implements the log's state machine: the image becomes the checkpoint's.
func (c *Controller) Restore(id records.SnapshotID, checkpoint io.Reader) error {
	img, err := image.ReadCheckpoint(id, checkpoint)
	if err != nil {
		return fmt.Errorf("controller: restore: %w", err)
	}
	c.committed.restore(img)
	c.logger.Info("checkpoint restored", "offset", id.EndOffset, "epoch", id.Epoch)
	return nil
}

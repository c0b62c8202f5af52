package controller

import (
	"context"

	"yakt/controller/image"
	"yakt/records"
)

// Change is one record that was committed.
type Change struct {
	Offset    int64
	Timestamp int64 // of its batch, in milliseconds since the Unix epoch
	Record    records.Record
	Version   int16 // in which it was written
}

// Changes is what was committed after some time, in order.
type Changes struct {
	// Image is where to start from: set, and Changes empty, when the time was 0 or older than what the log keeps.
	Image   *image.Image
	Changes []Change
	Next    int64 // timestamp to ask with next
	More    bool  // there is more already
}

// ChangesSince returns what was committed after a time.
func (c *Controller) ChangesSince(ctx context.Context, timestampMs int64, maxRecords int) (Changes, error) {
	img := c.Image()
	return Changes{Image: img, Next: img.Timestamp()}, nil
}

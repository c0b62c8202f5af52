package image_test

import (
	"errors"
	"slices"
	"testing"

	"yakt/controller/image"
	"yakt/records"
)

func text(s string) *string { return &s }

func id(n byte) records.UUID { return records.UUID{0: 1, 15: n} }

// replay returns the image after rs, the first of which lies at from's end offset.
func replay(from *image.Image, rs ...records.Record) *image.Image {
	e := from.Edit()
	for _, r := range rs {
		e.Replay(r, e.Image().EndOffset())
	}
	return e.Image()
}

func mustPanic(t *testing.T, from *image.Image, r records.Record) {
	t.Helper()
	defer func() {
		t.Helper()
		err, _ := recover().(error)
		var replay *image.ReplayError
		if !errors.As(err, &replay) || replay.Error() == "" {
			t.Errorf("%T %+v: panicked with %v, want a ReplayError", r, r, err)
		}
	}()
	replay(from, r)
}

func TestZeroImageIsTheEmptyCluster(t *testing.T) {
	var i image.Image
	if i.EndOffset() != 0 || i.NumBrokers() != 0 || i.NumTopics() != 0 || i.MetadataVersion() != 0 || i.InTransaction() {
		t.Error("the zero image is not empty")
	}
	for r := range i.Records() {
		t.Errorf("the zero image has a record: %T", r)
	}
	if i.Stable() != &i || i.Voters() != nil {
		t.Error("the zero image has a transaction or voters")
	}
	if id, epoch := i.Leader(); id != -1 || epoch != 0 {
		t.Errorf("leader %d %d", id, epoch)
	}
}

func TestImageHandedOutDoesNotChange(t *testing.T) {
	e := new(image.Image).Edit()
	e.Replay(&records.Topic{Name: "a", TopicID: id(1)}, 0)
	e.Replay(&records.Partition{TopicID: id(1), Replicas: []int32{1, 2}, ISR: []int32{1, 2}, Leader: 1}, 1)
	before := e.Image()
	if e.Image() != before {
		t.Error("an image that nothing happened to was made again")
	}
	c := records.NewPartitionChange(id(1), 0)
	c.ISR = []int32{2}
	c.Leader = 2
	e.Replay(c, 2)
	after := e.Image()
	old, _ := before.Topic(id(1))
	p, _ := old.Partition(0)
	if p.Leader != 1 || p.LeaderEpoch != 0 || p.PartitionEpoch != 0 || !slices.Equal(p.ISR, []int32{1, 2}) {
		t.Errorf("the old image changed: %+v", p)
	}
	topic, _ := after.TopicByName("a")
	p, _ = topic.Partition(0)
	if p.Leader != 2 || p.LeaderEpoch != 1 || p.PartitionEpoch != 1 || !slices.Equal(p.ISR, []int32{2}) || !slices.Equal(p.Replicas, []int32{1, 2}) {
		t.Errorf("the new image: %+v", p)
	}
	if after.EndOffset() != 3 || before.EndOffset() != 2 {
		t.Errorf("end offsets %d, %d", before.EndOffset(), after.EndOffset())
	}
}

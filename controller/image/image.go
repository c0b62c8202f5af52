// Package image holds what is known: the whole metadata of the cluster as an immutable value, and the rules by
// which records change it.
//
// An [Image] is the state at one offset. It never changes: any goroutine may read it for as long as it likes, and
// everything read from it is consistent. An [Edit] begins at an image and replays records; it belongs to one
// goroutine, and [Edit.Image] hands out the state it has reached, cheaply enough to do so after every operation.
// Any number of edits may begin at the same image, at the same time.
//
// Everything lies in copy-on-write ordered trees (cow.go). An edit changes in place only what it made itself since
// it last handed out an image. Slices and pointers that an image hands out are shared with it and with later
// images: they are for reading only.
//
// Replay panics with a [*ReplayError] on a record that makes no sense: a node that cannot follow the log has to
// stop, or it would diverge from those that can. Fields that a record's type does not name (unknown tags) are not
// kept, as in Apache Kafka.
package image

import (
	"fmt"

	"yakt/records"
)

// Image is the cluster's metadata at one offset. It is immutable; the zero value is the empty cluster at offset 0.
type Image struct {
	endOffset int64
	epoch     int32
	timestamp int64

	features    tree[string, int16]
	brokers     tree[int32, *Broker]
	controllers tree[int32, *Controller]
	topics      topics
	configs     tree[string, *resource]
	quotas      tree[string, *Quota]
	producerIDs producerIDs
	acls        acls
	scram       tree[string, *ScramCredential]
	tokens      tree[string, *DelegationToken]
	quorum      quorum

	// stable is the image at the open metadata transaction's beginning, nil when none is open.
	stable *Image
}

// EndOffset is the offset after the last record of the image.
func (i *Image) EndOffset() int64 { return i.endOffset }

// Epoch is the leader epoch of the last batch of the image.
func (i *Image) Epoch() int32 { return i.epoch }

// Timestamp is the time of the last batch of the image, in milliseconds since the Unix epoch.
func (i *Image) Timestamp() int64 { return i.timestamp }

// Edit begins an edit at the image. It does not write to the image: several goroutines may do so at once.
func (i *Image) Edit() *Edit { return &Edit{head: *i, frozen: i} }

// Edit is an image in the making. It belongs to one goroutine.
type Edit struct {
	head   Image
	by     *owner // of what the edit made since it last handed out an image; nil: nothing yet
	frozen *Image // the head as an image, nil once the head has moved on
	topic  *Topic // the topic written last, under by: records of a topic come in rows
}

// Image returns the state reached so far. Later replays do not change it.
func (e *Edit) Image() *Image {
	if e.frozen == nil {
		head := e.head
		e.frozen, e.by, e.topic = &head, nil, nil
	}
	return e.frozen
}

// View is the state reached so far, for reading until the next Replay, ReplayControl or Advance. It costs nothing,
// where [Edit.Image] makes later replays copy what they change.
func (e *Edit) View() *Image {
	if e.frozen != nil {
		return e.frozen
	}
	return &e.head
}

// owner is called by everything that writes to the head.
func (e *Edit) owner() *owner {
	e.frozen = nil
	if e.by == nil {
		e.by = new(owner)
	}
	return e.by
}

// Advance sets the position that the edit has reached: the offset after the last record, epoch and timestamp
// (milliseconds) of the batch that holds it. Replay moves only the end offset.
func (e *Edit) Advance(endOffset int64, epoch int32, timestamp int64) {
	e.owner()
	e.head.endOffset, e.head.epoch, e.head.timestamp = endOffset, epoch, timestamp
}

// ReplayError is the value that Replay panics with.
type ReplayError struct {
	Offset int64
	Record records.Record // may hold secrets: Error does not print it
	Reason string
}

// Error implements error.
func (e *ReplayError) Error() string {
	return fmt.Sprintf("image: cannot replay %T at offset %d: %s", e.Record, e.Offset, e.Reason)
}

// refuse ends the replay of a record that makes no sense.
func refuse(r records.Record, offset int64, format string, args ...any) {
	panic(&ReplayError{Offset: offset, Record: r, Reason: fmt.Sprintf(format, args...)})
}

// Replay applies the record that lies at offset. Records of a checkpoint all count as lying at its last offset
// (end offset - 1), as in Apache Kafka.
// It panics on a record that makes no sense and leaves the edit unusable then. The record is not kept, but parts of
// it may be: it must not be written to any more.
func (e *Edit) Replay(r records.Record, offset int64) {
	o := e.owner()
	switch r := r.(type) {
	case *records.RegisterBroker:
		e.replayRegisterBroker(o, r, offset)
	case *records.UnregisterBroker:
		e.replayUnregisterBroker(o, r, offset)
	case *records.FenceBroker:
		e.replayFenceBroker(o, r, offset)
	case *records.UnfenceBroker:
		e.replayUnfenceBroker(o, r, offset)
	case *records.BrokerRegistrationChange:
		e.replayBrokerRegistrationChange(o, r, offset)
	case *records.RegisterController:
		e.replayRegisterController(o, r)
	case *records.Topic:
		e.replayTopic(o, r, offset)
	case *records.RemoveTopic:
		e.replayRemoveTopic(o, r, offset)
	case *records.Partition:
		e.replayPartition(o, r, offset)
	case *records.PartitionChange:
		e.replayPartitionChange(o, r, offset)
	case *records.ClearELR:
		e.replayClearELR(o, r, offset)
	case *records.Config:
		e.replayConfig(o, r)
	case *records.ClientQuota:
		e.replayClientQuota(o, r)
	case *records.ProducerIDs:
		e.replayProducerIDs(o, r, offset)
	case *records.AccessControlEntry:
		e.replayAccessControlEntry(o, r, offset)
	case *records.RemoveAccessControlEntry:
		e.replayRemoveAccessControlEntry(o, r, offset)
	case *records.UserScramCredential:
		e.replayUserScramCredential(o, r)
	case *records.RemoveUserScramCredential:
		e.replayRemoveUserScramCredential(o, r, offset)
	case *records.DelegationToken:
		e.replayDelegationToken(o, r)
	case *records.RemoveDelegationToken:
		e.replayRemoveDelegationToken(o, r)
	case *records.FeatureLevel:
		e.replayFeatureLevel(o, r, offset)
	case *records.BeginTransaction:
		e.replayBeginTransaction(r, offset)
	case *records.EndTransaction:
		e.replayEndTransaction(r, offset)
	case *records.AbortTransaction:
		e.replayAbortTransaction(r, offset)
	case *records.NoOp:
	case *records.ZkMigrationState:
		// Left over in the logs of clusters that came from ZooKeeper; it says nothing to 4.x.
	default:
		refuse(r, offset, "unknown record type")
	}
	e.head.endOffset = max(e.head.endOffset, offset+1)
}

// ReplayBatch applies a whole batch of the log, data or control, and takes over its position. The batch must begin at
// the edit's end offset. It panics if it does not, if it cannot be decoded, and as Replay does.
//
// A metadata transaction that begins inside a batch has a stable image that ends inside it, where no checkpoint may be
// taken: controllers begin transactions with a batch.
func (e *Edit) ReplayBatch(b records.Batch) {
	offset := b.BaseOffset()
	if offset != e.head.endOffset {
		panic(fmt.Sprintf("image: a batch at offset %d, epoch %d, comes after end offset %d", offset, b.LeaderEpoch(), e.head.endOffset))
	}
	e.owner()
	if b.Control() {
		all, err := b.DecodeControl()
		if err != nil {
			panic(fmt.Errorf("image: %w", err))
		}
		for i, c := range all {
			e.ReplayControl(c, offset+int64(i))
		}
		e.Advance(b.EndOffset(), b.LeaderEpoch(), b.Timestamp())
		return
	}
	all, err := b.Decode()
	if err != nil {
		panic(fmt.Errorf("image: %w", err))
	}
	for i, r := range all {
		e.Replay(r, offset+int64(i))
		// After each, so that a transaction that begins inside the batch saves the right position.
		e.Advance(offset+int64(i)+1, b.LeaderEpoch(), b.Timestamp())
	}
}

package controller

import (
	"context"
	"io"
	"time"

	"yakt/records"
)

// Log is Kafka's metadata log as the controller needs it. raftlog is one, the simulator's model log another.
// All methods may be called from any goroutine. No callback is ever called from inside the call that took it.
type Log interface {
	// ClusterID is the id of the cluster whose log this is.
	ClusterID() string
	// Append proposes a batch and returns at once; batches are proposed in the order of the calls. done is called exactly
	// once, in that order: with nil after the batch is committed, counted and applied, or held back until the end of the metadata
	// transaction that it is part of counts (records.Sequence); with an error when it was refused, dropped, or its outcome is unknown. The error is
	// syscall.ENOSPC if it was refused for want of room, and nothing was written. who is opaque and travels beside the batch.
	Append(b records.Batch, who []byte, done func(error))
	// Barrier calls done(nil) once everything committed before the call is applied here and this node still leads.
	Barrier(done func(error))
	// Verify calls done(nil) once a quorum has confirmed, after the call, that this node still leads.
	Verify(done func(error))
	// Leading is the term this node has been elected for; false when it does not lead. It may lead before it has taken over.
	Leading() (term int32, ok bool)
	// Leader is who leads at which epoch, as one pair; the id is -1 while unknown.
	Leader() (id int32, epoch int32)
	// Notify sets what is called whenever Leading, Leader or Voters may have changed, and once right away. It must not block.
	Notify(func())
	// StartOffset is the first offset that Read can serve.
	StartOffset() int64
	// EndOffset is the high watermark: the end of what is committed, counted and applied.
	EndOffset() int64
	// Read returns whole batches, contiguous, beginning with the one that contains offset: at least one, then up to
	// maxBytes in all; none at the end offset. An offset outside StartOffset..EndOffset is an error.
	Read(offset int64, maxBytes int) ([]byte, error)
	// Wait returns nil when EndOffset is above offset or Leader is no longer the given pair, and an error when ctx has ended or the log
	// is closed. The caller looks at the leader first, then at what it waits for, then waits.
	Wait(ctx context.Context, offset int64, leader, epoch int32) error
	// EpochEnd finds the largest epoch not above the given one that has batches, and where it ends.
	EpochEnd(epoch int32) (found int32, end int64, ok bool)
	// LatestSnapshot and OldestSnapshot name the checkpoints that are kept.
	LatestSnapshot() (records.SnapshotID, bool)
	OldestSnapshot() (records.SnapshotID, bool)
	// OpenSnapshot opens a kept checkpoint; the error is fs.ErrNotExist when it is not kept.
	OpenSnapshot(records.SnapshotID) (interface {
		io.ReaderAt
		io.Closer
		Size() int64
	}, error)
	// Progress tells, while this node leads, how far every member of the quorum is: voters and those that are about to become
	// voters, this node included. Of what is committed, the member has everything below end; that is at least StartOffset, and 0 as
	// long as nothing that it answered in this term says what it has. The times are zero for who has not answered in this term.
	Progress(func(id int32, directory records.UUID, voter bool, end int64, answered, caughtUp time.Time))
	// AddVoter lets the node that runs at an address under this id and directory id into the quorum and returns when that is
	// committed; it votes later, once it has caught up. The error is fs.ErrInvalid if asking again is of no use.
	AddVoter(ctx context.Context, id int32, directory records.UUID, address string) error
	// RemoveVoter takes a member out of the quorum and returns when that is committed. A leader that is to remove itself lets
	// go of leadership instead, with an error. The error is fs.ErrInvalid if asking again is of no use.
	RemoveVoter(ctx context.Context, id int32, directory records.UUID) error
	// Voters is the quorum: raft's members with what each has announced of itself. A node outside of it names the others that it
	// knows of.
	Voters() []records.Voter
}

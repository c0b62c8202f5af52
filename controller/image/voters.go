package image

import "yakt/records"

// quorum is what the control records say. An aborted metadata transaction does not take it back.
type quorum struct {
	kraftVersion int16
	voters       *records.KRaftVoters
	leader       *records.LeaderChange
}

// KRaftVersion is the finalized kraft.version.
func (i *Image) KRaftVersion() int16 { return i.quorum.kraftVersion }

// Voters is the voter set that the log last named, nil when it named none. It is for reading.
func (i *Image) Voters() *records.KRaftVoters { return i.quorum.voters }

// Leader returns the leader that the last LeaderChange named and the epoch of the image's last batch, which is that
// leader's: every epoch opens with a LeaderChange. The leader is -1 when none is known, as after a checkpoint.
func (i *Image) Leader() (id, epoch int32) {
	if i.quorum.leader == nil {
		return -1, i.epoch
	}
	return i.quorum.leader.LeaderID, i.epoch
}

// Control returns what a checkpoint of the image says in control records: the kraft.version, nil when it is 0, and
// the voters, nil when there are none.
func (i *Image) Control() (*records.KRaftVersion, *records.KRaftVoters) {
	if i.quorum.kraftVersion == 0 {
		return nil, nil
	}
	return &records.KRaftVersion{Version: i.quorum.kraftVersion}, i.quorum.voters
}

// ReplayControl applies the control record that lies at offset. A checkpoint's header sets the timestamp, its footer
// says nothing. The record is kept and must not be written to any more.
func (e *Edit) ReplayControl(c records.ControlRecord, offset int64) {
	e.owner()
	switch c := c.(type) {
	case *records.LeaderChange:
		e.head.quorum.leader = c
	case *records.KRaftVersion:
		e.head.quorum.kraftVersion = c.Version
	case *records.KRaftVoters:
		e.head.quorum.voters = c
	case *records.SnapshotHeader:
		e.head.timestamp = c.LastContainedLogTimestamp
	}
	e.head.endOffset = max(e.head.endOffset, offset+1)
}

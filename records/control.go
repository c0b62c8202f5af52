package records

// ControlType is the type in a control record's key.
type ControlType int16

// The control record types of the metadata log.
const (
	ControlLeaderChange   ControlType = 2
	ControlSnapshotHeader ControlType = 3
	ControlSnapshotFooter ControlType = 4
	ControlKRaftVersion   ControlType = 5
	ControlKRaftVoters    ControlType = 6
)

// ControlRecord is one control record of the metadata log (KIP-595, KIP-630, KIP-853): a pointer to one of the types below.
type ControlRecord interface {
	ControlType() ControlType
}

// LeaderChange opens a leader's epoch. It is written at schema version 0 only: brokers cannot read another.
type LeaderChange struct {
	LeaderID       int32
	Voters         []int32
	GrantingVoters []int32
}

// SnapshotHeader opens a checkpoint file.
type SnapshotHeader struct {
	LastContainedLogTimestamp int64 // ms since the epoch
}

// SnapshotFooter closes a checkpoint file.
type SnapshotFooter struct{}

// KRaftVersion is the finalized kraft.version.
type KRaftVersion struct {
	Version int16
}

// Voter is one member of the quorum as KRaftVoters names it.
type Voter struct {
	ID          int32
	DirectoryID UUID
	Endpoints   []VoterEndpoint
	MinKRaft    int16
	MaxKRaft    int16
}

// VoterEndpoint is one listener of a voter.
type VoterEndpoint struct {
	Name string
	Host string
	Port uint16
}

// KRaftVoters is the voter set.
type KRaftVoters struct {
	Voters []Voter
}

// ControlType implements ControlRecord.
func (*LeaderChange) ControlType() ControlType { return ControlLeaderChange }

// ControlType implements ControlRecord.
func (*SnapshotHeader) ControlType() ControlType { return ControlSnapshotHeader }

// ControlType implements ControlRecord.
func (*SnapshotFooter) ControlType() ControlType { return ControlSnapshotFooter }

// ControlType implements ControlRecord.
func (*KRaftVersion) ControlType() ControlType { return ControlKRaftVersion }

// ControlType implements ControlRecord.
func (*KRaftVoters) ControlType() ControlType { return ControlKRaftVoters }

package records

// Topic names a topic.
type Topic struct {
	Name    string
	TopicID UUID

	Unknown []UnknownTag
}

// RemoveTopic removes a topic, its partitions and its configs.
type RemoveTopic struct {
	TopicID UUID

	Unknown []UnknownTag
}

// Partition is the full state of one partition, written when it is created and in snapshots.
// Version 1 adds Directories (KIP-858), version 2 the eligible leader replicas (KIP-966).
type Partition struct {
	PartitionID            int32
	TopicID                UUID
	Replicas               []int32
	ISR                    []int32
	RemovingReplicas       []int32
	AddingReplicas         []int32
	Leader                 int32 // -1: none
	LeaderRecoveryState    int8  // 0 recovered, 1 recovering
	LeaderEpoch            int32
	PartitionEpoch         int32
	Directories            []UUID
	EligibleLeaderReplicas []int32 // nil and empty mean none; written only when not empty
	LastKnownELR           []int32

	Unknown []UnknownTag
}

// What a PartitionChange says when a field does not change.
const (
	LeaderUnchanged        int32 = -2
	RecoveryStateUnchanged int8  = -1
	NoLeader               int32 = -1
)

// PartitionChange changes one partition; NewPartitionChange gives one that changes nothing yet.
// Each raises the partition epoch by one; the leader epoch rises when Leader is set, even to the same id.
// Version 1 adds Directories (KIP-858), version 2 the eligible leader replicas (KIP-966).
type PartitionChange struct {
	PartitionID            int32
	TopicID                UUID
	ISR                    []int32 // this and the lists below: nil is unchanged, empty is "now empty"
	Leader                 int32   // LeaderUnchanged, NoLeader or a broker
	Replicas               []int32
	RemovingReplicas       []int32
	AddingReplicas         []int32
	LeaderRecoveryState    int8 // RecoveryStateUnchanged, 0 recovered, 1 recovering
	Directories            []UUID
	EligibleLeaderReplicas []int32
	LastKnownELR           []int32

	Unknown []UnknownTag
}

// NewPartitionChange returns a change of the partition that leaves every field as it is.
func NewPartitionChange(topic UUID, partition int32) *PartitionChange {
	return &PartitionChange{PartitionID: partition, TopicID: topic, Leader: LeaderUnchanged, LeaderRecoveryState: RecoveryStateUnchanged}
}

// ClearELR forgets the eligible leader replicas of a topic, or of all topics (KIP-966).
type ClearELR struct {
	TopicName string // empty: all topics

	Unknown []UnknownTag
}

// APIKey implements Record.
func (*Topic) APIKey() Key { return KeyTopic }

// APIKey implements Record.
func (*RemoveTopic) APIKey() Key { return KeyRemoveTopic }

// APIKey implements Record.
func (*Partition) APIKey() Key { return KeyPartition }

// APIKey implements Record.
func (*PartitionChange) APIKey() Key { return KeyPartitionChange }

// APIKey implements Record.
func (*ClearELR) APIKey() Key { return KeyClearELR }

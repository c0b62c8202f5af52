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
	EligibleLeaderReplicas []int32 // nil and empty mean none; write nil, as Apache does
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

func (r *Topic) fields(c *codec) {
	c.string("name", &r.Name)
	c.uuid("topicId", &r.TopicID)
	c.unknownTags(&r.Unknown)
}

func (r *RemoveTopic) fields(c *codec) {
	c.uuid("topicId", &r.TopicID)
	c.unknownTags(&r.Unknown)
}

func (r *Partition) fields(c *codec) {
	c.int32("partitionId", &r.PartitionID)
	c.uuid("topicId", &r.TopicID)
	c.int32s("replicas", &r.Replicas)
	c.int32s("isr", &r.ISR)
	c.int32s("removingReplicas", &r.RemovingReplicas)
	c.int32s("addingReplicas", &r.AddingReplicas)
	c.int32("leader", &r.Leader)
	c.tagInt8(0, 0, "leaderRecoveryState", &r.LeaderRecoveryState, 0)
	c.int32("leaderEpoch", &r.LeaderEpoch)
	c.int32("partitionEpoch", &r.PartitionEpoch)
	c.uuidsSince(1, "directories", &r.Directories)
	c.tagInt32sOrNull(1, 2, "eligibleLeaderReplicas", &r.EligibleLeaderReplicas)
	c.tagInt32sOrNull(2, 2, "lastKnownElr", &r.LastKnownELR)
	c.unknownTags(&r.Unknown)
}

func (r *PartitionChange) fields(c *codec) {
	c.int32("partitionId", &r.PartitionID)
	c.uuid("topicId", &r.TopicID)
	c.tagInt32sOrNull(0, 0, "isr", &r.ISR)
	c.tagInt32(1, 0, "leader", &r.Leader, LeaderUnchanged)
	c.tagInt32sOrNull(2, 0, "replicas", &r.Replicas)
	c.tagInt32sOrNull(3, 0, "removingReplicas", &r.RemovingReplicas)
	c.tagInt32sOrNull(4, 0, "addingReplicas", &r.AddingReplicas)
	c.tagInt8(5, 0, "leaderRecoveryState", &r.LeaderRecoveryState, RecoveryStateUnchanged)
	c.tagUUIDsOrNull(8, 1, "directories", &r.Directories)
	c.tagInt32sOrNull(6, 2, "eligibleLeaderReplicas", &r.EligibleLeaderReplicas)
	c.tagInt32sOrNull(7, 2, "lastKnownElr", &r.LastKnownELR)
	c.unknownTags(&r.Unknown)
}

func (r *ClearELR) fields(c *codec) {
	c.string("topicName", &r.TopicName)
	c.unknownTags(&r.Unknown)
}

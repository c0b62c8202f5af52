package records

import (
	"slices"
	"strings"
)

// FeatureLevel finalizes a feature's level; level 0 removes the feature (KIP-584, KIP-778).
type FeatureLevel struct {
	Name  string
	Level int16

	Unknown []UnknownTag
}

// ZkMigrationState is read, never written: 4.x controllers know no ZooKeeper.
type ZkMigrationState struct {
	State int8

	Unknown []UnknownTag
}

// APIKey implements Record.
func (*FeatureLevel) APIKey() Key { return KeyFeatureLevel }

// APIKey implements Record.
func (*ZkMigrationState) APIKey() Key { return KeyZkMigrationState }

func (r *FeatureLevel) fields(c *codec) {
	c.string("name", &r.Name)
	c.int16("featureLevel", &r.Level)
	c.unknownTags(&r.Unknown)
}

func (r *ZkMigrationState) fields(c *codec) {
	c.int8("zkMigrationState", &r.State)
	c.unknownTags(&r.Unknown)
}

// The features of Kafka 4.3.0.
const (
	FeatureMetadataVersion    = "metadata.version"
	FeatureKRaftVersion       = "kraft.version" // in control records, never in a FeatureLevel
	FeatureTransactionVersion = "transaction.version"
	FeatureGroupVersion       = "group.version"
	FeatureELRVersion         = "eligible.leader.replicas.version"
	FeatureShareVersion       = "share.version"
	FeatureStreamsVersion     = "streams.version"
)

// featureTable says, in name order, which levels a feature has and from which metadata.version on
// its highest one is the default. metadata.version itself and kraft.version are not in it.
var featureTable = [...]struct {
	name  string
	max   int16
	since MetadataVersion
}{
	{FeatureELRVersion, 1, 26},
	{FeatureGroupVersion, 1, 22},
	{FeatureShareVersion, 1, 28},
	{FeatureStreamsVersion, 1, 29},
	{FeatureTransactionVersion, 2, 24},
}

// SupportedFeatures returns what a Kafka 4.3.0 node supports, in name order, as it says so in its registration.
func SupportedFeatures() []FeatureRange {
	features := []FeatureRange{
		{Name: FeatureKRaftVersion, Min: 0, Max: 1},
		{Name: FeatureMetadataVersion, Min: int16(MinMetadataVersion), Max: int16(LatestMetadataVersion)},
	}
	for _, f := range featureTable {
		features = append(features, FeatureRange{Name: f.name, Min: 0, Max: f.max})
	}
	slices.SortFunc(features, func(a, b FeatureRange) int { return strings.Compare(a.Name, b.Name) })
	return features
}

// FeatureDefaults returns the FeatureLevel records that a new log at this level begins with:
// metadata.version, then in name order the others whose default is not 0.
func FeatureDefaults(level MetadataVersion) []*FeatureLevel {
	levels := []*FeatureLevel{{Name: FeatureMetadataVersion, Level: int16(level)}}
	for _, f := range featureTable {
		if level >= f.since {
			levels = append(levels, &FeatureLevel{Name: f.name, Level: f.max})
		}
	}
	return levels
}

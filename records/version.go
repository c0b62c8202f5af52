package records

import (
	"fmt"
	"strconv"
	"strings"
)

// MetadataVersion is a level of the feature metadata.version: it says which record types and
// versions a controller may write. Read it from the image, never from a constant.
type MetadataVersion int16

// The levels Kafka 4.3.0 knows. Those above the latest are unstable there.
const (
	MinMetadataVersion    MetadataVersion = 7
	LatestMetadataVersion MetadataVersion = 30
	maxMetadataVersion    MetadataVersion = 31
)

// The levels from which something new may be written.
const (
	levelRegisterBroker2    MetadataVersion = 8
	levelScram              MetadataVersion = 11 // KIP-900
	levelMetadataTxns       MetadataVersion = 13
	levelDelegationTokens   MetadataVersion = 14 // KIP-48
	levelRegisterController MetadataVersion = 15
	levelDirectories        MetadataVersion = 17 // JBOD, KIP-858
	levelELR                MetadataVersion = 23 // KIP-966
	levelCordonedDirs       MetadataVersion = 30 // KIP-1066
)

// metadataVersions holds the names, by level from MinMetadataVersion on.
var metadataVersions = [...]string{
	"3.3-IV3",
	"3.4-IV0",
	"3.5-IV0", "3.5-IV1", "3.5-IV2",
	"3.6-IV0", "3.6-IV1", "3.6-IV2",
	"3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4",
	"3.8-IV0",
	"3.9-IV0",
	"4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3",
	"4.1-IV0", "4.1-IV1",
	"4.2-IV0", "4.2-IV1",
	"4.3-IV0",
	"4.4-IV0",
}

// Known reports whether Kafka 4.3.0 knows the level.
func (v MetadataVersion) Known() bool { return v >= MinMetadataVersion && v <= maxMetadataVersion }

// String returns the level's name, such as 4.3-IV0.
func (v MetadataVersion) String() string {
	if !v.Known() {
		return fmt.Sprintf("MetadataVersion(%d)", int16(v))
	}
	return metadataVersions[v-MinMetadataVersion]
}

// ParseMetadataVersion reads a level's name (4.3-IV0), a release (4.3, meaning its last level) or
// a number (30).
func ParseMetadataVersion(s string) (MetadataVersion, error) {
	if n, err := strconv.ParseInt(s, 10, 16); err == nil && MetadataVersion(n).Known() {
		return MetadataVersion(n), nil
	}
	for v := maxMetadataVersion; v >= MinMetadataVersion; v-- {
		release, _, _ := strings.Cut(v.String(), "-")
		if s == v.String() || s == release {
			return v, nil
		}
	}
	return 0, fmt.Errorf("records: %.40q is no metadata.version: known are %v to %v", s, MinMetadataVersion, maxMetadataVersion)
}

// HasZKMigration reports whether a broker's registration may say that it migrates from ZooKeeper (KIP-866).
func (v MetadataVersion) HasZKMigration() bool { return v >= levelRegisterBroker2 }

// HasScram reports whether SCRAM credentials may be written (KIP-900).
func (v MetadataVersion) HasScram() bool { return v >= levelScram }

// HasDelegationTokens reports whether delegation tokens may be written (KIP-48).
func (v MetadataVersion) HasDelegationTokens() bool { return v >= levelDelegationTokens }

// HasTransactions reports whether metadata transactions may be written (KIP-868).
func (v MetadataVersion) HasTransactions() bool { return v >= levelMetadataTxns }

// HasControllerRegistration reports whether RegisterController may be written (KIP-919).
func (v MetadataVersion) HasControllerRegistration() bool { return v >= levelRegisterController }

// HasDirectories reports whether partitions have directories (KIP-858).
func (v MetadataVersion) HasDirectories() bool { return v >= levelDirectories }

// HasELR reports whether eligible leader replicas may be written (KIP-966).
func (v MetadataVersion) HasELR() bool { return v >= levelELR }

// HasCordonedDirectories reports whether cordoned directories may be written (KIP-1066).
func (v MetadataVersion) HasCordonedDirectories() bool { return v >= levelCordonedDirs }

// VersionOf returns the version in which a controller writes the record at a level. With
// BrokerRegistrationChange the content decides, not the level.
func VersionOf(r Record, level MetadataVersion) int16 {
	switch r := r.(type) {
	case *RegisterBroker:
		switch {
		case level >= levelCordonedDirs:
			return 4
		case level >= levelDirectories:
			return 3
		case level >= levelRegisterBroker2:
			return 2
		}
		return 1
	case *Partition, *PartitionChange:
		switch {
		case level >= levelELR:
			return 2
		case level >= levelDirectories:
			return 1
		}
	case *BrokerRegistrationChange:
		switch {
		case r.CordonedLogDirs != nil:
			return 3
		case r.LogDirs != nil: // empty when the last one went offline
			return 2
		case r.InControlledShutdown != 0:
			return 1
		}
	}
	return 0
}

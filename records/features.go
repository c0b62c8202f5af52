package records

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

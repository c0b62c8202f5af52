package records

// UUID is Kafka's 128-bit id, most significant byte first. It converts freely to and from [16]byte, which kmsg uses.
type UUID [16]byte

// The reserved ids. As a directory the zero id means MIGRATING, not "unassigned" (KIP-858).
var (
	ZeroUUID            = UUID{}
	MetadataTopicID     = UUID{15: 1}
	DirectoryMigrating  = UUID{}
	DirectoryUnassigned = UUID{15: 1}
	DirectoryLost       = UUID{15: 2}
)

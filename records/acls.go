package records

// AccessControlEntry adds one ACL; the numbers are those of the Kafka protocol.
type AccessControlEntry struct {
	ID             UUID
	ResourceType   int8
	ResourceName   string
	PatternType    int8
	Principal      string
	Host           string
	Operation      int8
	PermissionType int8

	Unknown []UnknownTag
}

// RemoveAccessControlEntry removes the ACL with this id.
type RemoveAccessControlEntry struct {
	ID UUID

	Unknown []UnknownTag
}

// APIKey implements Record.
func (*AccessControlEntry) APIKey() Key { return KeyAccessControlEntry }

// APIKey implements Record.
func (*RemoveAccessControlEntry) APIKey() Key { return KeyRemoveAccessControlEntry }

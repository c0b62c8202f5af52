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

func (r *AccessControlEntry) fields(c *codec) {
	c.uuid("id", &r.ID)
	c.int8("resourceType", &r.ResourceType)
	c.string("resourceName", &r.ResourceName)
	c.int8("patternType", &r.PatternType)
	c.string("principal", &r.Principal)
	c.string("host", &r.Host)
	c.int8("operation", &r.Operation)
	c.int8("permissionType", &r.PermissionType)
	c.unknownTags(&r.Unknown)
}

func (r *RemoveAccessControlEntry) fields(c *codec) {
	c.uuid("id", &r.ID)
	c.unknownTags(&r.Unknown)
}

package records

// QuotaEntity is one part of what a client quota applies to.
type QuotaEntity struct {
	Type string  // user, client-id or ip
	Name *string // nil: the default entity

	Unknown []UnknownTag
}

// ClientQuota sets or removes one quota of an entity (KIP-546).
type ClientQuota struct {
	Entity []QuotaEntity
	Key    string
	Value  float64
	Remove bool

	Unknown []UnknownTag
}

// APIKey implements Record.
func (*ClientQuota) APIKey() Key { return KeyClientQuota }

func (e *QuotaEntity) fields(c *codec) {
	c.string("entityType", &e.Type)
	c.stringOrNull("entityName", &e.Name)
	c.unknownTags(&e.Unknown)
}

func (r *ClientQuota) fields(c *codec) {
	structs(c, "entity", &r.Entity)
	c.string("key", &r.Key)
	c.float64("value", &r.Value)
	c.bool("remove", &r.Remove)
	c.unknownTags(&r.Unknown)
}

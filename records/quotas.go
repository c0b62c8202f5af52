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

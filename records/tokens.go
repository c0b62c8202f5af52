package records

// DelegationToken sets a delegation token (KIP-900); times are milliseconds since the epoch.
type DelegationToken struct {
	Owner               string
	Requester           string
	Renewers            []string
	IssueTimestamp      int64
	MaxTimestamp        int64
	ExpirationTimestamp int64
	TokenID             string

	Unknown []UnknownTag
}

// RemoveDelegationToken removes a delegation token.
type RemoveDelegationToken struct {
	TokenID string

	Unknown []UnknownTag
}

// APIKey implements Record.
func (*DelegationToken) APIKey() Key { return KeyDelegationToken }

// APIKey implements Record.
func (*RemoveDelegationToken) APIKey() Key { return KeyRemoveDelegationToken }

func (r *DelegationToken) fields(c *codec) {
	c.string("owner", &r.Owner)
	c.string("requester", &r.Requester)
	c.strings("renewers", &r.Renewers)
	c.int64("issueTimestamp", &r.IssueTimestamp)
	c.int64("maxTimestamp", &r.MaxTimestamp)
	c.int64("expirationTimestamp", &r.ExpirationTimestamp)
	c.string("tokenId", &r.TokenID)
	c.unknownTags(&r.Unknown)
}

func (r *RemoveDelegationToken) fields(c *codec) {
	c.string("tokenId", &r.TokenID)
	c.unknownTags(&r.Unknown)
}

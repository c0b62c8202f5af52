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

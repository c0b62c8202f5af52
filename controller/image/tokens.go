package image

import (
	"iter"

	"yakt/records"
)

// DelegationToken is a delegation token (KIP-900); times are milliseconds since the Unix epoch. It is never changed,
// only replaced. Its HMAC, the secret, is not stored but computed.
type DelegationToken struct {
	ID                  string
	Owner               string
	Requester           string
	Renewers            []string
	IssueTimestamp      int64
	MaxTimestamp        int64
	ExpirationTimestamp int64
}

// DelegationToken returns the token with this id.
func (i *Image) DelegationToken(id string) (*DelegationToken, bool) { return i.tokens.get(id) }

// DelegationTokens iterates over all tokens by id.
func (i *Image) DelegationTokens() iter.Seq[*DelegationToken] { return i.tokens.values() }

func (e *Edit) replayDelegationToken(o *owner, r *records.DelegationToken) {
	e.head.tokens.set(o, r.TokenID, &DelegationToken{
		ID:                  r.TokenID,
		Owner:               r.Owner,
		Requester:           r.Requester,
		Renewers:            append([]string{}, r.Renewers...),
		IssueTimestamp:      r.IssueTimestamp,
		MaxTimestamp:        r.MaxTimestamp,
		ExpirationTimestamp: r.ExpirationTimestamp,
	})
}

// replayRemoveDelegationToken takes the removal of a token that is not there, as Apache Kafka does.
func (e *Edit) replayRemoveDelegationToken(o *owner, r *records.RemoveDelegationToken) {
	e.head.tokens.delete(o, r.TokenID)
}

func (t *DelegationToken) record() *records.DelegationToken {
	return &records.DelegationToken{
		Owner:               t.Owner,
		Requester:           t.Requester,
		Renewers:            t.Renewers,
		IssueTimestamp:      t.IssueTimestamp,
		MaxTimestamp:        t.MaxTimestamp,
		ExpirationTimestamp: t.ExpirationTimestamp,
		TokenID:             t.ID,
	}
}

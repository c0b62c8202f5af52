package image

import (
	"fmt"
	"iter"

	"yakt/records"
)

// Secret is bytes that must not reach a log: however it is printed or marshalled, it says "redacted".
type Secret []byte

const redacted = "redacted"

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, for the verbs that do not ask String.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, which log/slog and encoding/json ask.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// SCRAM mechanisms.
const (
	ScramSHA256 int8 = 1
	ScramSHA512 int8 = 2
)

// ScramCredential is a user's credential for one mechanism (KIP-554). It is never changed, only replaced.
type ScramCredential struct {
	User       string
	Mechanism  int8
	Salt       Secret
	StoredKey  Secret
	ServerKey  Secret
	Iterations int32
}

// ScramCredential returns the user's credential for a mechanism.
func (i *Image) ScramCredential(user string, mechanism int8) (*ScramCredential, bool) {
	return i.scram.get(scramKey(user, mechanism))
}

// ScramCredentials iterates over all credentials by user, then mechanism.
func (i *Image) ScramCredentials() iter.Seq[*ScramCredential] { return i.scram.values() }

func scramKey(user string, mechanism int8) string {
	var buf [64]byte
	return string(append(appendText(buf[:0], user), byte(mechanism)))
}

func (e *Edit) replayUserScramCredential(o *owner, r *records.UserScramCredential) {
	e.head.scram.set(o, scramKey(r.Name, r.Mechanism), &ScramCredential{
		User:       r.Name,
		Mechanism:  r.Mechanism,
		Salt:       append(Secret{}, r.Salt...),
		StoredKey:  append(Secret{}, r.StoredKey...),
		ServerKey:  append(Secret{}, r.ServerKey...),
		Iterations: r.Iterations,
	})
}

func (e *Edit) replayRemoveUserScramCredential(o *owner, r *records.RemoveUserScramCredential, offset int64) {
	if !e.head.scram.delete(o, scramKey(r.Name, r.Mechanism)) {
		refuse(r, offset, "user %q has no credential for mechanism %d", r.Name, r.Mechanism)
	}
}

func (c *ScramCredential) record() *records.UserScramCredential {
	return &records.UserScramCredential{
		Name:       c.User,
		Mechanism:  c.Mechanism,
		Salt:       c.Salt,
		StoredKey:  c.StoredKey,
		ServerKey:  c.ServerKey,
		Iterations: c.Iterations,
	}
}

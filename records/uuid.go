package records

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
)

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

// uuidLen is the length of a UUID's text.
const uuidLen = 22

// String returns Kafka's text form: 22 characters of URL-safe base64 without padding.
func (u UUID) String() string { return string(u.appendText(nil)) }

func (u UUID) appendText(b []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(b, u[:])
}

// MarshalText implements encoding.TextMarshaler.
func (u UUID) MarshalText() ([]byte, error) { return u.appendText(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *UUID) UnmarshalText(text []byte) (err error) {
	*u, err = ParseUUID(string(text))
	return err
}

// ParseUUID reads the text form. Padding is allowed, and the bits of the last character that do not
// fit into 128 are ignored, as Apache does.
func ParseUUID(s string) (UUID, error) {
	text := s
	if len(text) == uuidLen+2 && text[uuidLen:] == "==" {
		text = text[:uuidLen]
	}
	var u UUID
	if len(text) == uuidLen {
		// The decoder skips line breaks, so the number of bytes has to be looked at too.
		var b [uuidLen]byte
		if n, err := base64.RawURLEncoding.Decode(b[:], []byte(text)); err == nil && n == len(u) {
			return UUID(b[:len(u)]), nil
		}
	}
	return u, fmt.Errorf("records: %.40q is not a Kafka id (%d characters of URL-safe base64)", s, uuidLen)
}

// RandomUUID draws a version-4 UUID from r. It is never a reserved one, and its text never begins
// with '-', which command lines would take for a flag. It panics when r fails, which crypto/rand's reader does not.
func RandomUUID(r io.Reader) UUID {
	for {
		var u UUID
		if _, err := io.ReadFull(r, u[:]); err != nil {
			panic(fmt.Sprintf("records: no random bytes: %v", err))
		}
		u[6] = u[6]&0x0f | 0x40 // version 4; so no reserved id either, those begin with zeros
		u[8] = u[8]&0x3f | 0x80 // the usual variant
		if u[0]>>2 != 62 {      // '-'
			return u
		}
	}
}

// Reserved reports whether the id is one of the first hundred, which as directories have or may get a meaning of their own.
func (u UUID) Reserved() bool {
	return binary.BigEndian.Uint64(u[:8]) == 0 && binary.BigEndian.Uint64(u[8:]) < 100
}

// Compare orders as Kafka does: as two signed 64-bit halves.
func (u UUID) Compare(v UUID) int {
	if n := cmp.Compare(int64(binary.BigEndian.Uint64(u[:8])), int64(binary.BigEndian.Uint64(v[:8]))); n != 0 {
		return n
	}
	return cmp.Compare(int64(binary.BigEndian.Uint64(u[8:])), int64(binary.BigEndian.Uint64(v[8:])))
}

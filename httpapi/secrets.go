package httpapi

import (
	"strings"

	"yakt/records"
)

// What must not leave by HTTP: anybody who reaches the port may read, and brokers that need the rest fetch the log itself.

// redacted stands where a secret text was; secret bytes are empty.
const redacted = "redacted"

// shown is a config's value as far as it may be seen: brokers keep passwords and keys among their dynamic configs.
func shown(key, value string) string {
	for _, secret := range []string{"password", "secret", "jaas.config", "ssl.keystore.key", "ssl.keystore.certificate.chain", "ssl.truststore.certificates", "credential"} {
		if strings.Contains(key, secret) {
			return redacted
		}
	}
	return value
}

// withoutSecrets returns a record as it may be seen: itself, or a copy.
func withoutSecrets(r records.Record) records.Record {
	switch r := r.(type) {
	case *records.UserScramCredential:
		public := *r
		public.Salt, public.StoredKey, public.ServerKey = nil, nil, nil
		return &public
	case *records.Config:
		if r.Value == nil || shown(r.Name, *r.Value) == *r.Value {
			return r
		}
		public := *r
		value := redacted
		public.Value = &value
		return &public
	}
	// A delegation token's record has its id and its owner; what lets somebody use it is computed from a key that no record has.
	return r
}

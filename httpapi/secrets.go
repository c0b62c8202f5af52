package httpapi

import (
	"yakt/controller/configs"
	"yakt/controller/image"
	"yakt/records"
)

// What must not leave by HTTP: anybody who reaches the port may read, and brokers that need the rest fetch the log itself.

// redacted stands where a secret text was; secret bytes are empty.
const redacted = "redacted"

// shown is a config's value as far as it may be seen, which is what DescribeConfigs shows: brokers keep passwords and keys
// among their dynamic configs, and plug-ins of theirs may do so under any name.
func shown(kind int8, name, value string) string {
	known := false
	switch kind {
	case image.ConfigTopic:
		_, known = configs.Topic(name)
	case image.ConfigBroker:
		known = !configs.BrokerSensitive(name)
	case image.ConfigClientMetrics:
		_, known = configs.ClientMetrics(name)
	case image.ConfigGroup:
		_, known = configs.Group(name)
	}
	if !known {
		return redacted
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
		if r.Value == nil || shown(r.ResourceType, r.Name, *r.Value) == *r.Value {
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

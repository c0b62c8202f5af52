package records

import "fmt"

// Key is the api key of a metadata record type, as KIP-746 numbers them.
type Key uint16

// The record types of Apache Kafka 4.3.0. Keys 6, 13 and 16 are retired and never reused.
const (
	KeyRegisterBroker            Key = 0
	KeyUnregisterBroker          Key = 1
	KeyTopic                     Key = 2
	KeyPartition                 Key = 3
	KeyConfig                    Key = 4
	KeyPartitionChange           Key = 5
	KeyFenceBroker               Key = 7
	KeyUnfenceBroker             Key = 8
	KeyRemoveTopic               Key = 9
	KeyDelegationToken           Key = 10
	KeyUserScramCredential       Key = 11
	KeyFeatureLevel              Key = 12
	KeyClientQuota               Key = 14
	KeyProducerIDs               Key = 15
	KeyBrokerRegistrationChange  Key = 17
	KeyAccessControlEntry        Key = 18
	KeyRemoveAccessControlEntry  Key = 19
	KeyNoOp                      Key = 20
	KeyZkMigrationState          Key = 21
	KeyRemoveUserScramCredential Key = 22
	KeyBeginTransaction          Key = 23
	KeyEndTransaction            Key = 24
	KeyAbortTransaction          Key = 25
	KeyRemoveDelegationToken     Key = 26
	KeyRegisterController        Key = 27
	KeyClearELR                  Key = 28
)

// Record is one metadata record: a pointer to one of the types of this package.
// A record is a plain value; whoever holds it may read it from any goroutine as long as nobody writes it.
type Record interface {
	// APIKey is the number by which Apache Kafka knows the type.
	APIKey() Key
}

// UnknownTag is a tagged field that this package's schemas do not name. It is kept so that a
// record written by a newer Kafka survives being read and written again.
type UnknownTag struct {
	Tag  uint32
	Data []byte
}

// recordTypes is the table of all types, by key.
var recordTypes = [...]struct {
	name    string // Apache's, which ends in Record
	highest int16  // version; all begin at 0
	new     func() Record
}{
	KeyRegisterBroker:            {"RegisterBrokerRecord", 4, func() Record { return new(RegisterBroker) }},
	KeyUnregisterBroker:          {"UnregisterBrokerRecord", 0, func() Record { return new(UnregisterBroker) }},
	KeyTopic:                     {"TopicRecord", 0, func() Record { return new(Topic) }},
	KeyPartition:                 {"PartitionRecord", 2, func() Record { return new(Partition) }},
	KeyConfig:                    {"ConfigRecord", 0, func() Record { return new(Config) }},
	KeyPartitionChange:           {"PartitionChangeRecord", 2, func() Record { return NewPartitionChange(ZeroUUID, 0) }},
	KeyFenceBroker:               {"FenceBrokerRecord", 0, func() Record { return new(FenceBroker) }},
	KeyUnfenceBroker:             {"UnfenceBrokerRecord", 0, func() Record { return new(UnfenceBroker) }},
	KeyRemoveTopic:               {"RemoveTopicRecord", 0, func() Record { return new(RemoveTopic) }},
	KeyDelegationToken:           {"DelegationTokenRecord", 0, func() Record { return new(DelegationToken) }},
	KeyUserScramCredential:       {"UserScramCredentialRecord", 0, func() Record { return new(UserScramCredential) }},
	KeyFeatureLevel:              {"FeatureLevelRecord", 0, func() Record { return new(FeatureLevel) }},
	KeyClientQuota:               {"ClientQuotaRecord", 0, func() Record { return new(ClientQuota) }},
	KeyProducerIDs:               {"ProducerIdsRecord", 0, func() Record { return new(ProducerIDs) }},
	KeyBrokerRegistrationChange:  {"BrokerRegistrationChangeRecord", 3, func() Record { return new(BrokerRegistrationChange) }},
	KeyAccessControlEntry:        {"AccessControlEntryRecord", 0, func() Record { return new(AccessControlEntry) }},
	KeyRemoveAccessControlEntry:  {"RemoveAccessControlEntryRecord", 0, func() Record { return new(RemoveAccessControlEntry) }},
	KeyNoOp:                      {"NoOpRecord", 0, func() Record { return new(NoOp) }},
	KeyZkMigrationState:          {"ZkMigrationStateRecord", 0, func() Record { return new(ZkMigrationState) }},
	KeyRemoveUserScramCredential: {"RemoveUserScramCredentialRecord", 0, func() Record { return new(RemoveUserScramCredential) }},
	KeyBeginTransaction:          {"BeginTransactionRecord", 0, func() Record { return new(BeginTransaction) }},
	KeyEndTransaction:            {"EndTransactionRecord", 0, func() Record { return new(EndTransaction) }},
	KeyAbortTransaction:          {"AbortTransactionRecord", 0, func() Record { return new(AbortTransaction) }},
	KeyRemoveDelegationToken:     {"RemoveDelegationTokenRecord", 0, func() Record { return new(RemoveDelegationToken) }},
	KeyRegisterController:        {"RegisterControllerRecord", 0, func() Record { return new(RegisterController) }},
	KeyClearELR:                  {"ClearElrRecord", 0, func() Record { return new(ClearELR) }},
}

// known reports whether the key names a type.
func (k Key) known() bool { return int(k) < len(recordTypes) && recordTypes[k].new != nil }

// String returns Apache's name of the type, such as RegisterBrokerRecord.
func (k Key) String() string {
	if !k.known() {
		return fmt.Sprintf("Key(%d)", uint16(k))
	}
	return recordTypes[k].name
}

// ParseKey finds a type by Apache's name.
func ParseKey(name string) (Key, bool) {
	for k, t := range recordTypes {
		if t.new != nil && t.name == name {
			return Key(k), true
		}
	}
	return 0, false
}

// Keys returns the keys of all types, in order.
func Keys() []Key {
	var keys []Key
	for k := range recordTypes {
		if Key(k).known() {
			keys = append(keys, Key(k))
		}
	}
	return keys
}

// NewRecord returns an empty record of the type; a PartitionChange changes nothing.
func NewRecord(k Key) (Record, bool) {
	if !k.known() {
		return nil, false
	}
	return recordTypes[k].new(), true
}

// HighestVersion returns the highest version of the type that Kafka 4.3.0 knows, -1 for an unknown key.
// All types begin at version 0.
func HighestVersion(k Key) int16 {
	if !k.known() {
		return -1
	}
	return recordTypes[k].highest
}

// frameVersion begins every record value; version 0 was the preview's of Kafka 2.8.
const frameVersion = 1

// AppendRecord appends the record's value as the log holds it:
//
//	uvarint 1 (frame version) | uvarint api key | uvarint version | body
//
// It fails when the version does not exist, when a field holds something that the version has no
// place for, and when a string is longer than 32767 bytes or not UTF-8. A negative version, which
// only a damaged value has that was read as Apache reads, is written as it was read.
func AppendRecord(dst []byte, r Record, version int16) ([]byte, error) {
	c := newCodec()
	c.buf = dst
	err := c.appendRecord(r, version)
	if err == nil {
		dst = c.buf
	}
	c.free()
	return dst, err
}

func (c *codec) appendRecord(r Record, version int16) error {
	k := r.APIKey()
	f, ok := r.(fielder)
	if !ok || !k.known() {
		return fmt.Errorf("records: %T is not a metadata record", r)
	}
	if version > recordTypes[k].highest {
		return fmt.Errorf("records: %v has no version %d", k, version)
	}
	c.begin(version)
	c.buf = append(c.buf, frameVersion, byte(k)) // both are below 128
	c.buf = appendUvarint(c.buf, uint32(int32(version)))
	if c.write(f); c.err != nil {
		return fmt.Errorf("records: %v version %d: %w", k, version, c.err)
	}
	return nil
}

// ReadRecord reads one record value as Apache's reader does, and returns the record with its
// version. The one difference: a version above the highest known is an error, where Apache reads
// most types as if it were the newest layout. The record keeps nothing of value.
func ReadRecord(value []byte) (Record, int16, error) {
	c := newCodec()
	r, version, err := c.readRecord(value)
	c.free()
	return r, version, err
}

func (c *codec) readRecord(value []byte) (Record, int16, error) {
	c.begin(0)
	c.mode, c.in = reading, value
	if v := c.uvarint("frame version"); v != frameVersion {
		c.fail("frame version", "is %d, not %d", v, frameVersion)
	}
	key := c.uvarint("api key")
	if key >= uint32(len(recordTypes)) || !Key(key).known() {
		c.fail("api key", "%d is unknown", key)
	}
	v := int32(c.uvarint("version"))
	if c.err != nil {
		return nil, 0, fmt.Errorf("records: %w", c.err)
	}
	k := Key(key)
	if v > int32(recordTypes[k].highest) {
		return nil, 0, fmt.Errorf("records: %v has no version %d: the highest known is %d", k, v, recordTypes[k].highest)
	}
	c.version = int16(v) // what is left of a number beyond 31 bits, as in Apache's reader
	if c.version > recordTypes[k].highest {
		return nil, 0, fmt.Errorf("records: %v has no version %d: the highest known is %d", k, c.version, recordTypes[k].highest)
	}
	r := recordTypes[k].new()
	c.read(r.(fielder))
	if c.err == nil && c.off < len(value) {
		c.fail("value", "has %d bytes too many", len(value)-c.off)
	}
	if c.err != nil {
		return nil, 0, fmt.Errorf("records: %v version %d: %w", k, c.version, c.err)
	}
	return r, c.version, nil
}

// UnknownTags returns the record's own unknown tagged fields, not those of structs inside it.
func UnknownTags(r Record) []UnknownTag {
	if p := unknownTagsOf(r); p != nil {
		return *p
	}
	return nil
}

// SetUnknownTags replaces the record's own unknown tagged fields. To be written they must ascend
// and be unknown indeed.
func SetUnknownTags(r Record, tags []UnknownTag) {
	if p := unknownTagsOf(r); p != nil {
		*p = tags
	}
}

func unknownTagsOf(r Record) *[]UnknownTag {
	f, ok := r.(fielder)
	if !ok {
		return nil
	}
	// A walk that has nothing to do with any field still passes the end of the list.
	c := codec{mode: writingTags, tag: noTag}
	f.fields(&c)
	return c.unknown
}

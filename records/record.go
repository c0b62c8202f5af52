package records

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

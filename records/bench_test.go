package records

import (
	"testing"
)

// benchRecords has one record of each type as a controller writes it, by name.
func benchRecords() map[string]Record {
	s := func(s string) *string { return &s }
	id := UUID{1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}
	ends := []Endpoint{{Name: "PLAINTEXT", Host: "broker-1.example.com", Port: 9092}, {Name: "SSL", Host: "broker-1.example.com", Port: 9093, SecurityProtocol: 1}}
	change := NewPartitionChange(id, 7)
	change.ISR, change.Leader = []int32{1, 2}, 1
	all := []Record{
		&RegisterBroker{BrokerID: 1, IncarnationID: id, BrokerEpoch: 17, EndPoints: ends, Features: SupportedFeatures(), Rack: s("rack-1"), Fenced: true, LogDirs: []UUID{id}, CordonedLogDirs: []UUID{}},
		&UnregisterBroker{BrokerID: 1, BrokerEpoch: 17},
		&Topic{Name: "orders", TopicID: id},
		&Partition{PartitionID: 7, TopicID: id, Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2, 3}, Leader: 1, LeaderEpoch: 3, PartitionEpoch: 12, Directories: []UUID{id, id, id}},
		&Config{ResourceType: 2, ResourceName: "orders", Name: "retention.ms", Value: s("86400000")},
		change,
		&FenceBroker{ID: 1, Epoch: 17},
		&UnfenceBroker{ID: 1, Epoch: 17},
		&RemoveTopic{TopicID: id},
		&DelegationToken{Owner: "User:alice", Requester: "User:alice", Renewers: []string{"User:bob"}, IssueTimestamp: 1760000000000, MaxTimestamp: 1760000000000, ExpirationTimestamp: 1760000000000, TokenID: id.String()},
		&UserScramCredential{Name: "alice", Mechanism: 1, Salt: make([]byte, 20), StoredKey: make([]byte, 32), ServerKey: make([]byte, 32), Iterations: 8192},
		&FeatureLevel{Name: "metadata.version", Level: 30},
		&ClientQuota{Entity: []QuotaEntity{{Type: "user", Name: s("alice")}, {Type: "client-id"}}, Key: "producer_byte_rate", Value: 1048576},
		&ProducerIDs{BrokerID: 1, BrokerEpoch: 17, NextProducerID: 2000},
		&BrokerRegistrationChange{BrokerID: 1, BrokerEpoch: 17, Fenced: -1},
		&AccessControlEntry{ID: id, ResourceType: 2, ResourceName: "orders", PatternType: 3, Principal: "User:alice", Host: "*", Operation: 3, PermissionType: 3},
		&RemoveAccessControlEntry{ID: id},
		&NoOp{},
		&ZkMigrationState{},
		&RemoveUserScramCredential{Name: "alice", Mechanism: 1},
		&BeginTransaction{Name: s("Bootstrap records")},
		&EndTransaction{},
		&AbortTransaction{Reason: s("Controller failover")},
		&RemoveDelegationToken{TokenID: id.String()},
		&RegisterController{ControllerID: 1, IncarnationID: id, EndPoints: ends[:1], Features: SupportedFeatures()},
		&ClearELR{TopicName: "orders"},
	}
	byName := map[string]Record{}
	for _, r := range all {
		byName[r.APIKey().String()] = r
	}
	return byName
}

func BenchmarkEncode(b *testing.B) {
	all := benchRecords()
	for _, k := range Keys() {
		b.Run(k.String(), func(b *testing.B) {
			r := all[k.String()]
			version := VersionOf(r, LatestMetadataVersion)
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = AppendRecord(buf[:0], r, version); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	all := benchRecords()
	for _, k := range Keys() {
		b.Run(k.String(), func(b *testing.B) {
			r := all[k.String()]
			value, err := AppendRecord(nil, r, VersionOf(r, LatestMetadataVersion))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if _, _, err := ReadRecord(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBatch makes and reads batches of a thousand partitions; the figures are per batch.
func BenchmarkBatch(b *testing.B) {
	r := benchRecords()["PartitionRecord"]
	build := func() Batch {
		builder := NewBatchBuilder(0, 1, 1760000000000)
		for range 1000 {
			if err := builder.Add(r, 2); err != nil {
				b.Fatal(err)
			}
		}
		return builder.Batch()
	}
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			build()
		}
	})
	b.Run("check", func(b *testing.B) {
		batch := build()
		b.ReportAllocs()
		for b.Loop() {
			if err := batch.Check(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		batch := build()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := batch.Decode(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

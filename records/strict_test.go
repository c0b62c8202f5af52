package records

import (
	"strings"
	"testing"
)

// lax lists the cases of invalid.jsonl that records.md would have a strict reader refuse; what
// else Apache takes there is plainly valid, such as a bit flipped inside an id.
func laxCase(v *invalidVector) bool {
	for _, part := range []string{
		"minimal", "overflowing", "negative", "descending", "2^32-1", "bool byte 2", "invalid UTF-8", "size of known tag",
		"leaderRecoveryState 5", "holding its default", "name tag null", "twice",
	} {
		if strings.Contains(v.Case, part) {
			return true
		}
	}
	return v.laterVersion()
}

func TestStrictReaderRefusesWhatOnlyApacheTolerates(t *testing.T) {
	refused, accepted := 0, 0
	readVectors(t, "invalid.jsonl", func(line int, v invalidVector) {
		if v.Kind != "record" {
			return
		}
		_, _, err := ReadRecordStrict(v.Hex)
		switch {
		case v.Apache.Accepted && strings.Contains(v.Case, "bit flipped"):
			// Some became another valid record, some a senseless one.
		case v.Apache.Accepted && !laxCase(&v):
			accepted++
			if err != nil {
				t.Errorf("line %d: %s: %v", line, v.Case, err)
			}
		case err == nil:
			t.Errorf("line %d: %s: accepted", line, v.Case)
		default:
			refused++
		}
	})
	t.Logf("%d refused, %d accepted", refused, accepted)
}

func TestStrictReaderTakesWhatControllersWrite(t *testing.T) {
	for name, r := range benchRecords() {
		if name == "FenceBrokerRecord" || name == "UnfenceBrokerRecord" || name == "ZkMigrationStateRecord" {
			continue // read, never written
		}
		for level := MinMetadataVersion; level.Known(); level++ {
			value, err := AppendRecord(nil, r, VersionOf(r, level))
			if err != nil {
				continue // the level has no place for something the record holds
			}
			if _, _, err := ReadRecordStrict(value); err != nil {
				t.Errorf("%s at %v: %v", name, level, err)
			}
		}
	}
}

func TestStrictReaderRefusesNumbersThatMeanNothing(t *testing.T) {
	for _, r := range []Record{
		&RegisterBroker{EndPoints: []Endpoint{{SecurityProtocol: 4}}},
		&RegisterController{EndPoints: []Endpoint{{SecurityProtocol: -1}}},
		&Partition{LeaderRecoveryState: 2},
		&PartitionChange{LeaderRecoveryState: -2},
		&Config{ResourceType: 3},
		&BrokerRegistrationChange{Fenced: 2},
		&BrokerRegistrationChange{InControlledShutdown: -1},
		&UserScramCredential{Mechanism: 3},
		&RemoveUserScramCredential{},
		&ClientQuota{Entity: []QuotaEntity{{Type: "users"}}},
		&AccessControlEntry{ResourceType: 1, PatternType: 3, Operation: 2, PermissionType: 2},
		&AccessControlEntry{ResourceType: 2, PatternType: 2, Operation: 2, PermissionType: 2},
		&AccessControlEntry{ResourceType: 2, PatternType: 3, Operation: 16, PermissionType: 2},
		&AccessControlEntry{ResourceType: 2, PatternType: 3, Operation: 2, PermissionType: 1},
	} {
		value, err := AppendRecord(nil, r, HighestVersion(r.APIKey()))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadRecord(value); err != nil {
			t.Errorf("%v: %v", r.APIKey(), err)
		}
		if _, _, err := ReadRecordStrict(value); err == nil {
			t.Errorf("%v %+v: accepted", r.APIKey(), r)
		}
	}
}

func TestCheckRefusesBatchesThatKRaftWouldNotWrite(t *testing.T) {
	// What Apache's reader takes although KRaft's writer would not have made it.
	odd := map[string]bool{
		"attributes: log append time bit": true, "attributes: transactional bit": true,
		"extra byte between value and header count": true, "last offset delta wrong": true,
		"record attributes 1 (ignored)": true, "record count 1, 2 there (rest ignored)": true,
	}
	readVectors(t, "invalid.jsonl", func(line int, v invalidVector) {
		if v.Kind != "batch" || !v.Apache.Accepted || v.Apache.Batches == 0 {
			return
		}
		b, _, err := ParseBatch(v.Hex)
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		if err := b.Check(); (err != nil) != odd[v.Case] {
			t.Errorf("line %d: %s: %v", line, v.Case, err)
		}
		delete(odd, v.Case)
	})
	for c := range odd {
		t.Errorf("no vector %q", c)
	}
}

package records

import (
	"bytes"
	"fmt"
	"slices"
)

// ReadRecordStrict reads a record value of a log that only this program and Apache's have written:
// it refuses every value that AppendRecord would not have made, though Apache's reader takes it
// (varints longer than need be, bools that are neither 0 nor 1, broken UTF-8, tags out of order or
// twice or of the wrong size), and numbers that mean nothing in their field.
func ReadRecordStrict(value []byte) (Record, int16, error) {
	r, version, err := ReadRecord(value)
	if err != nil {
		return nil, 0, err
	}
	if version < 0 {
		return nil, 0, fmt.Errorf("records: %v has no version %d", r.APIKey(), version)
	}
	again, err := AppendRecord(make([]byte, 0, len(value)), r, version)
	if err != nil {
		return nil, 0, err
	}
	if !bytes.Equal(again, value) {
		at := 0
		for at < len(again) && at < len(value) && again[at] == value[at] {
			at++
		}
		return nil, 0, fmt.Errorf("records: %v version %d: byte %d: %w", r.APIKey(), version, at, errNotCanonical)
	}
	if err := sensible(r); err != nil {
		return nil, 0, fmt.Errorf("records: %v: %w", r.APIKey(), err)
	}
	return r, version, nil
}

// sensible checks the fields whose numbers or words have fixed meanings.
func sensible(r Record) error {
	switch r := r.(type) {
	case *RegisterBroker:
		return sensibleEndpoints(r.EndPoints)
	case *RegisterController:
		return sensibleEndpoints(r.EndPoints)
	case *Partition:
		return within("leaderRecoveryState", r.LeaderRecoveryState, 0, 1)
	case *PartitionChange:
		return within("leaderRecoveryState", r.LeaderRecoveryState, RecoveryStateUnchanged, 1)
	case *Config:
		if !slices.Contains([]int8{2, 4, 16, 32}, r.ResourceType) {
			return fmt.Errorf("resourceType: %d means nothing", r.ResourceType)
		}
	case *BrokerRegistrationChange:
		if err := within("fenced", r.Fenced, -1, 1); err != nil {
			return err
		}
		return within("inControlledShutdown", r.InControlledShutdown, 0, 1)
	case *UserScramCredential:
		return within("mechanism", r.Mechanism, 1, 2)
	case *RemoveUserScramCredential:
		return within("mechanism", r.Mechanism, 1, 2)
	case *ClientQuota:
		for _, e := range r.Entity {
			if !slices.Contains([]string{"user", "client-id", "ip"}, e.Type) {
				return fmt.Errorf("entityType: %q means nothing", e.Type)
			}
		}
	case *AccessControlEntry:
		for _, f := range []struct {
			name           string
			v, least, most int8
		}{
			{"resourceType", r.ResourceType, 2, 7},
			{"patternType", r.PatternType, 3, 4},
			{"operation", r.Operation, 2, 15},
			{"permissionType", r.PermissionType, 2, 3},
		} {
			if err := within(f.name, f.v, f.least, f.most); err != nil {
				return err
			}
		}
	}
	return nil
}

func sensibleEndpoints(endpoints []Endpoint) error {
	for _, e := range endpoints {
		if e.SecurityProtocol < 0 || e.SecurityProtocol > 3 {
			return fmt.Errorf("securityProtocol: %d means nothing", e.SecurityProtocol)
		}
	}
	return nil
}

func within(name string, v, least, most int8) error {
	if v < least || v > most {
		return fmt.Errorf("%s: %d means nothing", name, v)
	}
	return nil
}

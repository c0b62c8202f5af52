package records

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

func TestOddControlKeysAreReadAsApacheReadsThem(t *testing.T) {
	readVectors(t, "invalid.jsonl", func(line int, v invalidVector) {
		if v.Kind != "control-key" {
			return
		}
		typ, err := ParseControlKey(v.Hex)
		if (err == nil) != v.Apache.Accepted {
			t.Errorf("line %d: %s: %v, Apache accepts: %v", line, v.Case, err, v.Apache.Accepted)
		} else if err == nil && typ.String() != v.Apache.Type {
			t.Errorf("line %d: %s: %v, want %s", line, v.Case, typ, v.Apache.Type)
		}
		if known := newControlRecord(typ) != nil; !known && err == nil {
			if _, err := ReadControl(v.Hex, []byte{0, 0, 0}); err == nil {
				t.Errorf("line %d: %s: a value was read", line, v.Case)
			}
		}
	})
}

func TestOddControlValuesAreReadAsApacheReadsThem(t *testing.T) {
	types := map[string]ControlType{}
	for t := ControlType(0); t < 10; t++ {
		types[t.String()] = t
	}
	readVectors(t, "invalid.jsonl", func(line int, v invalidVector) {
		name, ok := strings.CutPrefix(v.Kind, "control-value/")
		if !ok {
			return
		}
		r, err := ReadControl(AppendControlKey(nil, types[name]), v.Hex)
		// A version above the highest known is the one thing Apache takes and we do not.
		if want := v.Apache.Accepted && v.Case != "SnapshotHeader version 1"; (err == nil) != want {
			t.Errorf("line %d: %s: %v, Apache accepts: %v", line, v.Case, err, v.Apache.Accepted)
			return
		}
		if err != nil {
			return
		}
		if printed, err := MarshalControlJSON(r); err != nil || !sameJSON(t, printed, v.Apache.JSON) {
			t.Errorf("line %d: %s: %v %s, want %s", line, v.Case, err, printed, v.Apache.JSON)
		}
	})
}

func TestLeaderChangeHasNoSecondLayout(t *testing.T) {
	key := AppendControlKey(nil, ControlLeaderChange)
	v0, _ := hex.DecodeString("00000000000102000000010002000000010000")
	r, err := ReadControl(key, v0)
	if err != nil || !reflect.DeepEqual(r, &LeaderChange{LeaderID: 1, Voters: []int32{1}, GrantingVoters: []int32{1}}) {
		t.Fatalf("%v, %v", r, err)
	}
	// Version 1 of the schema adds a directory id to each voter. Nobody writes it.
	const id = "9f1c2d3e4f504a6b8c9daebfc0d1e2f3"
	v1, _ := hex.DecodeString("0001" + "00000001" + "0200000001" + id + "00" + "0200000001" + id + "00" + "00")
	if r, err := ReadControl(key, v1); err == nil {
		t.Errorf("read as %v", r)
	}
	inner, _ := hex.DecodeString("00010000000102000000010002000000010000")
	if _, err := ReadControlStrict(key, inner); err == nil {
		t.Error("an inner version of 1 passes as our own")
	}
	if _, err := ReadControlStrict(key, v0); err != nil {
		t.Error(err)
	}
}

func TestBytesAfterAControlValueAreIgnoredUnlessStrict(t *testing.T) {
	key := AppendControlKey(nil, ControlKRaftVersion)
	value, err := AppendControl(nil, &KRaftVersion{Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ key, value []byte }{
		{key, append(bytes.Clone(value), 1, 2)},
		{append(bytes.Clone(key), 9), value},
		{[]byte{0, 1, 0, 5}, value},
	} {
		if r, err := ReadControl(c.key, c.value); err != nil || !reflect.DeepEqual(r, &KRaftVersion{Version: 1}) {
			t.Errorf("%x %x: %v, %v", c.key, c.value, r, err)
		}
		if _, err := ReadControlStrict(c.key, c.value); err == nil {
			t.Errorf("%x %x: passes as our own", c.key, c.value)
		}
	}
}

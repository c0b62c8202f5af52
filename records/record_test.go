package records

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestWriterRefusesWhatTheVersionHasNoFieldFor(t *testing.T) {
	for _, c := range []struct {
		r     Record
		since int16
	}{
		{&RegisterBroker{InControlledShutdown: true}, 1},
		{&RegisterBroker{IsMigratingZkBroker: true}, 2},
		{&RegisterBroker{LogDirs: make([]UUID, 1)}, 3},
		{&RegisterBroker{CordonedLogDirs: []UUID{}}, 4},
		{&Partition{Directories: make([]UUID, 1)}, 1},
		{&Partition{EligibleLeaderReplicas: []int32{1}}, 2},
		{&Partition{LastKnownELR: []int32{}}, 2},
		{&PartitionChange{Directories: []UUID{}}, 1},
		{&PartitionChange{EligibleLeaderReplicas: []int32{}}, 2},
		{&PartitionChange{LastKnownELR: []int32{1}}, 2},
		{&BrokerRegistrationChange{InControlledShutdown: 1}, 1},
		{&BrokerRegistrationChange{LogDirs: make([]UUID, 1)}, 2},
		{&BrokerRegistrationChange{CordonedLogDirs: []UUID{}}, 3},
	} {
		for v := range HighestVersion(c.r.APIKey()) + 2 {
			dst := []byte("kept")
			got, err := AppendRecord(dst, c.r, v)
			if want := v >= c.since && v <= HighestVersion(c.r.APIKey()); (err == nil) != want {
				t.Errorf("%v %+v version %d: %v", c.r.APIKey(), c.r, v, err)
			}
			if err != nil && string(got) != "kept" {
				t.Errorf("%q came with an error", got)
			}
			if _, jsonErr := MarshalJSON(c.r, v); (jsonErr == nil) != (err == nil) {
				t.Errorf("%v %+v version %d to JSON: %v", c.r.APIKey(), c.r, v, jsonErr)
			}
		}
	}
}

func TestWriterRefusesStringsThatWouldNotComeBack(t *testing.T) {
	long, broken := strings.Repeat("x", maxString+1), "caf\xe9"
	for _, r := range []Record{
		&Topic{Name: long}, &Topic{Name: broken}, &Config{Value: &long}, &Config{Value: &broken}, &BeginTransaction{Name: &broken},
		&DelegationToken{Renewers: []string{"ok", broken}}, &RegisterController{EndPoints: []Endpoint{{Host: long}}},
	} {
		if _, err := AppendRecord(nil, r, 0); err == nil {
			t.Errorf("%v: written", r.APIKey())
		}
	}
	if _, err := AppendRecord(nil, &Topic{Name: long[1:]}, 0); err != nil {
		t.Error(err)
	}
}

func TestWriterRefusesUnknownTagsThatWouldNotComeBack(t *testing.T) {
	for _, tags := range [][]UnknownTag{
		{{Tag: 5}, {Tag: 5}}, {{Tag: 6}, {Tag: 5}}, {{Tag: 1 << 31}}, {{Tag: math.MaxUint32}}, {{Tag: 2}},
	} {
		if _, err := AppendRecord(nil, &Partition{Unknown: tags}, 2); err == nil {
			t.Errorf("%v: written", tags)
		}
	}
	// Between known ones, and beyond them.
	r := &PartitionChange{Leader: 3, LeaderRecoveryState: -1, LastKnownELR: []int32{1}, Directories: []UUID{},
		Unknown: []UnknownTag{{Tag: 9, Data: []byte{1}}, {Tag: 40, Data: []byte{}}}}
	value, err := AppendRecord(nil, r, 2)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := ReadRecordStrict(value); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestNestedUnknownTagsAreKept(t *testing.T) {
	r := &RegisterController{EndPoints: []Endpoint{{Name: "a", Unknown: []UnknownTag{{Tag: 7, Data: []byte{1, 2}}}}},
		Features: []FeatureRange{{Name: "f"}}, Unknown: []UnknownTag{{Tag: 0, Data: []byte{3}}}}
	value, err := AppendRecord(nil, r, 0)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := ReadRecordStrict(value)
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestRecordKeepsNothingOfWhatItWasReadFrom(t *testing.T) {
	for i, v := range recordVectors(t) {
		value := bytes.Clone(v.Hex)
		r, version, err := ReadRecord(value)
		if err != nil {
			t.Fatal(err)
		}
		for i := range value {
			value[i] = 0xaa
		}
		if again, err := AppendRecord(nil, r, version); err != nil || !bytes.Equal(again, v.Hex) {
			t.Errorf("line %d: changed with its source: %v", i+1, err)
		}
	}
}

func TestWritingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	buf := make([]byte, 0, 4096)
	for name, r := range benchRecords() {
		version := VersionOf(r, LatestMetadataVersion)
		if n := testing.AllocsPerRun(100, func() {
			var err error
			if buf, err = AppendRecord(buf[:0], r, version); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestKeysAndNames(t *testing.T) {
	if len(Keys()) != 26 {
		t.Errorf("%d types", len(Keys()))
	}
	for _, k := range Keys() {
		r, ok := NewRecord(k)
		if !ok || r.APIKey() != k {
			t.Errorf("%v: %v", k, r)
		}
		if back, ok := ParseKey(k.String()); !ok || back != k || !strings.HasSuffix(k.String(), "Record") {
			t.Errorf("%v: %v", k, back)
		}
	}
	for _, k := range []Key{6, 13, 16, 29, 65535} {
		if r, ok := NewRecord(k); ok || r != nil || HighestVersion(k) != -1 {
			t.Errorf("%d: %v", k, r)
		}
		if _, ok := ParseKey(k.String()); ok {
			t.Error(k)
		}
	}
	if r, _ := NewRecord(KeyPartitionChange); !reflect.DeepEqual(r, NewPartitionChange(ZeroUUID, 0)) {
		t.Errorf("%+v", r)
	}
}

type notOurs struct{}

func (notOurs) APIKey() Key              { return KeyTopic }
func (notOurs) ControlType() ControlType { return ControlKRaftVersion }

func TestOnlyTypesOfThisPackageAreRecords(t *testing.T) {
	if _, err := AppendRecord(nil, notOurs{}, 0); err == nil {
		t.Error("written")
	}
	if _, err := MarshalJSON(notOurs{}, 0); err == nil {
		t.Error("printed")
	}
	if _, err := AppendControl(nil, notOurs{}); err == nil {
		t.Error("written as control record")
	}
	if _, err := MarshalControlJSON(notOurs{}); err == nil {
		t.Error("printed as control record")
	}
	if UnknownTags(notOurs{}) != nil {
		t.Error("has unknown tags")
	}
}

func TestJSONOfTheWrongShapeIsRefused(t *testing.T) {
	topic := `{"name":"t","topicId":"AAAAAAAAAAAAAAAAAAAAAA"}`
	if _, err := UnmarshalJSON(KeyTopic, 0, []byte(" "+topic+"\n")); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		k       Key
		version int16
		text    string
	}{
		{KeyTopic, 1, topic},
		{6, 0, `{}`},
		{KeyTopic, 0, topic + "x"},
		{KeyTopic, 0, ``},
		{KeyTopic, 0, `null`},
		{KeyTopic, 0, `[]`},
		{KeyTopic, 0, `{"name":"t"}`},
		{KeyTopic, 0, `{"name":null,"topicId":"AAAAAAAAAAAAAAAAAAAAAA"}`},
		{KeyTopic, 0, `{"name":1,"topicId":"AAAAAAAAAAAAAAAAAAAAAA"}`},
		{KeyTopic, 0, `{"name":"t","topicId":"AAAA"}`},
		{KeyTopic, 0, `{"name":"t","topicId":"AAAAAAAAAAAAAAAAAAAAAA","more":1}`},
		{KeyFeatureLevel, 0, `{"name":"f","featureLevel":32768}`},
		{KeyFeatureLevel, 0, `{"name":"f","featureLevel":1.5}`},
		{KeyFeatureLevel, 0, `{"name":"f","featureLevel":"1"}`},
		{KeyUnregisterBroker, 0, `{"brokerId":1,"brokerEpoch":9223372036854775808}`},
		{KeyClientQuota, 0, `{"entity":null,"key":"k","value":1,"remove":false}`},
		{KeyClientQuota, 0, `{"entity":[],"key":"k","value":"one","remove":false}`},
		{KeyClientQuota, 0, `{"entity":[],"key":"k","value":1,"remove":0}`},
		{KeyClientQuota, 0, `{"entity":[1],"key":"k","value":1,"remove":true}`},
		{KeyUserScramCredential, 0, `{"name":"u","mechanism":1,"salt":"_","storedKey":"","serverKey":"","iterations":1}`},
		{KeyBrokerRegistrationChange, 0, `{"brokerId":1,"brokerEpoch":1,"inControlledShutdown":1}`},
		{KeyBrokerRegistrationChange, 3, `{"brokerId":1,"brokerEpoch":1,"logDirs":null}`},
		{KeyRegisterController, 0, `{"controllerId":1,"incarnationId":"AAAAAAAAAAAAAAAAAAAAAA","zkMigrationReady":false,"endPoints":[{"name":"a","host":"b","port":65536,"securityProtocol":0}],"features":[]}`},
		{KeyRegisterController, 0, `{"controllerId":1,"incarnationId":"AAAAAAAAAAAAAAAAAAAAAA","zkMigrationReady":false,"endPoints":[{"name":"a","host":"b","port":-1,"securityProtocol":0}],"features":[]}`},
	} {
		if r, err := UnmarshalJSON(c.k, c.version, []byte(c.text)); err == nil {
			t.Errorf("%v version %d: %s: %+v", c.k, c.version, c.text, r)
		}
	}
	if _, err := UnmarshalControlJSON(ControlKRaftVersion, []byte(`{"version":1,"kRaftVersion":1}`)); err == nil {
		t.Error("a later version of a control record is taken")
	}
	if _, err := UnmarshalControlJSON(0, []byte(`{}`)); err == nil {
		t.Error("ABORT is taken")
	}
}

func TestUUIDText(t *testing.T) {
	for text, id := range map[string]UUID{
		"AAAAAAAAAAAAAAAAAAAAAA":   ZeroUUID,
		"AAAAAAAAAAAAAAAAAAAAAQ":   MetadataTopicID,
		"AAAAAAAAAAAAAAAAAAAAAg":   DirectoryLost,
		"AAAAAAAAAAAAAAAAAAAAAQ==": MetadataTopicID,
		"AAAAAAAAAAAAAAAAAAAAAR":   MetadataTopicID, // the bits below do not count
		"1GgEfXkLRLKbSvP2HECzhQ":   {0xd4, 0x68, 0x04, 0x7d, 0x79, 0x0b, 0x44, 0xb2, 0x9b, 0x4a, 0xf3, 0xf6, 0x1c, 0x40, 0xb3, 0x85},
		"_____________________w":   {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		var u UUID
		if err := u.UnmarshalText([]byte(text)); err != nil || u != id {
			t.Errorf("%s: %v, %v", text, u, err)
		}
		if back, err := ParseUUID(id.String()); err != nil || back != id {
			t.Errorf("%s: %v, %v", id, back, err)
		}
	}
	for _, text := range []string{
		"", "AAAA", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAA===", "AAAAAAAAAAAAAAAAAAAAAAAA",
		"AAAAAAAAAAAAAAAAAAAA+A", "AAAAAAAAAAAAAAAAAAAA/A", "AAAAAAAAAAAAAAAAAAAA\nA", "AAAAAAAAAAAAAAAAAAAA\n\n", "AAAAAAAAAAAAAAAAAAAA==",
	} {
		if u, err := ParseUUID(text); err == nil {
			t.Errorf("%q: %v", text, u)
		}
	}
}

// counting gives a repeating pattern of bytes that has texts beginning with '-' in it.
type counting byte

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		*c += 37
		b[i] = byte(*c)
	}
	return len(b), nil
}

func TestRandomUUIDsAreUsable(t *testing.T) {
	var source counting
	for range 1000 {
		u := RandomUUID(&source)
		if u.Reserved() || u.String()[0] == '-' || u[6]>>4 != 4 || u[8]>>6 != 2 {
			t.Fatal(u)
		}
	}
	if !ZeroUUID.Reserved() || !(UUID{15: 99}).Reserved() || (UUID{15: 100}).Reserved() || (UUID{0: 1}).Reserved() {
		t.Error("reserved")
	}
}

func TestUUIDsCompareAsSignedHalves(t *testing.T) {
	ordered := []UUID{{0: 0x80}, {0: 0xff}, {8: 0x80}, {8: 0xff}, {}, {15: 1}, {7: 1, 8: 0x80}, {7: 1}, {0: 0x7f}}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%x and %x: %d", a, b, got)
			}
		}
	}
}

package records

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestMetadataVersionNames(t *testing.T) {
	for text, want := range map[string]MetadataVersion{
		"7": 7, "3.3-IV3": 7, "3.3": 7, "3.5": 11, "3.9-IV0": 21, "4.0": 25, "4.1": 27, "4.2-IV0": 28, "30": 30, "4.3-IV0": 30, "4.3": 30, "4.4-IV0": 31, "31": 31,
	} {
		if got, err := ParseMetadataVersion(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "6", "32", "-1", "3.2", "4", "4.3-IV1", "4.3-", "65566", "3.3-IV2"} {
		if got, err := ParseMetadataVersion(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	if LatestMetadataVersion.String() != "4.3-IV0" || MinMetadataVersion.String() != "3.3-IV3" || maxMetadataVersion.String() != "4.4-IV0" {
		t.Error("names")
	}
	if MetadataVersion(6).Known() || MetadataVersion(32).Known() || MetadataVersion(6).String() != "MetadataVersion(6)" {
		t.Error("unknown levels")
	}
}

func TestRecordVersionsFollowTheLevel(t *testing.T) {
	for level := MinMetadataVersion; level.Known(); level++ {
		broker, partition := int16(1), int16(0)
		if level >= 8 {
			broker = 2
		}
		if level >= 17 {
			broker, partition = 3, 1
		}
		if level >= 23 {
			partition = 2
		}
		if level >= 30 {
			broker = 4
		}
		for _, k := range Keys() {
			r, _ := NewRecord(k)
			want := int16(0)
			switch k {
			case KeyRegisterBroker:
				want = broker
			case KeyPartition, KeyPartitionChange:
				want = partition
			}
			if got := VersionOf(r, level); got != want {
				t.Errorf("%v at %v: %d, want %d", k, level, got, want)
			}
		}
		for want, r := range []BrokerRegistrationChange{{Fenced: 1}, {Fenced: 1, InControlledShutdown: 1}, {LogDirs: make([]UUID, 1), InControlledShutdown: 1}, {CordonedLogDirs: []UUID{}}} {
			if got := VersionOf(&r, level); int(got) != want {
				t.Errorf("%+v at %v: %d, want %d", r, level, got, want)
			}
		}
		if level.HasTransactions() != (level >= 13) || level.HasControllerRegistration() != (level >= 15) || level.HasDirectories() != (level >= 17) ||
			level.HasELR() != (level >= 23) || level.HasCordonedDirectories() != (level >= 30) {
			t.Errorf("what %v has", level)
		}
	}
}

func TestFeatureDefaultsFollowTheLevel(t *testing.T) {
	for level, want := range map[MetadataVersion]string{
		7:  "metadata.version=7",
		21: "metadata.version=21",
		22: "metadata.version=22 group.version=1",
		24: "metadata.version=24 group.version=1 transaction.version=2",
		30: "metadata.version=30 eligible.leader.replicas.version=1 group.version=1 share.version=1 streams.version=1 transaction.version=2",
	} {
		var got []string
		for _, f := range FeatureDefaults(level) {
			got = append(got, fmt.Sprintf("%s=%d", f.Name, f.Level))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %v, want %s", level, got, want)
		}
	}
	var got []string
	for _, f := range SupportedFeatures() {
		got = append(got, fmt.Sprintf("%s:%d-%d", f.Name, f.Min, f.Max))
	}
	const want = "eligible.leader.replicas.version:0-1 group.version:0-1 kraft.version:0-1 metadata.version:7-30 share.version:0-1 streams.version:0-1 transaction.version:0-2"
	if strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestDoublesLookAsInJava(t *testing.T) {
	for want, v := range map[string]float64{
		"0.0": 0, "-0.0": math.Copysign(0, -1), "1.0": 1, "-1.5": -1.5, "0.001": 0.001, "9.999E-4": 0.0009999, "9999999.0": 9999999, "1.0E7": 1e7,
		"1.2345678E7": 12345678, "123456.789": 123456.789, "0.05": 0.05, "100.0": 100, "1048576.5": 1048576.5, "1.0E-300": 1e-300, "2.0E23": 2e23,
		"4.9E-324": math.SmallestNonzeroFloat64, "9.9E-324": 2 * math.SmallestNonzeroFloat64, "1.7976931348623157E308": math.MaxFloat64, "2.2250738585072014E-308": 0x1p-1022,
		`"NaN"`: math.NaN(), `"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1),
	} {
		if got := string(appendDouble(nil, v)); got != want {
			t.Errorf("%g: %s, want %s", v, got, want)
		}
		if back, err := parseDouble(want); err != nil || math.Float64bits(back) != math.Float64bits(v) && !math.IsNaN(v) {
			t.Errorf("%s: %g, %v", want, back, err)
		}
	}
	for _, text := range []string{"", "Inf", "NaN", "0x1p3", "1_000", `"1"`, "null", "1e999"} {
		if v, err := parseDouble(text); err == nil {
			t.Errorf("%q: %g", text, v)
		}
	}
}

func TestBrokenUTF8BecomesWhatJavaMakesOfIt(t *testing.T) {
	const r = "\uFFFD"
	for in, want := range map[string]string{
		"\xff\xfe":                      r + r,
		"\x80A":                         r + "A",
		"\xc0\x80":                      r + r,
		"a\xc3":                         "a" + r,
		"\xc3(":                         r + "(",
		"\xe2\x82":                      r,
		"\xe2\x82A":                     r + "A",
		"\xe2(\x82":                     r + "(" + r,
		"\xe0\x80\x80":                  r + r + r, // longer than need be: the second byte does not belong to the first
		"\xed\xa0\x80":                  r,         // a surrogate
		"\xed\xa0A":                     r + "A",
		"\xf0\x9f\x98":                  r,
		"\xf0\x9f\x98x":                 r + "x",
		"\xf0\x9fx":                     r + "x",
		"\xf0\x80\x80\x80":              r + r + r + r,
		"\xf4\x90\x80\x80":              r + r + r + r, // beyond the last character
		"\xf5\x80":                      r + r,
		"\xf0\x9f\x98\x80 \xe6\x97\xa5": "😀 日",
	} {
		if got := decodeUTF8([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := string(appendJSONString(nil, "a\x00\x1f\"\\\b\f\n\r\t/<é\xff😀")); got != `"a\u0000\u001F\"\\\b\f\n\r\t/<é`+r+`😀"` {
		t.Error(got)
	}
}

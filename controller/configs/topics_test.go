package configs

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTopicConfigsAreSortedAndTheirDefaultsAllowed(t *testing.T) {
	if !slices.IsSortedFunc(topicConfigs, func(a, b Def) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted by name: they could not be found")
	}
	for d := range Topics() {
		if wrong := d.Check(d.Default); wrong != "" && !d.Internal {
			t.Errorf("default of %s: %s", d.Name, wrong)
		}
		if found, ok := Topic(d.Name); !ok || found != d {
			t.Errorf("%s is not found", d.Name)
		}
		if d.Allowed() == "" {
			t.Errorf("%s does not say what is allowed", d.Name)
		}
	}
	for _, name := range []string{"", "zzz", "retention", "retention.ms2"} {
		if _, ok := Topic(name); ok {
			t.Errorf("%q is found", name)
		}
	}
}

func TestConfigValuesThatAreAllowed(t *testing.T) {
	for _, c := range []struct{ name, allowed, refused string }{
		{"cleanup.policy", "compact|delete|compact,delete| delete , compact ||delete,delete", "Compact|compact,|,|none"},
		{"compression.gzip.level", "-1|1|9", "0|10|-2|a"},
		{"compression.lz4.level", "1|17", "0|18|-1"},
		{"compression.type", "uncompressed|zstd|lz4|snappy|gzip|producer| gzip ", "none|GZIP|"},
		{"compression.zstd.level", "-131072|22|0", "23|-131073"},
		{"delete.retention.ms", "0|9223372036854775807|+5", "-1|9223372036854775808|1.5||0x10|1_000"},
		{"index.interval.bytes", "0|2147483647", "2147483648|-1"},
		{"leader.replication.throttled.replicas", "|*|0:1|0:1,1:2| 0:1 , 1:2 |0:1,", "**|0|0:|a:b|0:1,*|0:1:2"},
		{"message.timestamp.type", "CreateTime|LogAppendTime", "createtime|"},
		{"min.cleanable.dirty.ratio", "0|1|0.5|.5|1e-3|+0.25", "-0.1|1.1|NaN|Infinity|inf|0x1p-2|0_1|"},
		{"min.insync.replicas", "1", "0|-1"},
		{"preallocate", "true|false|TRUE| False ", "yes|1|"},
		{"retention.bytes", "-1|-5|0", "all"},
		{"retention.ms", "-1|0", "-2"},
		{"segment.bytes", "1048576", "1048575"},
	} {
		d, _ := Topic(c.name)
		for _, value := range strings.Split(c.allowed, "|") {
			if wrong := d.Check(value); wrong != "" {
				t.Errorf("%s = %q: %s", c.name, value, wrong)
			}
		}
		for _, value := range strings.Split(c.refused, "|") {
			if d.Check(value) == "" {
				t.Errorf("%s = %q is allowed", c.name, value)
			}
		}
	}
}

// What is allowed gets into a record, and what is refused into a message: both have their limits.
func TestAnyConfigValueCanBeAnswered(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, value string) {
		for d := range Topics() {
			wrong := d.Check(value)
			if wrong == "" && (len(value) > MaxValue || !utf8.ValidString(value)) {
				t.Errorf("%s takes %q", d.Name, value)
			}
			if len(wrong) > 1000 {
				t.Errorf("%s: a message of %d bytes", d.Name, len(wrong))
			}
		}
	}
	for _, value := range []string{strings.Repeat("1", 40000), strings.Repeat("\xff", 32767), strings.Repeat("0:1,", 8000), strings.Repeat("0:1,", 9000)} {
		check(t, value)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
		check(t, rapid.StringMatching(`[-+0-9.,:* a-f]*`).Draw(t, "text"))
	})
}

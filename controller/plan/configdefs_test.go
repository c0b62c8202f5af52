package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// What Apache Kafka 4.3.0 answers when a topic is created in a new cluster with retention.ms=1234 and
// cleanup.policy=compact: name, value, source.
const fullListing = `
cleanup.policy compact 1
compression.gzip.level -1 5
compression.lz4.level 9 5
compression.type producer 5
compression.zstd.level 3 5
delete.retention.ms 86400000 5
file.delete.delay.ms 60000 5
flush.messages 9223372036854775807 5
flush.ms 9223372036854775807 5
follower.replication.throttled.replicas  5
index.interval.bytes 4096 5
leader.replication.throttled.replicas  5
local.retention.bytes -2 5
local.retention.ms -2 5
max.compaction.lag.ms 9223372036854775807 5
max.message.bytes 1048588 5
message.timestamp.after.max.ms 3600000 5
message.timestamp.before.max.ms 9223372036854775807 5
message.timestamp.type CreateTime 5
min.cleanable.dirty.ratio 0.5 5
min.compaction.lag.ms 0 5
min.insync.replicas 1 3
preallocate false 5
remote.log.copy.disable false 5
remote.log.delete.on.disable false 5
remote.storage.enable false 5
retention.bytes -1 5
retention.ms 1234 1
segment.bytes 1073741824 5
segment.index.bytes 10485760 5
segment.jitter.ms 0 5
segment.ms 604800000 5
unclean.leader.election.enable false 5
`

func TestAllTopicConfigsAreListedAsApacheLists(t *testing.T) {
	s := newStory(t)
	req := s.registration(1)
	s.do(func(v *View) Result { return RegisterBroker(v, req) })
	s.do(s.heartbeat(1, nil))
	r := s.do(func(v *View) Result {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "a", 1, 1
		topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{
			{Name: "retention.ms", Value: kmsg.StringPtr("1234")}, {Name: "cleanup.policy", Value: kmsg.StringPtr("compact")}}
		return CreateTopics(v, &kmsg.CreateTopicsRequest{Version: 7, Topics: []kmsg.CreateTopicsRequestTopic{topic}})
	})
	var got strings.Builder
	for _, c := range r.Response.(*kmsg.CreateTopicsResponse).Topics[0].Configs {
		if c.ReadOnly || c.IsSensitive {
			t.Errorf("%+v", c)
		}
		fmt.Fprintf(&got, "\n%s %s %d", c.Name, *c.Value, c.Source)
	}
	if got.String()+"\n" != fullListing {
		t.Errorf("got %s", got.String())
	}
}

func TestTopicConfigsAreSortedAndTheirDefaultsAllowed(t *testing.T) {
	if !slices.IsSortedFunc(topicConfigs, func(a, b ConfigDef) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted by name: they could not be found")
	}
	for d := range TopicConfigs() {
		if r := d.Check(d.Default); r != nil && !d.Internal {
			t.Errorf("default of %s: %s", d.Name, r.Message)
		}
		if found, ok := TopicConfig(d.Name); !ok || found != d {
			t.Errorf("%s is not found", d.Name)
		}
		if d.Allowed() == "" {
			t.Errorf("%s does not say what is allowed", d.Name)
		}
	}
	for _, name := range []string{"", "zzz", "retention", "retention.ms2"} {
		if _, ok := TopicConfig(name); ok {
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
		d, _ := TopicConfig(c.name)
		for _, value := range strings.Split(c.allowed, "|") {
			if r := d.Check(value); r != nil {
				t.Errorf("%s = %q: %s", c.name, value, r.Message)
			}
		}
		for _, value := range strings.Split(c.refused, "|") {
			if r := d.Check(value); r == nil || r.Err != kerr.InvalidConfig {
				t.Errorf("%s = %q: %v", c.name, value, r)
			}
		}
	}
}

// What is allowed gets into a record, and what is refused into a message: both have their limits.
func TestAnyConfigValueCanBeAnswered(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, value string) {
		for d := range TopicConfigs() {
			r := d.Check(value)
			if r == nil && (len(value) > maxConfigValue || !utf8.ValidString(value)) {
				t.Errorf("%s takes %q", d.Name, value)
			}
			if r != nil && len(r.Message) > 1000 {
				t.Errorf("%s: a message of %d bytes", d.Name, len(r.Message))
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

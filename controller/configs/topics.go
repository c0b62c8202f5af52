package configs

import (
	"iter"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Names that rules between configs, or between configs and other parts of the controller, refer to.
const (
	CleanupPolicy       = "cleanup.policy"
	LocalRetentionBytes = "local.retention.bytes"
	LocalRetentionMs    = "local.retention.ms"
	MaxCompactionLag    = "max.compaction.lag.ms"
	MinCompactionLag    = "min.compaction.lag.ms"
	MinISR              = "min.insync.replicas"
	RemoteCopyDisable   = "remote.log.copy.disable"
	RemoteDelete        = "remote.log.delete.on.disable"
	RemoteStorage       = "remote.storage.enable"
	RetentionBytes      = "retention.bytes"
	RetentionMs         = "retention.ms"

	PropertyRemoteStorage = "remote.log.storage.system.enable"
	PropertyDeleteTopics  = "delete.topic.enable"
)

// topicConfigs are the topic configs of Apache Kafka 4.3.0 by name: the 33 that it lists, and one for tests.
var topicConfigs = []Def{
	{Name: CleanupPolicy, Type: kmsg.ConfigTypeList, Default: "delete", rule: subsetOf("compact", "delete"), Synonyms: same("log.cleanup.policy")},
	{Name: "compression.gzip.level", Type: kmsg.ConfigTypeInt, Default: "-1", rule: gzipLevel, Synonyms: same("compression.gzip.level")},
	{Name: "compression.lz4.level", Type: kmsg.ConfigTypeInt, Default: "9", rule: between(1, 17), Synonyms: same("compression.lz4.level")},
	{Name: "compression.type", Type: kmsg.ConfigTypeString, Default: "producer", rule: oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), Synonyms: same("compression.type")},
	{Name: "compression.zstd.level", Type: kmsg.ConfigTypeInt, Default: "3", rule: between(-131072, 22), Synonyms: same("compression.zstd.level")},
	{Name: "delete.retention.ms", Type: kmsg.ConfigTypeLong, Default: "86400000", rule: atLeast(0), Synonyms: same("log.cleaner.delete.retention.ms")},
	{Name: "file.delete.delay.ms", Type: kmsg.ConfigTypeLong, Default: "60000", rule: atLeast(0), Synonyms: same("log.segment.delete.delay.ms")},
	{Name: "flush.messages", Type: kmsg.ConfigTypeLong, Default: "9223372036854775807", rule: atLeast(1), Synonyms: same("log.flush.interval.messages")},
	{Name: "flush.ms", Type: kmsg.ConfigTypeLong, Default: "9223372036854775807", rule: atLeast(0), Synonyms: same("log.flush.interval.ms", "log.flush.scheduler.interval.ms")},
	{Name: "follower.replication.throttled.replicas", Type: kmsg.ConfigTypeList, Default: "", rule: throttledReplicas},
	{Name: "index.interval.bytes", Type: kmsg.ConfigTypeInt, Default: "4096", rule: atLeast(0), Synonyms: same("log.index.interval.bytes")},
	{Name: "internal.segment.bytes", Type: kmsg.ConfigTypeInt, Internal: true},
	{Name: "leader.replication.throttled.replicas", Type: kmsg.ConfigTypeList, Default: "", rule: throttledReplicas},
	{Name: LocalRetentionBytes, Type: kmsg.ConfigTypeLong, Default: "-2", rule: atLeast(-2), Synonyms: same("log.local.retention.bytes")},
	{Name: LocalRetentionMs, Type: kmsg.ConfigTypeLong, Default: "-2", rule: atLeast(-2), Synonyms: same("log.local.retention.ms")},
	{Name: MaxCompactionLag, Type: kmsg.ConfigTypeLong, Default: "9223372036854775807", rule: atLeast(1), Synonyms: same("log.cleaner.max.compaction.lag.ms")},
	{Name: "max.message.bytes", Type: kmsg.ConfigTypeInt, Default: "1048588", rule: atLeast(0), Synonyms: same("message.max.bytes")},
	{Name: "message.timestamp.after.max.ms", Type: kmsg.ConfigTypeLong, Default: "3600000", rule: atLeast(0), Synonyms: same("log.message.timestamp.after.max.ms")},
	{Name: "message.timestamp.before.max.ms", Type: kmsg.ConfigTypeLong, Default: "9223372036854775807", rule: atLeast(0), Synonyms: same("log.message.timestamp.before.max.ms")},
	{Name: "message.timestamp.type", Type: kmsg.ConfigTypeString, Default: "CreateTime", rule: oneOf("CreateTime", "LogAppendTime"), Synonyms: same("log.message.timestamp.type")},
	{Name: "min.cleanable.dirty.ratio", Type: kmsg.ConfigTypeDouble, Default: "0.5", rule: between(0, 1), Synonyms: same("log.cleaner.min.cleanable.ratio")},
	{Name: MinCompactionLag, Type: kmsg.ConfigTypeLong, Default: "0", rule: atLeast(0), Synonyms: same("log.cleaner.min.compaction.lag.ms")},
	{Name: MinISR, Type: kmsg.ConfigTypeInt, Default: "1", rule: atLeast(1), Synonyms: same(MinISR)},
	{Name: "preallocate", Type: kmsg.ConfigTypeBoolean, Default: "false", Synonyms: same("log.preallocate")},
	{Name: RemoteCopyDisable, Type: kmsg.ConfigTypeBoolean, Default: "false"},
	{Name: RemoteDelete, Type: kmsg.ConfigTypeBoolean, Default: "false"},
	{Name: RemoteStorage, Type: kmsg.ConfigTypeBoolean, Default: "false"},
	{Name: RetentionBytes, Type: kmsg.ConfigTypeLong, Default: "-1", Synonyms: same("log.retention.bytes")},
	{Name: RetentionMs, Type: kmsg.ConfigTypeLong, Default: "604800000", rule: atLeast(-1), Synonyms: []Synonym{
		{"log.retention.ms", 0}, {"log.retention.minutes", time.Minute}, {"log.retention.hours", time.Hour}}},
	{Name: "segment.bytes", Type: kmsg.ConfigTypeInt, Default: "1073741824", rule: atLeast(1 << 20), Synonyms: same("log.segment.bytes")},
	{Name: "segment.index.bytes", Type: kmsg.ConfigTypeInt, Default: "10485760", rule: atLeast(4), Synonyms: same("log.index.size.max.bytes")},
	{Name: "segment.jitter.ms", Type: kmsg.ConfigTypeLong, Default: "0", rule: atLeast(0), Synonyms: []Synonym{
		{"log.roll.jitter.ms", 0}, {"log.roll.jitter.hours", time.Hour}}},
	{Name: "segment.ms", Type: kmsg.ConfigTypeLong, Default: "604800000", rule: atLeast(1), Synonyms: []Synonym{
		{"log.roll.ms", 0}, {"log.roll.hours", time.Hour}}},
	{Name: "unclean.leader.election.enable", Type: kmsg.ConfigTypeBoolean, Default: "false", Synonyms: same("unclean.leader.election.enable")},
}

// Topic returns the definition of a topic config.
func Topic(name string) (*Def, bool) { return find(topicConfigs, name) }

// Topics iterates over the definitions of all topic configs, by name.
func Topics() iter.Seq[*Def] { return each(topicConfigs) }

// Effective is a config as it holds, and where its value comes from.
type Effective struct {
	Def    *Def
	Value  *string // nil: no value, and no default either
	Source kmsg.ConfigSource
}

// Layers are the places where a topic's configs come from, the strongest first.
type Layers struct {
	Topic   map[string]string // set for the topic
	Node    map[string]string // set for the broker that is asked
	Cluster map[string]string // set for all brokers
	Static  map[string]string // the node's properties
}

// EffectiveTopic returns what holds for a topic: all configs by name, internal ones where they are set.
func EffectiveTopic(l Layers) []Effective {
	out := make([]Effective, 0, len(topicConfigs))
	for d := range Topics() {
		if _, set := l.Topic[d.Name]; d.Internal && !set {
			continue
		}
		out = append(out, d.Effective(l))
	}
	return out
}

// Effective finds the value that holds for d.
func (d *Def) Effective(l Layers) Effective {
	if value, ok := l.Topic[d.Name]; ok {
		return Effective{d, &value, kmsg.ConfigSourceDynamicTopicConfig}
	}
	for _, layer := range []struct {
		set    map[string]string
		source kmsg.ConfigSource
	}{
		{l.Node, kmsg.ConfigSourceDynamicBrokerConfig},
		{l.Cluster, kmsg.ConfigSourceDynamicDefaultBrokerConfig},
		{l.Static, kmsg.ConfigSourceStaticBrokerConfig},
	} {
		for _, s := range d.Synonyms {
			if set, ok := layer.set[s.Name]; ok {
				if value, ok := s.convert(set); ok {
					return Effective{d, &value, layer.source}
				}
			}
		}
	}
	if d.Internal {
		return Effective{d, nil, kmsg.ConfigSourceDefaultConfig}
	}
	return Effective{d, &d.Default, kmsg.ConfigSourceDefaultConfig}
}

// convert turns the broker config's value into the topic config's; false when it is not the number that it must be.
func (s Synonym) convert(value string) (string, bool) {
	value = trim(value)
	if s.unit == 0 {
		return value, true
	}
	n, err := strconv.ParseInt(value, 10, 32)
	return strconv.FormatInt(n*s.unit.Milliseconds(), 10), err == nil
}

// CheckProperty says why a broker config that topics inherit from cannot have a value, in a sentence; nothing when it can, and
// for all other broker configs.
func CheckProperty(name, value string) string {
	for d := range Topics() {
		for _, s := range d.Synonyms {
			if s.Name != name {
				continue
			}
			of := *d
			of.Name = name
			if s.unit != 0 { // the least is -1, 0 or 1 then, which are the same in any unit
				of.Type = kmsg.ConfigTypeInt
			}
			return of.Check(value)
		}
	}
	return ""
}

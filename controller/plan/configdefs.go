package plan

import (
	"fmt"
	"iter"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ConfigDef defines one config: what it is called, what may be set, and what holds when nothing is set.
type ConfigDef struct {
	Name    string
	Type    kmsg.ConfigType
	Default string
	// Synonyms are the broker configs that a topic inherits this one from, the strongest first.
	Synonyms []ConfigSynonym
	// Internal configs may be set but are listed only where they are.
	Internal bool

	rule rule
}

// ConfigSynonym is a broker config that stands for a topic config, maybe in another unit.
type ConfigSynonym struct {
	Name string
	unit time.Duration // of the number, when the topic config counts milliseconds in another unit; 0: the same value
}

// rule is what a value of the right type must also obey.
type rule struct {
	allowed string // completes "it must be …"; empty: everything of the type
	ok      func(value any) bool
}

// maxConfigValue is how long a value may be: brokers read it as a string with a 16-bit length.
const maxConfigValue = math.MaxInt16

// Names that rules between configs, or between configs and other parts of the controller, refer to.
const (
	configCleanupPolicy       = "cleanup.policy"
	configLocalRetentionBytes = "local.retention.bytes"
	configLocalRetentionMs    = "local.retention.ms"
	configMaxCompactionLag    = "max.compaction.lag.ms"
	configMinCompactionLag    = "min.compaction.lag.ms"
	configMinISR              = "min.insync.replicas"
	configRemoteCopyDisable   = "remote.log.copy.disable"
	configRemoteDelete        = "remote.log.delete.on.disable"
	configRemoteStorage       = "remote.storage.enable"
	configRetentionBytes      = "retention.bytes"
	configRetentionMs         = "retention.ms"

	propertyRemoteStorage = "remote.log.storage.system.enable"
	propertyDeleteTopics  = "delete.topic.enable"
)

// topicConfigs are the topic configs of Apache Kafka 4.3.0 by name: the 33 that it lists, and one for tests.
var topicConfigs = []ConfigDef{
	{Name: configCleanupPolicy, Type: kmsg.ConfigTypeList, Default: "delete", rule: subsetOf("compact", "delete"), Synonyms: same("log.cleanup.policy")},
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
	{Name: configLocalRetentionBytes, Type: kmsg.ConfigTypeLong, Default: "-2", rule: atLeast(-2), Synonyms: same("log.local.retention.bytes")},
	{Name: configLocalRetentionMs, Type: kmsg.ConfigTypeLong, Default: "-2", rule: atLeast(-2), Synonyms: same("log.local.retention.ms")},
	{Name: configMaxCompactionLag, Type: kmsg.ConfigTypeLong, Default: "9223372036854775807", rule: atLeast(1), Synonyms: same("log.cleaner.max.compaction.lag.ms")},
	{Name: "max.message.bytes", Type: kmsg.ConfigTypeInt, Default: "1048588", rule: atLeast(0), Synonyms: same("message.max.bytes")},
	{Name: "message.timestamp.after.max.ms", Type: kmsg.ConfigTypeLong, Default: "3600000", rule: atLeast(0), Synonyms: same("log.message.timestamp.after.max.ms")},
	{Name: "message.timestamp.before.max.ms", Type: kmsg.ConfigTypeLong, Default: "9223372036854775807", rule: atLeast(0), Synonyms: same("log.message.timestamp.before.max.ms")},
	{Name: "message.timestamp.type", Type: kmsg.ConfigTypeString, Default: "CreateTime", rule: oneOf("CreateTime", "LogAppendTime"), Synonyms: same("log.message.timestamp.type")},
	{Name: "min.cleanable.dirty.ratio", Type: kmsg.ConfigTypeDouble, Default: "0.5", rule: between(0, 1), Synonyms: same("log.cleaner.min.cleanable.ratio")},
	{Name: configMinCompactionLag, Type: kmsg.ConfigTypeLong, Default: "0", rule: atLeast(0), Synonyms: same("log.cleaner.min.compaction.lag.ms")},
	{Name: configMinISR, Type: kmsg.ConfigTypeInt, Default: "1", rule: atLeast(1), Synonyms: same(configMinISR)},
	{Name: "preallocate", Type: kmsg.ConfigTypeBoolean, Default: "false", Synonyms: same("log.preallocate")},
	{Name: configRemoteCopyDisable, Type: kmsg.ConfigTypeBoolean, Default: "false"},
	{Name: configRemoteDelete, Type: kmsg.ConfigTypeBoolean, Default: "false"},
	{Name: configRemoteStorage, Type: kmsg.ConfigTypeBoolean, Default: "false"},
	{Name: configRetentionBytes, Type: kmsg.ConfigTypeLong, Default: "-1", Synonyms: same("log.retention.bytes")},
	{Name: configRetentionMs, Type: kmsg.ConfigTypeLong, Default: "604800000", rule: atLeast(-1), Synonyms: []ConfigSynonym{
		{"log.retention.ms", 0}, {"log.retention.minutes", time.Minute}, {"log.retention.hours", time.Hour}}},
	{Name: "segment.bytes", Type: kmsg.ConfigTypeInt, Default: "1073741824", rule: atLeast(1 << 20), Synonyms: same("log.segment.bytes")},
	{Name: "segment.index.bytes", Type: kmsg.ConfigTypeInt, Default: "10485760", rule: atLeast(4), Synonyms: same("log.index.size.max.bytes")},
	{Name: "segment.jitter.ms", Type: kmsg.ConfigTypeLong, Default: "0", rule: atLeast(0), Synonyms: []ConfigSynonym{
		{"log.roll.jitter.ms", 0}, {"log.roll.jitter.hours", time.Hour}}},
	{Name: "segment.ms", Type: kmsg.ConfigTypeLong, Default: "604800000", rule: atLeast(1), Synonyms: []ConfigSynonym{
		{"log.roll.ms", 0}, {"log.roll.hours", time.Hour}}},
	{Name: "unclean.leader.election.enable", Type: kmsg.ConfigTypeBoolean, Default: "false", Synonyms: same("unclean.leader.election.enable")},
}

// TopicConfig returns the definition of a topic config.
func TopicConfig(name string) (*ConfigDef, bool) {
	i, ok := slices.BinarySearchFunc(topicConfigs, name, func(d ConfigDef, name string) int { return strings.Compare(d.Name, name) })
	if !ok {
		return nil, false
	}
	return &topicConfigs[i], true
}

// TopicConfigs iterates over the definitions of all topic configs, by name.
func TopicConfigs() iter.Seq[*ConfigDef] {
	return func(yield func(*ConfigDef) bool) {
		for i := range topicConfigs {
			if !yield(&topicConfigs[i]) {
				return
			}
		}
	}
}

// EffectiveConfig is a config as it holds, and where its value comes from.
type EffectiveConfig struct {
	Def    *ConfigDef
	Value  *string // nil: no value, and no default either
	Source kmsg.ConfigSource
}

// ConfigLayers are the places where a topic's configs come from, the strongest first.
type ConfigLayers struct {
	Topic   map[string]string // set for the topic
	Node    map[string]string // set for the broker that is asked
	Cluster map[string]string // set for all brokers
	Static  map[string]string // the node's properties
}

// EffectiveTopicConfigs returns what holds for a topic: all configs by name, internal ones where they are set.
func EffectiveTopicConfigs(l ConfigLayers) []EffectiveConfig {
	out := make([]EffectiveConfig, 0, len(topicConfigs))
	for d := range TopicConfigs() {
		if _, set := l.Topic[d.Name]; d.Internal && !set {
			continue
		}
		out = append(out, d.effective(l))
	}
	return out
}

// effective finds the value that holds for d.
func (d *ConfigDef) effective(l ConfigLayers) EffectiveConfig {
	if value, ok := l.Topic[d.Name]; ok {
		return EffectiveConfig{d, &value, kmsg.ConfigSourceDynamicTopicConfig}
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
					return EffectiveConfig{d, &value, layer.source}
				}
			}
		}
	}
	if d.Internal {
		return EffectiveConfig{d, nil, kmsg.ConfigSourceDefaultConfig}
	}
	return EffectiveConfig{d, &d.Default, kmsg.ConfigSourceDefaultConfig}
}

// convert turns the broker config's value into the topic config's; false when it is not the number that it must be.
func (s ConfigSynonym) convert(value string) (string, bool) {
	value = trim(value)
	if s.unit == 0 {
		return value, true
	}
	n, err := strconv.ParseInt(value, 10, 32)
	return strconv.FormatInt(n*s.unit.Milliseconds(), 10), err == nil
}

// Check says why the value cannot be set; nil when it can.
func (d *ConfigDef) Check(value string) *Refusal {
	if len(value) > maxConfigValue {
		return refuse(kerr.InvalidConfig, "The value of %s has %d bytes; at most %d are allowed.", d.Name, len(value), maxConfigValue)
	}
	parsed, ok := d.parse(value)
	if ok && d.rule.ok != nil {
		ok = d.rule.ok(parsed)
	}
	if ok {
		return nil
	}
	return refuse(kerr.InvalidConfig, "%s cannot be %s: it must be %s.", d.Name, quote(value), d.Allowed())
}

// Allowed says in words what may be set.
func (d *ConfigDef) Allowed() string {
	kind := ""
	switch d.Type {
	case kmsg.ConfigTypeBoolean:
		kind = "true or false"
	case kmsg.ConfigTypeInt:
		kind = "a whole number of 32 bits"
	case kmsg.ConfigTypeLong:
		kind = "a whole number of 64 bits"
	case kmsg.ConfigTypeDouble:
		kind = "a decimal number"
	}
	switch {
	case kind == "":
		return d.rule.allowed
	case d.rule.allowed == "":
		return kind
	}
	return kind + ", " + d.rule.allowed
}

// parse reads a value as Kafka does: a bool, an int64, a float64, a string or a []string.
func (d *ConfigDef) parse(value string) (any, bool) {
	value = trim(value)
	switch d.Type {
	case kmsg.ConfigTypeBoolean:
		switch strings.ToLower(value) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
		return nil, false
	case kmsg.ConfigTypeInt:
		n, err := strconv.ParseInt(value, 10, 32)
		return n, err == nil
	case kmsg.ConfigTypeLong:
		n, err := strconv.ParseInt(value, 10, 64)
		return n, err == nil
	case kmsg.ConfigTypeDouble:
		// Of the notations of Go and of Java, only what both read.
		f, err := strconv.ParseFloat(value, 64)
		return f, err == nil && strings.Trim(value, "0123456789.+-eE") == ""
	case kmsg.ConfigTypeList:
		if value == "" {
			return []string(nil), true
		}
		list := strings.Split(value, ",")
		for i := range list {
			list[i] = trim(list[i])
		}
		return list, true
	}
	return value, true
}

// quote quotes what a request said so that it fits into a message: clients take at most 32767 bytes.
func quote(s string) string {
	const most = 100
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:most]) + "…"
}

// trim removes what Java trims from a value.
func trim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }

func same(names ...string) []ConfigSynonym {
	var out []ConfigSynonym
	for _, name := range names {
		out = append(out, ConfigSynonym{Name: name})
	}
	return out
}

func number(value any) float64 {
	if n, ok := value.(int64); ok {
		return float64(n)
	}
	return value.(float64)
}

func atLeast(least int64) rule {
	return rule{fmt.Sprintf("%d or more", least), func(v any) bool { return v.(int64) >= least }}
}

func between(least, most int64) rule {
	return rule{fmt.Sprintf("from %d to %d", least, most), func(v any) bool {
		n := number(v)
		return n >= float64(least) && n <= float64(most)
	}}
}

var gzipLevel = rule{"from 1 to 9, or -1 for gzip's own choice", func(v any) bool {
	n := v.(int64)
	return n == -1 || n >= 1 && n <= 9
}}

func oneOf(values ...string) rule {
	return rule{"one of " + strings.Join(values, ", "), func(v any) bool { return slices.Contains(values, v.(string)) }}
}

func subsetOf(values ...string) rule {
	return rule{"a list of any of " + strings.Join(values, ", "), func(v any) bool {
		for _, s := range v.([]string) {
			if !slices.Contains(values, s) {
				return false
			}
		}
		return true
	}}
}

var (
	throttledReplica  = regexp.MustCompile(`^([0-9]+:[0-9]+)?$`)
	throttledReplicas = rule{"* for all replicas, or a list of partition:broker", func(v any) bool {
		list := v.([]string)
		return strings.Join(list, "") == "*" ||
			!slices.ContainsFunc(list, func(s string) bool { return !throttledReplica.MatchString(s) })
	}}
)

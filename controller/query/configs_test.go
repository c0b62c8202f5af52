package query

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// configured is an image with a topic and configs at every level.
func configured() *Context {
	e := new(image.Image).Edit()
	for i, r := range []records.Record{
		&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(records.LatestMetadataVersion)},
		&records.Topic{Name: "orders", TopicID: records.UUID{1}},
		set(image.ConfigTopic, "orders", "retention.ms", "5"),
		set(image.ConfigBroker, "", "min.insync.replicas", "1"),
		set(image.ConfigBroker, "", "log.retention.ms", "6"),
		set(image.ConfigBroker, "", "log.roll.hours", "2"),
		set(image.ConfigBroker, "", "ssl.keystore.password", "secret"),
		set(image.ConfigBroker, "", "plug.in", "secret"),
		set(image.ConfigBroker, "1", "message.max.bytes", "7"),
		set(image.ConfigBroker, "2", "message.max.bytes", "8"),
		set(image.ConfigGroup, "g", "consumer.session.timeout.ms", "50000"),
		set(image.ConfigClientMetrics, "m", "metrics", "a,b"),
	} {
		e.Replay(r, int64(i))
	}
	return &Context{Image: e.Image(), NodeID: 1, Properties: map[string]string{"node.id": "1", "log.cleaner.threads": "3", "log.flush.scheduler.interval.ms": "9"}}
}

func set(kind int8, name, key, value string) records.Record {
	return &records.Config{ResourceType: kind, ResourceName: name, Name: key, Value: &value}
}

// describe gives the answer for one resource: name=value source flags [synonyms], a line each, but for what is at its default.
func describe(t *testing.T, q *Context, kind int8, name string, keys ...string) string {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeSynonyms = 4, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceType(kind), name, keys
	req.Resources = append(req.Resources, r)
	resp := DescribeConfigs(q, req).(*kmsg.DescribeConfigsResponse).Resources[0]
	if resp.ErrorCode != 0 {
		return kerr.TypedErrorForCode(resp.ErrorCode).Message
	}
	text := func(v *string) string {
		if v == nil {
			return "null"
		}
		return *v
	}
	var b strings.Builder
	for _, c := range resp.Configs {
		if c.Source == kmsg.ConfigSourceDefaultConfig && len(keys) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s=%s %d type %d", c.Name, text(c.Value), c.Source, c.ConfigType)
		if c.ReadOnly {
			b.WriteString(" read-only")
		}
		if c.IsSensitive {
			b.WriteString(" sensitive")
		}
		for _, s := range c.ConfigSynonyms {
			fmt.Fprintf(&b, " [%s=%s %d]", s.Name, text(s.Value), s.Source)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestConfigsAreDescribedWithTheirSources(t *testing.T) {
	q := configured()
	for _, c := range []struct {
		kind int8
		name string
		keys []string
		want string
	}{
		{image.ConfigTopic, "orders", nil, `
flush.ms=9 4 type 5
max.message.bytes=7 2 type 3 [message.max.bytes=7 2] [message.max.bytes=1048588 5]
min.insync.replicas=1 3 type 3 [min.insync.replicas=1 3] [min.insync.replicas=1 5]
retention.ms=5 1 type 5 [retention.ms=5 1] [log.retention.ms=6 3]
segment.ms=7200000 3 type 5
`},
		{image.ConfigTopic, "orders", []string{"cleanup.policy", "made.up", "remote.storage.enable"}, `
cleanup.policy=delete 5 type 7 [log.cleanup.policy=delete 5]
remote.storage.enable=false 5 type 1
`},
		{image.ConfigTopic, "nope", nil, "UNKNOWN_TOPIC_OR_PARTITION"},
		{image.ConfigTopic, "a/b", nil, "INVALID_TOPIC_EXCEPTION"},
		{image.ConfigTopic, "", nil, "INVALID_TOPIC_EXCEPTION"},
		{image.ConfigBroker, "", nil, `
log.retention.ms=6 3 type 5 [log.retention.ms=6 3]
log.roll.hours=2 3 type 3 read-only [log.roll.hours=2 3]
min.insync.replicas=1 3 type 3 [min.insync.replicas=1 3]
plug.in=null 3 type 0 read-only sensitive [plug.in=null 3]
ssl.keystore.password=null 3 type 9 sensitive [ssl.keystore.password=null 3]
`},
		{image.ConfigBroker, "1", []string{"message.max.bytes", "node.id", "log.cleaner.threads"}, `
log.cleaner.threads=3 4 type 3 [log.cleaner.threads=3 4]
message.max.bytes=7 2 type 3 [message.max.bytes=7 2]
node.id=1 4 type 3 read-only [node.id=1 4]
`},
		{image.ConfigBroker, "2", nil, "INVALID_REQUEST"},
		{image.ConfigBroker, "one", nil, "INVALID_REQUEST"},
		{image.ConfigGroup, "g", []string{"consumer.session.timeout.ms", "share.isolation.level"}, `
consumer.session.timeout.ms=50000 8 type 3 [consumer.session.timeout.ms=50000 8] [group.consumer.session.timeout.ms=45000 5]
share.isolation.level=read_uncommitted 5 type 2 [share.isolation.level=read_uncommitted 5]
`},
		{image.ConfigGroup, "", nil, "INVALID_REQUEST"},
		{image.ConfigClientMetrics, "m", []string{"interval.ms", "metrics"}, `
interval.ms=300000 5 type 3
metrics=a,b 7 type 7 [metrics=a,b 7]
`},
		{image.ConfigClientMetrics, "", nil, "INVALID_REQUEST"},
		{image.ConfigLogger, "1", nil, "\n"},
		{image.ConfigLogger, "2", nil, "INVALID_REQUEST"},
		{77, "x", nil, "INVALID_REQUEST"},
	} {
		if got := describe(t, q, c.kind, c.name, c.keys...); strings.TrimSpace(got) != strings.TrimSpace(c.want) {
			t.Errorf("%d %q: got\n%s\nwant %s", c.kind, c.name, got, c.want)
		}
	}
}

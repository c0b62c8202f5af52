package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
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

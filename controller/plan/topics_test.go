package plan

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"yakt/controller/image"
	"yakt/records"
)

// drawTopic draws a topic of a CreateTopics request, more often right than wrong.
func drawTopic(t *rapid.T) kmsg.CreateTopicsRequestTopic {
	out := kmsg.NewCreateTopicsRequestTopic()
	out.Topic = rapid.SampledFrom([]string{"a", "b", "c", "d.e", "d_e", "f.g.h", "f_g.h", "", "x y", image.MetadataTopic, image.OffsetsTopic}).Draw(t, "name")
	out.NumPartitions = rapid.SampledFrom([]int32{-1, 1, 2, 7, 0, 6000}).Draw(t, "partitions")
	out.ReplicationFactor = rapid.SampledFrom([]int16{-1, 1, 2, 3, 5, 0}).Draw(t, "factor")
	if rapid.Bool().Draw(t, "assigned") {
		out.NumPartitions, out.ReplicationFactor = -1, rapid.SampledFrom([]int16{-1, -1, -1, 1}).Draw(t, "factor beside assignment")
		factor := rapid.IntRange(0, 3).Draw(t, "replicas")
		for p := range rapid.Int32Range(1, 4).Draw(t, "assignments") {
			out.ReplicaAssignment = append(out.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{
				Partition: p, Replicas: rapid.SliceOfN(rapid.Int32Range(1, 5), factor, factor).Draw(t, "assignment"),
			})
		}
	}
	for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"retention.ms", "min.insync.replicas", "cleanup.policy", "nonsense"}), 0, 2).Draw(t, "configs") {
		out.Configs = append(out.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: kmsg.StringPtr(
			rapid.SampledFrom([]string{"1", "2", "delete", "\xff"}).Draw(t, "value"))})
	}
	return out
}

// check compares an answer with what has become of the topic.
func checkCreated(t *rapid.T, req *kmsg.CreateTopicsRequest, out *kmsg.CreateTopicsResponseTopic, before, after *image.Image) {
	topic, exists := after.TopicByName(out.Topic)
	_, existed := before.TopicByName(out.Topic)
	switch {
	case out.ErrorCode != 0:
		if exists != existed {
			t.Fatalf("topic %q is refused with %d but came or went", out.Topic, out.ErrorCode)
		}
		if out.Configs == nil || out.ErrorMessage == nil || *out.ErrorMessage == "" {
			t.Fatalf("a refusal that says too little: %+v", out)
		}
		return
	case existed:
		t.Fatalf("topic %q was created twice", out.Topic)
	case req.ValidateOnly:
		if exists {
			t.Fatalf("topic %q was created and not only validated", out.Topic)
		}
		return
	case !exists:
		t.Fatalf("topic %q was not created", out.Topic)
	}
	if topic.ID != records.UUID(out.TopicID) || int32(topic.NumPartitions()) != out.NumPartitions {
		t.Fatalf("answer %+v for topic %v with %d partitions", out, topic.ID, topic.NumPartitions())
	}
	for id, p := range topic.Partitions() {
		active := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool {
			b, ok := after.Broker(id)
			return !ok || !b.Active()
		})
		if len(p.Replicas) != int(out.ReplicationFactor) || !slices.Equal(p.ISR, active) || p.Leader != active[0] || p.LeaderEpoch != 0 || p.PartitionEpoch != 0 {
			t.Fatalf("%s-%d: %s", out.Topic, id, partitionText(&p))
		}
	}
}

// TestTopicsAreAsAnswered plays random requests and compares every answer with the image that follows; the story checks
// that the records can be written and what must always hold.
func TestTopicsAreAsAnswered(t *testing.T) {
	tb := t
	rapid.Check(t, func(t *rapid.T) {
		s := &story{tb: rapidTB{tb, t}, commands: storyCommands}
		s.reset(rapid.SampledFrom([]records.MetadataVersion{7, 17, 30}).Draw(t, "level"))
		for id := range int32(4) {
			req := s.registration(id + 1)
			s.do(func(v *View) Result { return RegisterBroker(v, req) })
			if rapid.IntRange(0, 3).Draw(t, "unfenced") > 0 {
				s.do(s.heartbeat(id+1, nil))
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "requests") {
			before := s.image
			create := &kmsg.CreateTopicsRequest{
				Version:      rapid.Int16Range(2, 7).Draw(t, "version"),
				ValidateOnly: rapid.IntRange(0, 3).Draw(t, "validate only") == 0,
				Topics:       rapid.SliceOfN(rapid.Custom(drawTopic), 0, 4).Draw(t, "topics"),
			}
			resp := s.do(func(v *View) Result { return CreateTopics(v, create) }).Response.(*kmsg.CreateTopicsResponse)
			answered := map[string]bool{}
			for i := range resp.Topics {
				answered[resp.Topics[i].Topic] = true
				checkCreated(t, create, &resp.Topics[i], before, s.image)
			}
			for _, asked := range create.Topics {
				if !answered[asked.Topic] {
					t.Fatalf("no answer for topic %q", asked.Topic)
				}
			}

			before = s.image
			remove := &kmsg.DeleteTopicsRequest{Version: 6}
			for range rapid.IntRange(0, 3).Draw(t, "deletions") {
				name := rapid.SampledFrom([]string{"a", "b", "c", "d.e", "nope"}).Draw(t, "deleted")
				entry := kmsg.DeleteTopicsRequestTopic{Topic: &name}
				if topic, ok := before.TopicByName(name); ok && rapid.Bool().Draw(t, "by id") {
					entry = kmsg.DeleteTopicsRequestTopic{TopicID: topic.ID}
				}
				remove.Topics = append(remove.Topics, entry)
			}
			gone := 0
			for _, out := range s.do(func(v *View) Result { return DeleteTopics(v, remove) }).Response.(*kmsg.DeleteTopicsResponse).Topics {
				if out.ErrorCode != 0 {
					continue
				}
				gone++
				if _, ok := s.image.TopicByName(*out.Topic); ok || s.image.NumConfigs(image.ConfigTopic, *out.Topic) > 0 {
					t.Fatalf("topic %q is still there", *out.Topic)
				}
			}
			if s.image.NumTopics() != before.NumTopics()-gone {
				t.Fatalf("%d topics were deleted of %d, %d are left", gone, before.NumTopics(), s.image.NumTopics())
			}
		}
	})
}

// rapidTB lets a story fail a property, so that rapid looks for a smaller example.
type rapidTB struct {
	testing.TB
	t *rapid.T
}

func (r rapidTB) Helper()                        {}
func (r rapidTB) Fatal(a ...any)                 { r.t.Fatal(a...) }
func (r rapidTB) Fatalf(format string, a ...any) { r.t.Fatalf(format, a...) }
func (r rapidTB) Errorf(format string, a ...any) { r.t.Errorf(format, a...) }

func BenchmarkCreateTopics(b *testing.B) {
	for _, partitions := range []int32{1, 100} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			s := newStory(b)
			for id := range int32(6) {
				req := s.registration(id + 1)
				s.do(func(v *View) Result { return RegisterBroker(v, req) })
				s.do(s.heartbeat(id+1, nil))
			}
			v := s.view()
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "orders", partitions, 3
			req := &kmsg.CreateTopicsRequest{Version: 7, Topics: []kmsg.CreateTopicsRequestTopic{topic}}
			b.ReportAllocs()
			for b.Loop() {
				CreateTopics(v, req)
			}
		})
	}
}

package plan

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// largeStory is a cluster of 20 brokers with this many topics of 100 partitions, three replicas each.
func largeStory(b *testing.B, topics int) *story {
	s := &story{tb: b, commands: storyCommands}
	s.reset(records.LatestMetadataVersion)
	for id := int32(1); id <= 20; id++ {
		req := s.registration(id)
		s.do(func(v *View) Result { return RegisterBroker(v, req) })
		s.do(s.heartbeat(id, nil))
	}
	edit, next := s.image.Edit(), s.image.EndOffset()
	for n := range topics {
		name := fmt.Sprintf("t%05d", n)
		edit.Replay(&records.Topic{Name: name, TopicID: incarnation(name)}, next)
		next++
		for p := range int32(100) {
			first := (int32(n) + p) % 20
			replicas := []int32{1 + first, 1 + (first+1)%20, 1 + (first+2)%20}
			dirs := []records.UUID{records.DirectoryUnassigned, records.DirectoryUnassigned, records.DirectoryUnassigned}
			edit.Replay(&records.Partition{PartitionID: p, TopicID: incarnation(name), Replicas: replicas, ISR: replicas, Leader: replicas[0], Directories: dirs}, next)
			next++
		}
	}
	s.image = edit.Image()
	return s
}

var sink Result

func BenchmarkHeartbeat(b *testing.B) {
	s := largeStory(b, 100)
	plan, v := s.heartbeat(1, nil), s.view()
	b.ReportAllocs()
	for b.Loop() {
		sink = plan(v)
	}
}

// BenchmarkFence is one operation of fencing a broker that is in sync with 15% of 200,000 partitions.
func BenchmarkFence(b *testing.B) {
	v := largeStory(b, 2000).view()
	b.ReportAllocs()
	for b.Loop() {
		sink = FenceBroker(v, 1)
	}
	if len(sink.Records) != MaxRecords {
		b.Fatal(len(sink.Records))
	}
}

// BenchmarkElectLeaderless finds that none of 200,000 partitions is without a leader.
func BenchmarkElectLeaderless(b *testing.B) {
	v := largeStory(b, 2000).view()
	b.ReportAllocs()
	for b.Loop() {
		sink = ElectLeaderless(v)
	}
}

// BenchmarkAlterPartition shrinks the ISR of all partitions that a broker leads, as when a follower is gone.
func BenchmarkAlterPartition(b *testing.B) {
	s := largeStory(b, 200)
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version, req.BrokerID, req.BrokerEpoch = 3, 1, s.epoch(1)
	s.image.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		if p.Leader != 1 {
			return true
		}
		rp := kmsg.NewAlterPartitionRequestTopicPartition()
		rp.Partition = id
		for _, r := range p.ISR[:2] {
			rp.NewEpochISR = append(rp.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: r, BrokerEpoch: -1})
		}
		if n := len(req.Topics); n == 0 || req.Topics[n-1].TopicID != t.ID {
			rt := kmsg.NewAlterPartitionRequestTopic()
			rt.TopicID = t.ID
			req.Topics = append(req.Topics, rt)
		}
		rt := &req.Topics[len(req.Topics)-1]
		rt.Partitions = append(rt.Partitions, rp)
		return true
	})
	v := s.view()
	b.ReportAllocs()
	for b.Loop() {
		sink = AlterPartition(v, req)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(sink.Records)), "ns/partition")
}

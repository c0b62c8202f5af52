package plan

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// maxAssignments is how many replicas one request may assign: each may take two records. Brokers name at most 2250.
const maxAssignments = MaxRecords / 2

// AssignReplicasToDirs (v0, KIP-858) is how a broker with several log directories says which replica lies in which. A directory that
// the broker has not registered is taken for one that has failed: the broker leads nothing there and is in no ISR.
func AssignReplicasToDirs(v *View, req *kmsg.AssignReplicasToDirsRequest) Result {
	resp := req.ResponseKind().(*kmsg.AssignReplicasToDirsResponse)
	refused := func(r *Refusal) Result {
		resp.ErrorCode = r.Err.Code
		return Result{Response: resp, Refusal: r}
	}
	if !v.level().HasDirectories() {
		return refused(refuse(kerr.UnsupportedVersion, "Replicas have no directories at metadata.version %s; raise it first.", v.level()))
	}
	b, err := v.currentBroker(req.BrokerID, req.BrokerEpoch)
	if err != nil {
		return refused(err)
	}
	total := 0
	for _, d := range req.Directories {
		for _, t := range d.Topics {
			total += len(t.Partitions)
		}
	}
	if total > maxAssignments {
		return refused(refuse(kerr.InvalidRequest, "The request assigns %d replicas; at most %d can be assigned at once.", total, maxAssignments))
	}

	type key struct {
		topic     *image.Topic
		partition int32
	}
	var recs []records.Record
	var failed []key // replicas that are now in directories that do not work
	for _, rd := range req.Directories {
		dir := kmsg.AssignReplicasToDirsResponseDirectory{ID: rd.ID}
		for _, rt := range rd.Topics {
			topic := kmsg.AssignReplicasToDirsResponseDirectoryTopic{TopicID: rt.TopicID}
			t, known := v.Image.Topic(rt.TopicID)
			var rules topicRules
			if known {
				rules = v.topicRules(t)
			}
			for _, rp := range rt.Partitions {
				one := kmsg.AssignReplicasToDirsResponseDirectoryTopicPartition{Partition: rp.Partition}
				var p image.Partition
				exists := false
				if known {
					p, exists = t.Partition(rp.Partition)
				}
				switch {
				case !known:
					one.ErrorCode = kerr.UnknownTopicID.Code
				case !exists:
					one.ErrorCode = kerr.UnknownTopicOrPartition.Code
				case !p.HasReplica(b.ID):
					one.ErrorCode = kerr.NotLeaderForPartition.Code
				default:
					c := v.change(t, rp.Partition, &p, rules)
					c.election = electOnline
					c.directories = map[int32]records.UUID{b.ID: rd.ID}
					if r := c.record(); r != nil {
						recs = append(recs, r)
					}
					if !b.HasOnlineDir(rd.ID) {
						failed = append(failed, key{t, rp.Partition})
					}
				}
				topic.Partitions = append(topic.Partitions, one)
			}
			dir.Topics = append(dir.Topics, topic)
		}
		resp.Directories = append(resp.Directories, dir)
	}
	if len(failed) > 0 {
		after := v.after(recs)
		recs, _ = after.moveLeaders(recs, MaxRecords, leaving(b.ID), func(yield func(*image.Topic, int32, *image.Partition) bool) {
			seen := make(map[key]bool, len(failed))
			for _, at := range failed {
				t, _ := after.Image.Topic(at.topic.ID)
				p, _ := t.Partition(at.partition)
				if seen[at] {
					continue
				}
				seen[at] = true
				if !yield(t, at.partition, &p) {
					return
				}
			}
		})
	}
	return Result{Response: resp, Records: recs}
}

package plan

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// AlterPartitionAssignments (AlterPartitionReassignments, v0–1, KIP-455) moves partitions to other brokers, or, where no replicas are
// named, calls a move off. It goes in two steps:
//
//	now         replicas = the named ones, then those that go; adding and removing say which is which
//	            the brokers that are added fetch
//	later       a change of the ISR shows that they have caught up: AlterPartition ends the move (completeReassignment)
//
// When there is nobody to wait for, as with another order of the same replicas, the first step is the last.
// A partition that is refused leaves the others alone. What is more than [MaxRecords] is refused partition by partition.
func AlterPartitionAssignments(v *View, req *kmsg.AlterPartitionAssignmentsRequest) Result {
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	if len(req.Topics) == 0 {
		resp.ErrorMessage = new(string) // as Apache says it
		return Result{Response: resp}
	}
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	type key struct {
		topic     string
		partition int32
	}
	changed := map[key]bool{}
	var recs []records.Record
	for i := range req.Topics {
		rt := &req.Topics[i]
		t, known := v.Image.TopicByName(rt.Topic)
		var rules topicRules
		if known {
			rules = v.topicRules(t)
		}
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = rt.Topic
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			var c *partitionChange
			var refused *Refusal
			switch {
			case !known:
				refused = refuse(kerr.UnknownTopicOrPartition, "There is no topic %q.", rt.Topic)
			case len(recs) == MaxRecords:
				refused = refuse(kerr.PolicyViolation, "At most %d partitions can be changed at once; send the others in another request.", MaxRecords)
			default:
				c, refused = v.reassign(t, rules, rp, req.AllowReplicationFactorChange)
			}
			if refused == nil {
				if r := c.record(); r != nil {
					at := key{rt.Topic, rp.Partition}
					if changed[at] && r.Leader != records.LeaderUnchanged && r.ISR == nil {
						// The request names the partition again. As with Apache each time counts from what was before the
						// request; but the leader must not be missing in an ISR that the first time has left.
						r.ISR = present(c.isr)
					}
					recs, changed[at] = append(recs, r), true
				}
			}
			one := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			one.Partition = rp.Partition
			if refused != nil {
				one.ErrorCode, one.ErrorMessage = refused.Err.Code, &refused.Message
			}
			out.Partitions = append(out.Partitions, one)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return Result{Response: resp, Records: recs}
}

// reassign decides on one partition of a request.
func (v *View) reassign(t *image.Topic, rules topicRules, rp *kmsg.AlterPartitionAssignmentsRequestTopicPartition, anyFactor bool) (*partitionChange, *Refusal) {
	p, ok := t.Partition(rp.Partition)
	if !ok {
		return nil, refuse(kerr.UnknownTopicOrPartition, "Topic %q has no partition %d.", t.Name, rp.Partition)
	}
	c := v.change(t, rp.Partition, &p, rules)
	if rp.Replicas == nil {
		return c, c.cancelReassignment()
	}
	if r := v.checkAssignment(rp.Partition, rp.Replicas, -1); r != nil {
		return nil, r
	}
	if factor := reassignedFactor(&p); !anyFactor && len(rp.Replicas) != factor {
		return nil, refuse(kerr.InvalidReplicationFactor, "Partition %d would have %d replicas instead of %d, and the request does not allow that.",
			rp.Partition, len(rp.Replicas), factor)
	}
	c.moveTo(rp.Replicas)
	return c, nil
}

// reassignedFactor is how many replicas the partition has once the reassignment under way, if there is one, is done.
func reassignedFactor(p *image.Partition) int {
	if !p.Reassigning() {
		return len(p.Replicas)
	}
	left := slices.Concat(p.Replicas, p.Adding)
	slices.Sort(left)
	return len(without(slices.Compact(left), p.Removing...))
}

// moveTo begins a reassignment. It takes the place of one under way, and what that has added and the new one does not name is
// removed. Where the new one by itself adds, or removes, nothing, the list of the one under way stays: Kafka has it so, and it
// is what makes the same request again no change.
func (c *partitionChange) moveTo(replicas []int32) {
	c.election = electOnline // whatever the topic allows
	removing, adding := without(c.old.Replicas, replicas...), without(replicas, c.old.Replicas...)
	c.replicas = slices.Clone(replicas)
	if len(removing) > 0 {
		c.removing = slices.Sorted(slices.Values(removing))
		c.replicas = append(c.replicas, c.removing...)
	}
	if len(adding) > 0 {
		c.adding = slices.Sorted(slices.Values(adding))
	}
}

// cancelReassignment calls the reassignment off: what it has added goes, what it would have removed stays. If only those were in
// sync that go, the first replica has to take over, which loses records and so needs the topic's permission.
func (c *partitionChange) cancelReassignment() *Refusal {
	if !c.old.Reassigning() {
		return refuse(kerr.NoReassignmentInProgress, "The partition is not being reassigned.")
	}
	c.replicas, c.isr = without(c.replicas, c.adding...), without(c.isr, c.adding...)
	if len(c.replicas) == 0 {
		return refuse(kerr.InvalidReplicaAssignment, "All replicas of partition %d are being added, so there is nothing to go back to.", c.partition)
	}
	if len(c.isr) == 0 {
		if !c.rules.unclean {
			return refuse(kerr.InvalidReplicaAssignment,
				"None of the replicas that partition %d would go back to is in sync: wait until one is, or allow unclean elections for the topic.", c.partition)
		}
		c.isr = []int32{c.replicas[0]}
	}
	c.removing, c.adding = nil, nil
	return nil
}

// AlterPartitionAssignmentsRefusal answers the whole request with one refusal, in every place that there is for it.
func AlterPartitionAssignmentsRefusal(req *kmsg.AlterPartitionAssignmentsRequest, r *Refusal) *kmsg.AlterPartitionAssignmentsResponse {
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.ErrorCode, resp.ErrorMessage = r.Err.Code, &r.Message
	for _, t := range req.Topics {
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			out.Partitions = append(out.Partitions, kmsg.AlterPartitionAssignmentsResponseTopicPartition{
				Partition: p.Partition, ErrorCode: r.Err.Code, ErrorMessage: &r.Message,
			})
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

package plan

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// AlterPartition (v2–3) is how a partition's leader shrinks and expands the ISR, and says that it has recovered. Version 3
// names the brokers' epochs (KIP-903), so that a broker that has restarted meanwhile is not taken for in sync.
// When the new ISR completes a reassignment, that is written along with it.
//
// A request has the changes of all partitions that the broker leads, which may be more than [MaxRecords]: those that
// are one too many are left out of the answer, and the broker sends them again.
func AlterPartition(v *View, req *kmsg.AlterPartitionRequest) Result {
	resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
	if len(req.Topics) == 0 {
		return Result{Response: resp}
	}
	if _, err := v.currentBroker(req.BrokerID, req.BrokerEpoch); err != nil {
		resp.ErrorCode = err.Err.Code
		return Result{Response: resp, Refusal: err}
	}
	type key struct {
		topic     records.UUID
		partition int32
	}
	var recs []records.Record
	seen := map[key]bool{}
	for i := range req.Topics {
		rt := &req.Topics[i]
		out := kmsg.NewAlterPartitionResponseTopic()
		out.TopidID = rt.TopicID
		t, known := v.Image.Topic(rt.TopicID)
		var rules topicRules
		if known {
			rules = v.topicRules(t)
		}
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			at := key{rt.TopicID, rp.Partition}
			if len(recs) == MaxRecords {
				break
			}
			var answer kmsg.AlterPartitionResponseTopicPartition
			var r *records.PartitionChange
			switch {
			case !known:
				answer = partitionError(kerr.UnknownTopicID)
			case seen[at]:
				// The epochs it names cannot be right for both.
				answer = partitionError(kerr.InvalidRequest)
			default:
				answer, r = v.alterPartition(t, rules, req, rp)
			}
			answer.Partition = rp.Partition
			out.Partitions = append(out.Partitions, answer)
			if r != nil {
				recs = append(recs, r)
				seen[at] = true
			}
		}
		if len(out.Partitions) > 0 || len(rt.Partitions) == 0 {
			resp.Topics = append(resp.Topics, out)
		}
	}
	return Result{Response: resp, Records: recs}
}

func partitionError(e *kerr.Error) kmsg.AlterPartitionResponseTopicPartition {
	p := kmsg.NewAlterPartitionResponseTopicPartition()
	p.ErrorCode = e.Code
	return p
}

// alterPartition answers for one partition; the record is nil when nothing changes.
func (v *View) alterPartition(
	t *image.Topic, rules topicRules, req *kmsg.AlterPartitionRequest, rp *kmsg.AlterPartitionRequestTopicPartition,
) (kmsg.AlterPartitionResponseTopicPartition, *records.PartitionChange) {
	p, ok := t.Partition(rp.Partition)
	if !ok {
		return partitionError(kerr.UnknownTopicOrPartition), nil
	}
	isr := newISR(req.Version, rp)
	if err := v.checkAlterPartition(&p, req.BrokerID, rp, isr); err != nil {
		return partitionError(err), nil
	}

	c := v.change(t, rp.Partition, &p, rules)
	c.isr = make([]int32, len(isr))
	for i, m := range isr {
		c.isr[i] = m.BrokerID
	}
	c.recovery = rp.LeaderRecoveryState
	r := c.record()
	if r != nil && r.Leader != records.LeaderUnchanged && r.Leader != req.BrokerID {
		// The change takes the leadership from its sender, as a reassignment does that ends without it: it is written,
		// and still an error to the sender, who has to wait for the metadata.
		return partitionError(kerr.NewLeaderElected), r
	}

	answer := kmsg.NewAlterPartitionResponseTopicPartition()
	answer.LeaderID, answer.LeaderEpoch = p.Leader, p.LeaderEpoch
	answer.ISR, answer.LeaderRecoveryState, answer.PartitionEpoch = p.ISR, p.RecoveryState, p.PartitionEpoch
	if r != nil {
		answer.PartitionEpoch++
		if r.Leader != records.LeaderUnchanged {
			answer.LeaderEpoch++ // of the same leader
		}
		if r.ISR != nil {
			answer.ISR = r.ISR
		}
		if r.LeaderRecoveryState != records.RecoveryStateUnchanged {
			answer.LeaderRecoveryState = r.LeaderRecoveryState
		}
	}
	return answer, r
}

// checkAlterPartition says what is wrong with the change, nil if nothing is. The first match wins.
func (v *View) checkAlterPartition(
	p *image.Partition, sender int32, rp *kmsg.AlterPartitionRequestTopicPartition, isr []kmsg.AlterPartitionRequestTopicPartitionNewEpochISR,
) *kerr.Error {
	switch {
	case rp.LeaderEpoch > p.LeaderEpoch, rp.PartitionEpoch > p.PartitionEpoch:
		return kerr.NotController // the leader knows more than this node: it must have been replaced
	case rp.LeaderEpoch < p.LeaderEpoch:
		return kerr.FencedLeaderEpoch
	case sender != p.Leader:
		return kerr.InvalidRequest
	case rp.PartitionEpoch < p.PartitionEpoch:
		return kerr.InvalidUpdateVersion
	}
	leaderStays := false
	for i, m := range isr {
		twice := slices.ContainsFunc(isr[:i], func(o kmsg.AlterPartitionRequestTopicPartitionNewEpochISR) bool { return o.BrokerID == m.BrokerID })
		if twice || !p.HasReplica(m.BrokerID) {
			return kerr.InvalidRequest
		}
		leaderStays = leaderStays || m.BrokerID == p.Leader
	}
	recovering := rp.LeaderRecoveryState == image.Recovering
	switch {
	case !leaderStays,
		!recovering && rp.LeaderRecoveryState != image.Recovered,
		recovering && len(isr) > 1,
		recovering && p.RecoveryState == image.Recovered:
		return kerr.InvalidRequest
	}
	for _, m := range isr {
		b, ok := v.Image.Broker(m.BrokerID)
		if !ok || !b.Active() || m.BrokerEpoch != -1 && m.BrokerEpoch != b.Epoch {
			return kerr.IneligibleReplica
		}
	}
	return nil
}

// newISR returns the ISR of the request; before version 3 nobody's epoch is known.
func newISR(version int16, rp *kmsg.AlterPartitionRequestTopicPartition) []kmsg.AlterPartitionRequestTopicPartitionNewEpochISR {
	if version >= 3 {
		return rp.NewEpochISR
	}
	isr := make([]kmsg.AlterPartitionRequestTopicPartitionNewEpochISR, len(rp.NewISR))
	for i, id := range rp.NewISR {
		isr[i] = kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
		isr[i].BrokerID = id
	}
	return isr
}

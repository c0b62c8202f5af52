package plan

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// How ElectLeaders numbers elections.
const (
	electionPreferred int8 = 0
	electionUnclean   int8 = 1
)

// ElectLeaders (v0–2) elects leaders by hand: the preferred ones, the first replicas, or (v1, KIP-460) any replica for
// partitions that have no leader, records lost or not. Without a list of topics it does so for all partitions, and answers only
// for those that an election was needed for. More than [MaxRecords] elections are refused whole.
func ElectLeaders(v *View, req *kmsg.ElectLeadersRequest) Result {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	e := elector{view: v, unclean: req.ElectionType == electionUnclean}
	if req.ElectionType != electionPreferred && !e.unclean {
		return e.refused(req, refuse(kerr.InvalidRequest, "There is no election of type %d; there are %d, of preferred leaders, and %d, unclean.",
			req.ElectionType, electionPreferred, electionUnclean))
	}
	if req.Topics == nil {
		for t := range v.Image.Topics() {
			e.topic(t)
			out := kmsg.ElectLeadersResponseTopic{Topic: t.Name}
			for id, p := range t.Partitions() {
				if e.tooMany() {
					return e.excess(req)
				}
				if r := e.elect(id, &p); r == nil || r.Err != kerr.ElectionNotNeeded {
					out.Partitions = append(out.Partitions, electionAnswer(id, r))
				}
			}
			resp.Topics = append(resp.Topics, out)
		}
	}
	type key struct {
		topic     string
		partition int32
	}
	elected := map[key]bool{}
	for i := range req.Topics {
		rt := &req.Topics[i]
		t, known := v.Image.TopicByName(rt.Topic)
		if known {
			e.topic(t)
		}
		out := kmsg.ElectLeadersResponseTopic{Topic: rt.Topic}
		for _, id := range rt.Partitions {
			var r *Refusal
			var p image.Partition
			exists := false
			if known {
				p, exists = t.Partition(id)
			}
			at := key{rt.Topic, id}
			switch {
			case !known:
				r = refuse(kerr.UnknownTopicOrPartition, "There is no topic %q.", rt.Topic)
			case !exists:
				r = refuse(kerr.UnknownTopicOrPartition, "Topic %q has no partition %d.", rt.Topic, id)
			case elected[at]:
				r = errElected
			default:
				if r = e.elect(id, &p); r == nil {
					elected[at] = true
				}
			}
			out.Partitions = append(out.Partitions, electionAnswer(id, r))
		}
		resp.Topics = append(resp.Topics, out)
	}
	if e.tooMany() {
		return e.excess(req)
	}
	return Result{Response: resp, Records: e.recs}
}

// elector holds the elections of one request.
type elector struct {
	view    *View
	unclean bool
	of      *image.Topic
	rules   topicRules
	recs    []records.Record // at most one more than MaxRecords
}

// topic says whose partitions come next.
func (e *elector) topic(t *image.Topic) { e.of, e.rules = t, e.view.topicRules(t) }

var (
	errElected      = refuse(kerr.ElectionNotNeeded, "The partition has such a leader already.")
	errNotPreferred = refuse(kerr.PreferredLeaderNotAvailable, "The preferred leader, the first replica, is not in sync or its broker is not up.")
	errNotEligible  = refuse(kerr.EligibleLeadersNotAvailable, "No replica's broker is up.")
)

// elect elects a leader for one partition of the topic.
func (e *elector) elect(id int32, p *image.Partition) *Refusal {
	if e.unclean && p.HasLeader() || !e.unclean && p.Leader == p.Preferred() {
		return errElected
	}
	c := e.view.change(e.of, id, p, e.rules)
	c.election = electPreferred
	if e.unclean {
		c.election = electUnclean
	}
	r := c.record()
	if r != nil && r.Leader == records.NoLeader && p.HasLeader() {
		r = nil // a leader that is about to stop is better than none; Apache takes its leadership away
	}
	switch {
	case r != nil && len(e.recs) <= MaxRecords:
		e.recs = append(e.recs, r)
	case r == nil && e.unclean:
		return errNotEligible
	case r == nil:
		return errNotPreferred
	}
	return nil
}

func (e *elector) tooMany() bool { return len(e.recs) > MaxRecords }

func (e *elector) excess(req *kmsg.ElectLeadersRequest) Result {
	return e.refused(req, refuse(kerr.PolicyViolation, "The request asks for more than %d elections; name fewer partitions at a time.", MaxRecords))
}

// refused answers the whole request with one refusal.
func (e *elector) refused(req *kmsg.ElectLeadersRequest, r *Refusal) Result {
	return Result{Response: ElectLeadersRefusal(req, r), Refusal: r}
}

// ElectLeadersRefusal answers the whole request with one refusal, in every place that there is for it.
func ElectLeadersRefusal(req *kmsg.ElectLeadersRequest, r *Refusal) *kmsg.ElectLeadersResponse {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.ErrorCode = r.Err.Code
	for _, t := range req.Topics {
		out := kmsg.ElectLeadersResponseTopic{Topic: t.Topic}
		for _, id := range t.Partitions {
			out.Partitions = append(out.Partitions, electionAnswer(id, r))
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func electionAnswer(partition int32, r *Refusal) kmsg.ElectLeadersResponseTopicPartition {
	out := kmsg.NewElectLeadersResponseTopicPartition()
	out.Partition = partition
	if r != nil {
		out.ErrorCode, out.ErrorMessage = r.Err.Code, &r.Message
	}
	return out
}

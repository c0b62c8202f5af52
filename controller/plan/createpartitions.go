package plan

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// CreatePartitions (v0–3) adds partitions to topics that exist. Count is how many a topic has afterwards, so a request that is
// repeated after its answer was lost is refused and does no harm. New partitions have as many replicas as partition 0; they are
// placed unless the request names them. A topic that is refused leaves the others alone, unless the whole request is too large:
// Apache Kafka 4.3.0 then answers UNKNOWN_SERVER_ERROR and creates the first 10,000 all the same.
func CreatePartitions(v *View, req *kmsg.CreatePartitionsRequest) Result {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	times := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	answer := func(name string, r *Refusal) {
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic = name
		if r != nil {
			out.ErrorCode, out.ErrorMessage = r.Err.Code, &r.Message
		}
		resp.Topics = append(resp.Topics, out)
	}
	excess := v.checkGrowth(req.Topics, times)
	var recs []records.Record
	for i := range req.Topics {
		switch t := &req.Topics[i]; {
		case times[t.Topic] == 0: // answered
		case excess != nil:
			answer(t.Topic, excess)
			times[t.Topic] = 0
		case times[t.Topic] > 1:
			answer(t.Topic, refuse(kerr.InvalidRequest, "The request names this topic more than once."))
			times[t.Topic] = 0
		default:
			created, refused := v.growTopic(t)
			answer(t.Topic, refused)
			recs = append(recs, created...)
		}
	}
	if req.ValidateOnly {
		recs = nil
	}
	return Result{Response: resp, Records: recs}
}

// checkGrowth refuses a request for so many partitions that making them would already hurt.
func (v *View) checkGrowth(topics []kmsg.CreatePartitionsRequestTopic, times map[string]int) *Refusal {
	var total int64
	for i := range topics {
		if t, ok := v.Image.TopicByName(topics[i].Topic); ok && times[t.Name] == 1 {
			total += max(0, int64(topics[i].Count)-int64(t.NumPartitions()))
		}
	}
	if total > MaxRecords {
		return refuse(kerr.PolicyViolation, "The request asks for %d more partitions; at most %d can be created at once, split it into several requests.", total, MaxRecords)
	}
	return nil
}

// growTopic decides on one topic of a request.
func (v *View) growTopic(t *kmsg.CreatePartitionsRequestTopic) ([]records.Record, *Refusal) {
	topic, ok := v.Image.TopicByName(t.Topic)
	if !ok {
		return nil, refuse(kerr.UnknownTopicOrPartition, "There is no topic of this name.")
	}
	have := topic.NumPartitions()
	additional := int(t.Count) - have
	switch {
	case additional == 0:
		return nil, refuse(kerr.InvalidPartitions, "%d is the number of partitions that topic %q has already.", have, topic.Name)
	case additional < 0:
		return nil, refuse(kerr.InvalidPartitions, "Topic %q cannot have %d partitions: it has %d, and partitions cannot be taken away.", topic.Name, t.Count, have)
	case t.Count > image.MaxPartitions:
		return nil, refuse(kerr.InvalidPartitions, "Topic %q cannot have %d partitions: no topic can have more than %d.", topic.Name, t.Count, image.MaxPartitions)
	case t.Assignment != nil && len(t.Assignment) != additional:
		return nil, refuse(kerr.InvalidReplicaAssignment, "Replicas must be named for each partition that is added, or for none: the request adds %d and names those of %d.", additional, len(t.Assignment))
	}
	replicas, r := v.newReplicas(topic, additional, t.Assignment)
	if r != nil {
		return nil, r
	}
	recs := make([]records.Record, additional)
	for i := range recs {
		recs[i] = v.newPartition(topic.ID, int32(have+i), replicas[i])
	}
	return recs, nil
}

// newReplicas returns the replicas of partitions that a topic gets in addition: those that are named, else placed ones.
func (v *View) newReplicas(topic *image.Topic, additional int, named []kmsg.CreatePartitionsRequestTopicAssignment) ([][]int32, *Refusal) {
	first, _ := topic.Partition(0)
	factor := len(first.Replicas)
	if named == nil {
		return v.place(additional, factor)
	}
	out := make([][]int32, additional)
	for i, a := range named {
		id := int32(topic.NumPartitions() + i)
		if r := v.checkAssignment(id, a.Replicas, factor); r != nil {
			return nil, r
		}
		if !slices.ContainsFunc(a.Replicas, v.active) {
			return nil, refuse(kerr.InvalidReplicaAssignment, "Partition %d would have no leader: all its brokers, %v, are fenced or shutting down.", id, a.Replicas)
		}
		out[i] = slices.Clone(a.Replicas)
	}
	return out, nil
}

// active says whether there is such a broker and it may get leaders.
func (v *View) active(broker int32) bool {
	b, ok := v.Image.Broker(broker)
	return ok && b.Active()
}

package plan

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/configs"
	"yakt/controller/image"
	"yakt/records"
)

// CreateTopics (v2-7) creates topics with the partitions, placement and configs that were asked for.
//
// Version 4 (KIP-464) lets the number of partitions and the replication factor be -1 for the controller's defaults, as
// Apache does for older versions too; version 5 (KIP-525) answers with them and with the topic's configs; version 7 adds
// the topic's id. A topic that is refused leaves the others alone, unless the whole request is too large.
func CreateTopics(v *View, req *kmsg.CreateTopicsRequest) Result {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	times := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	once := slices.DeleteFunc(slices.Clone(req.Topics), func(t kmsg.CreateTopicsRequestTopic) bool {
		return times[t.Topic] > 1 || t.Topic == image.MetadataTopic
	})
	var recs []records.Record
	excess := v.checkPartitionCount(once)
	for i := 0; excess == nil && i < len(once); i++ {
		t := &once[i]
		out, created, refused := v.createTopic(t, req.Version)
		if refused != nil {
			out = RefusedTopic(t.Topic, refused)
		}
		resp.Topics = append(resp.Topics, out)
		recs = append(recs, created...)
		excess = checkRecordCount(recs)
	}
	if excess != nil {
		resp.Topics = nil
		for i := range req.Topics {
			resp.Topics = append(resp.Topics, RefusedTopic(req.Topics[i].Topic, excess))
		}
		return Result{Response: resp}
	}
	for i := range req.Topics {
		switch name := req.Topics[i].Topic; {
		case times[name] > 1:
			resp.Topics = append(resp.Topics, RefusedTopic(name, refuse(kerr.InvalidRequest, "The request names this topic more than once.")))
			times[name] = 0
		case times[name] == 1 && name == image.MetadataTopic:
			resp.Topics = append(resp.Topics, RefusedTopic(name, refuse(kerr.InvalidRequest, "%s is the controllers' own log and cannot be created.", name)))
		}
	}
	if req.ValidateOnly {
		recs = nil
	}
	return Result{Response: resp, Records: recs}
}

// RefusedTopic is the answer for a topic that is not created.
func RefusedTopic(name string, r *Refusal) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic, out.ErrorCode, out.ErrorMessage = name, r.Err.Code, &r.Message
	out.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // never null: Java's AdminClient fails on it
	return out
}

// checkPartitionCount refuses a request for so many partitions that making them would already hurt.
func (v *View) checkPartitionCount(topics []kmsg.CreateTopicsRequestTopic) *Refusal {
	var total int64
	for i := range topics {
		switch t := &topics[i]; {
		case len(t.ReplicaAssignment) > 0:
			total += int64(len(t.ReplicaAssignment))
		case t.NumPartitions == -1:
			total += int64(v.Settings.NumPartitions)
		case t.NumPartitions > 0:
			total += int64(t.NumPartitions)
		}
	}
	if total > MaxRecords {
		return refuse(kerr.PolicyViolation, "The request asks for %d partitions; at most %d can be created at once, split it into several requests.", total, MaxRecords)
	}
	return nil
}

// checkRecordCount refuses an operation that would write more than one operation may.
func checkRecordCount(recs []records.Record) *Refusal {
	if len(recs) > MaxRecords {
		return refuse(kerr.PolicyViolation, "The request needs more than %d metadata records; split it into several requests.", MaxRecords)
	}
	return nil
}

// createTopic decides on one topic of a request.
func (v *View) createTopic(t *kmsg.CreateTopicsRequestTopic, version int16) (kmsg.CreateTopicsResponseTopic, []records.Record, *Refusal) {
	out := kmsg.NewCreateTopicsResponseTopic()
	if r := v.checkNewTopicName(t.Topic); r != nil {
		return out, nil, r
	}
	set, r := newTopicConfigs(t.Configs)
	if r == nil {
		r = v.checkTopicConfigs(set, nil)
	}
	if r != nil {
		return out, nil, r
	}
	id := records.RandomUUID(randomReader{v.Rand})
	partitions, r := v.newTopicPartitions(t, id)
	if r != nil {
		return out, nil, r
	}
	recs := make([]records.Record, 0, 2+len(set)+len(partitions))
	recs = append(recs, &records.Topic{Name: t.Topic, TopicID: id})
	recs = append(recs, v.topicConfigRecords(t.Topic, set)...)
	for _, p := range partitions {
		recs = append(recs, p)
	}
	out.Topic, out.TopicID = t.Topic, id
	out.NumPartitions, out.ReplicationFactor = int32(len(partitions)), int16(len(partitions[0].Replicas))
	if version >= 5 {
		for _, c := range v.effectiveTopicConfigs(set) {
			out.Configs = append(out.Configs, kmsg.CreateTopicsResponseTopicConfig{Name: c.Def.Name, Value: c.Value, Source: int8(c.Source)})
		}
	}
	return out, recs, nil
}

// checkNewTopicName says why a topic of this name cannot be created.
func (v *View) checkNewTopicName(name string) *Refusal {
	if _, ok := v.Image.TopicByName(name); ok {
		return refuse(kerr.TopicAlreadyExists, "Topic %q exists already.", name)
	}
	if err := image.CheckTopicName(name); err != nil {
		return refuse(kerr.InvalidTopicException, "This cannot be the name of a topic: %v.", err)
	}
	if strings.ContainsAny(name, "._") {
		for other := range v.Image.CollidingTopics(name) {
			return refuse(kerr.InvalidTopicException, "Topic %q would share its metrics with topic %q, because they take '.' and '_' for the same; choose another name.", name, other)
		}
	}
	return nil
}

// newTopicConfigs returns the configs of a request by name; of one named twice the last counts.
func newTopicConfigs(asked []kmsg.CreateTopicsRequestTopicConfig) (map[string]string, *Refusal) {
	set := make(map[string]string, len(asked))
	for _, c := range asked {
		if c.Value == nil {
			return nil, refuse(kerr.InvalidConfig, "Config %s has a null value; leave it out to use the default.", configs.Quote(c.Name))
		}
		set[c.Name] = *c.Value
	}
	return set, nil
}

// newTopicPartitions returns the partitions of a new topic, at least one, by partition id.
func (v *View) newTopicPartitions(t *kmsg.CreateTopicsRequestTopic, id records.UUID) ([]*records.Partition, *Refusal) {
	if len(t.ReplicaAssignment) > 0 {
		return v.assignedPartitions(t, id)
	}
	partitions, replicas := int(t.NumPartitions), int(t.ReplicationFactor)
	if partitions == -1 {
		partitions = int(v.Settings.NumPartitions)
	}
	if replicas == -1 {
		replicas = int(v.Settings.DefaultReplicationFactor)
	}
	switch {
	case replicas < 1:
		return nil, refuse(kerr.InvalidReplicationFactor, "The replication factor must be 1 or more, or -1 for the default of %d.", v.Settings.DefaultReplicationFactor)
	case partitions < 1:
		return nil, refuse(kerr.InvalidPartitions, "The number of partitions must be 1 or more, or -1 for the default of %d.", v.Settings.NumPartitions)
	}
	placed, r := v.place(partitions, replicas)
	if r != nil {
		return nil, r
	}
	out := make([]*records.Partition, partitions)
	for i, replicas := range placed {
		out[i] = v.newPartition(id, int32(i), replicas)
	}
	return out, nil
}

// assignedPartitions returns the partitions of a new topic whose replicas the request names.
func (v *View) assignedPartitions(t *kmsg.CreateTopicsRequestTopic, id records.UUID) ([]*records.Partition, *Refusal) {
	switch {
	case t.ReplicationFactor != -1:
		return nil, refuse(kerr.InvalidRequest, "The replication factor must be -1 when the replicas are named, not %d.", t.ReplicationFactor)
	case t.NumPartitions != -1:
		return nil, refuse(kerr.InvalidRequest, "The number of partitions must be -1 when the replicas are named, not %d.", t.NumPartitions)
	}
	byID := make(map[int32]*records.Partition, len(t.ReplicaAssignment))
	factor := -1
	for _, a := range t.ReplicaAssignment {
		if byID[a.Partition] != nil {
			return nil, refuse(kerr.InvalidReplicaAssignment, "The replicas of partition %d are named more than once.", a.Partition)
		}
		if r := v.checkAssignment(a.Partition, a.Replicas, factor); r != nil {
			return nil, r
		}
		factor = len(a.Replicas)
		p := v.newPartition(id, a.Partition, slices.Clone(a.Replicas))
		if p.Leader == records.NoLeader {
			return nil, refuse(kerr.InvalidReplicaAssignment, "Partition %d would have no leader: all its brokers, %v, are fenced or shutting down.", a.Partition, a.Replicas)
		}
		byID[a.Partition] = p
	}
	out := make([]*records.Partition, len(byID))
	for i := range out {
		p, ok := byID[int32(i)]
		if !ok {
			return nil, refuse(kerr.InvalidReplicaAssignment, "The partitions must be numbered from 0 to %d; %d is missing.", len(out)-1, i)
		}
		out[i] = p
	}
	return out, nil
}

// checkAssignment says why a partition cannot have the replicas that a request names. factor is how many it must be,
// -1 for any number.
func (v *View) checkAssignment(partition int32, replicas []int32, factor int) *Refusal {
	if len(replicas) == 0 {
		return refuse(kerr.InvalidReplicaAssignment, "Partition %d is given no replicas.", partition)
	}
	seen := make(map[int32]bool, len(replicas))
	for _, id := range replicas {
		if _, ok := v.Image.Broker(id); !ok {
			return refuse(kerr.InvalidReplicaAssignment, "Partition %d is given broker %d, which is not registered.", partition, id)
		}
		if seen[id] {
			return refuse(kerr.InvalidReplicaAssignment, "Partition %d is given broker %d more than once.", partition, id)
		}
		seen[id] = true
	}
	if factor >= 0 && len(replicas) != factor {
		return refuse(kerr.InvalidReplicaAssignment, "Partition %d is given %d replicas where the others have %d.", partition, len(replicas), factor)
	}
	return nil
}

// newPartition returns a partition as it begins: in sync is every active replica, and the first of them leads. Without
// any the partition has no leader, which callers refuse. The record keeps replicas.
func (v *View) newPartition(topic records.UUID, partition int32, replicas []int32) *records.Partition {
	p := &records.Partition{PartitionID: partition, TopicID: topic, Replicas: replicas, Leader: records.NoLeader}
	for _, id := range replicas {
		if b, ok := v.Image.Broker(id); ok && b.Active() {
			p.ISR = append(p.ISR, id)
		}
	}
	if len(p.ISR) > 0 {
		p.Leader = p.ISR[0]
	}
	if v.level().HasDirectories() {
		p.Directories = make([]records.UUID, len(replicas))
		for i, id := range replicas {
			p.Directories[i] = v.defaultDirectory(id)
		}
	}
	return p
}

// DeleteTopics (v1-6) removes topics by name or, from version 6 (KIP-516), by id. An entry that the request has
// twice, or a name and an id of the same topic, delete nothing.
func DeleteTopics(v *View, req *kmsg.DeleteTopicsRequest) Result {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	asked := req.Topics
	if req.Version < 6 {
		asked = nil
		for _, name := range req.TopicNames {
			asked = append(asked, kmsg.DeleteTopicsRequestTopic{Topic: &name})
		}
	}
	answer := func(name *string, id records.UUID, r *Refusal) {
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID = name, id
		if r != nil {
			out.ErrorCode, out.ErrorMessage = r.Err.Code, &r.Message
		}
		resp.Topics = append(resp.Topics, out)
	}
	refuseAll := func(r *Refusal) Result {
		resp.Topics = nil
		for _, t := range asked {
			answer(t.Topic, t.TopicID, r)
		}
		return Result{Response: resp}
	}
	if r := v.checkDeletionEnabled(req.Version); r != nil {
		return refuseAll(r)
	}

	names, ids := map[string]int{}, map[records.UUID]int{} // how often each is asked for
	const refused = -1                                     // asked for more than once, and told so
	for _, t := range asked {
		switch {
		case t.Topic == nil:
			ids[t.TopicID]++
		case t.TopicID == records.ZeroUUID:
			names[*t.Topic]++
		}
	}
	var recs []records.Record
	for _, t := range asked {
		switch {
		case t.Topic != nil && t.TopicID != records.ZeroUUID:
			answer(t.Topic, t.TopicID, refuse(kerr.InvalidRequest, "A topic is deleted by its name or by its id; the request has both."))

		case t.Topic != nil:
			topic, ok := v.Image.TopicByName(*t.Topic)
			switch n := names[*t.Topic]; {
			case n == refused:
			case n > 1:
				names[*t.Topic] = refused
				answer(t.Topic, records.ZeroUUID, refuse(kerr.InvalidRequest, "The request names this topic more than once."))
			case !ok:
				answer(t.Topic, records.ZeroUUID, refuse(kerr.UnknownTopicOrPartition, "There is no topic of this name."))
			case ids[topic.ID] != 0:
				answer(t.Topic, topic.ID, refuse(kerr.InvalidRequest, "The request has the id of this topic as well as its name."))
			default:
				recs = append(recs, &records.RemoveTopic{TopicID: topic.ID})
				answer(t.Topic, topic.ID, nil)
			}

		case t.TopicID == records.ZeroUUID:
			answer(nil, t.TopicID, refuse(kerr.InvalidRequest, "The request has an entry with neither a topic's name nor its id."))

		default:
			topic, ok := v.Image.Topic(t.TopicID)
			switch n := ids[t.TopicID]; {
			case n == refused:
			case n > 1:
				ids[t.TopicID] = refused
				answer(nil, t.TopicID, refuse(kerr.InvalidRequest, "The request has this topic id more than once."))
			case !ok:
				answer(nil, t.TopicID, refuse(kerr.UnknownTopicID, "There is no topic with this id."))
			case names[topic.Name] == 1: // refused with the name
			default:
				recs = append(recs, &records.RemoveTopic{TopicID: topic.ID})
				answer(&topic.Name, topic.ID, nil)
			}
		}
	}
	if r := checkRecordCount(recs); r != nil {
		return refuseAll(r)
	}
	return Result{Response: resp, Records: recs}
}

// checkDeletionEnabled says why no topic can be deleted.
func (v *View) checkDeletionEnabled(version int16) *Refusal {
	switch on, ok := configs.True(v.Settings.Properties[configs.PropertyDeleteTopics]); {
	case !ok || on:
		return nil
	case version < 3: // has no better error
		return refuse(kerr.InvalidRequest, "Topics cannot be deleted here: %s is false.", configs.PropertyDeleteTopics)
	}
	return refuse(kerr.TopicDeletionDisabled, "Topics cannot be deleted here: %s is false.", configs.PropertyDeleteTopics)
}

// randomReader reads random bytes from a plan's source of randomness.
type randomReader struct{ r *rand.Rand }

func (r randomReader) Read(p []byte) (int, error) {
	for n := 0; n < len(p); n += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], r.r.Uint64())
		copy(p[n:], word[:])
	}
	return len(p), nil
}

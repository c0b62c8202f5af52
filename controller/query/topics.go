package query

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
)

// maxDescribedPartitions is how many partitions one answer holds at most, as max.request.partition.size.limit says by default.
const maxDescribedPartitions = 2000

// DescribeTopicPartitions (v0, KIP-966) describes topics, by name, page by page: all, or those that are asked for. Only
// it tells of the eligible leader replicas.
func DescribeTopicPartitions(q *Context, req *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	var from string
	var first int32
	if req.Cursor != nil {
		from, first = req.Cursor.Topic, req.Cursor.Partition
	}
	names := make([]string, 0, len(req.Topics))
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	_, asked := slices.BinarySearch(names, from)
	if first < 0 || req.Cursor != nil && len(names) > 0 && !asked {
		for _, t := range req.Topics {
			resp.Topics = append(resp.Topics, undescribed(t.Topic, kerr.InvalidRequest))
		}
		return resp
	}

	left := int(max(1, min(req.ResponsePartitionLimit, maxDescribedPartitions)))
	// page describes one topic and says whether there is room for more.
	page := func(name string, t *image.Topic) bool {
		if left == 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name}
			return false
		}
		if t == nil {
			resp.Topics = append(resp.Topics, undescribed(name, unknownTopic(name)))
			return true
		}
		var begin int32
		if name == from {
			begin = first
		}
		out, next := q.describedTopic(t, begin, left)
		resp.Topics = append(resp.Topics, out)
		left -= len(out.Partitions)
		if next >= 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: next}
			return false
		}
		return true
	}
	if len(req.Topics) == 0 {
		for t := range q.Image.TopicsFrom(from) {
			if !page(t.Name, t) {
				break
			}
		}
		return resp
	}
	for _, name := range names {
		if strings.Compare(name, from) < 0 {
			continue
		}
		t, _ := q.Image.TopicByName(name)
		if !page(name, t) {
			break
		}
	}
	return resp
}

// undescribed is the answer for a topic that there is nothing to say about.
func undescribed(name string, err *kerr.Error) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.ErrorCode, out.Topic, out.IsInternal = err.Code, &name, image.InternalTopic(name)
	out.AuthorizedOperations = topicOperations
	return out
}

// describedTopic describes up to limit partitions from the given one on, and says where to go on: -1 for nowhere.
func (q *Context) describedTopic(t *image.Topic, from int32, limit int) (out kmsg.DescribeTopicPartitionsResponseTopic, next int32) {
	out = kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = kmsg.StringPtr(t.Name), t.ID, image.InternalTopic(t.Name)
	out.AuthorizedOperations = topicOperations
	for id, p := range t.Partitions() {
		if id < from {
			continue
		}
		if len(out.Partitions) == limit {
			return out, id
		}
		one := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		one.Partition, one.LeaderEpoch = id, p.LeaderEpoch
		one.LeaderID, _ = q.leader(&p)
		one.Replicas, one.ISR, one.OfflineReplicas = p.Replicas, p.ISR, q.offlineReplicas(&p)
		one.EligibleLeaderReplicas, one.LastKnownELR = p.ELR, p.LastKnownELR
		out.Partitions = append(out.Partitions, one)
	}
	return out, unknownNode
}

package query

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
)

// ListPartitionReassignments (v0, KIP-455) lists the partitions that are being reassigned: all, or those of them that are asked for.
func ListPartitionReassignments(q *Context, req *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	list := func(name string, id int32, p *image.Partition) {
		if n := len(resp.Topics); n == 0 || resp.Topics[n-1].Topic != name {
			resp.Topics = append(resp.Topics, kmsg.ListPartitionReassignmentsResponseTopic{Topic: name})
		}
		t := &resp.Topics[len(resp.Topics)-1]
		t.Partitions = append(t.Partitions, kmsg.ListPartitionReassignmentsResponseTopicPartition{
			Partition: id, Replicas: p.Replicas, AddingReplicas: p.Adding, RemovingReplicas: p.Removing,
		})
	}
	if req.Topics == nil {
		q.Image.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
			if p.Reassigning() {
				list(t.Name, id, p)
			}
			return true
		})
		return resp
	}
	for _, rt := range req.Topics {
		t, ok := q.Image.TopicByName(rt.Topic)
		if !ok {
			continue
		}
		for _, id := range rt.Partitions {
			if p, ok := t.Partition(id); ok && p.Reassigning() {
				list(t.Name, id, &p)
			}
		}
	}
	return resp
}

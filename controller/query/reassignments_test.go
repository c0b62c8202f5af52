package query

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

func TestListPartitionReassignmentsFilters(t *testing.T) {
	e := testCluster().Edit()
	for _, r := range []*records.PartitionChange{
		{TopicID: ordersID, PartitionID: 1, Replicas: []int32{104, 103, 101, 102}, AddingReplicas: []int32{104}, RemovingReplicas: []int32{101, 102}},
		{TopicID: stockID, PartitionID: 0, RemovingReplicas: []int32{104}},
	} {
		r.Leader, r.LeaderRecoveryState = records.LeaderUnchanged, records.RecoveryStateUnchanged
		e.Replay(r, 1000)
	}
	q := &Context{Image: e.Image()}
	const orders, stock = "orders-1 [104 103 101 102] +[104] -[101 102]", "stock-0 [104 101] +[] -[104]"
	ask := func(name string, partitions ...int32) []kmsg.ListPartitionReassignmentsRequestTopic {
		return []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: name, Partitions: partitions}}
	}
	for _, c := range []struct {
		topics []kmsg.ListPartitionReassignmentsRequestTopic
		want   string
	}{
		{nil, orders + "; " + stock},
		{[]kmsg.ListPartitionReassignmentsRequestTopic{}, ""},
		{ask("orders", 0, 1, 2, 9), orders},
		{ask("orders"), ""},
		{ask("nothing", 0), ""},
		{append(ask("stock", 0), ask("orders", 1)...), stock + "; " + orders},
	} {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.Topics = c.topics
		resp := ListPartitionReassignments(q, req).(*kmsg.ListPartitionReassignmentsResponse)
		var got []string
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				got = append(got, fmt.Sprintf("%s-%d %v +%v -%v", topic.Topic, p.Partition, p.Replicas, p.AddingReplicas, p.RemovingReplicas))
			}
		}
		if text := strings.Join(got, "; "); text != c.want || resp.ErrorCode != 0 {
			t.Errorf("%v: got %q, want %q", c.topics, text, c.want)
		}
	}
}

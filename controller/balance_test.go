package controller

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/plan"
	"yakt/records"
)

// handle sends a request that must be answered.
func handle[R kmsg.Response](t *testing.T, c *Controller, req kmsg.Request) R {
	t.Helper()
	resp, err := c.Handle(t.Context(), Caller{}, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(R)
}

// The preferred leader gets its leadership back when the interval is over, not before, and not where that is turned off.
func TestLeadersAreBalancedByTheClock(t *testing.T) {
	for _, interval := range []time.Duration{0, 300 * time.Second} {
		var now atomic.Int64
		now.Store(1_700_000_000_000)
		c := New(Config{
			NodeID: 1, ListenerName: "CONTROLLER", Clock: func() time.Time { return time.UnixMilli(now.Load()) },
			Settings: plan.Settings{SessionTimeout: 9 * time.Second, MinISR: 1, MetadataVersion: records.LatestMetadataVersion, LeaderImbalanceInterval: interval},
		})
		l := newFakeLog(c)
		c.Start(l)
		defer l.close()
		defer c.Close()
		awaitActive(t, c, l)
		registerByHand(t, c, 11, 9092)
		registerByHand(t, c, 12, 9093)

		create := kmsg.NewPtrCreateTopicsRequest()
		create.Version = 7
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "orders", -1, -1
		topic.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{11, 12}}}
		create.Topics = append(create.Topics, topic)
		handle[*kmsg.CreateTopicsResponse](t, c, create)

		reorder := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		reorder.Version = 1
		reorder.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{
			Topic: "orders", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: []int32{12, 11}}},
		}}
		handle[*kmsg.AlterPartitionAssignmentsResponse](t, c, reorder)

		leader := func(after time.Duration) int32 {
			t.Helper()
			now.Add(after.Milliseconds())
			onLoop(c, c.chores)
			handle[*kmsg.AlterPartitionAssignmentsResponse](t, c, reorder) // queued behind what the chores found to do; changes nothing
			orders, ok := c.Image().TopicByName("orders")
			if !ok {
				t.Fatal("no topic")
			}
			p, _ := orders.Partition(0)
			return p.Leader
		}
		if got := leader(299 * time.Second); got != 11 {
			t.Errorf("interval %v: after 299 s %d leads", interval, got)
		}
		want := int32(11)
		if interval > 0 {
			want = 12
		}
		if got := leader(time.Second); got != want {
			t.Errorf("interval %v: after 300 s %d leads, not %d", interval, got, want)
		}
	}
}

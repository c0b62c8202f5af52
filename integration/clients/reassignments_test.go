package clients

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"yakt/integration/harness"
)

// The stand-ins fetch nothing, so that a reassignment goes on until it is called off.
func TestReassignmentsAndElectionsByHand(t *testing.T) {
	y := harness.StartYakt(t)
	for _, id := range []int32{101, 102, 103} {
		harness.StartStandIn(t, y, id)
	}
	client, ctx := admin(t, y)
	if _, err := client.CreateTopic(ctx, 1, 3, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	orders := kadm.TopicsSet{"orders": {0: {}}}
	partition := func() harness.Partition {
		t.Helper()
		topic, ok := y.MustMetadata(t).Topic("orders") // kadm would show what it has learnt before
		if !ok {
			t.Fatal("no topic")
		}
		return topic.Partitions[0]
	}
	reassign := func(want error, replicas ...int32) {
		t.Helper()
		var req kadm.AlterPartitionAssignmentsReq
		if len(replicas) == 0 {
			req.CancelAssign("orders", 0)
		} else {
			req.Assign("orders", 0, replicas)
		}
		resp, err := client.AlterPartitionAssignments(ctx, req)
		if err != nil || !errors.Is(resp["orders"][0].Err, want) {
			t.Fatalf("reassigned to %v: %v, %+v", replicas, err, resp)
		}
	}
	elect := func(want error) {
		t.Helper()
		resp, err := client.ElectLeaders(ctx, kadm.ElectPreferredReplica, orders)
		if err != nil || !errors.Is(resp["orders"][0].Err, want) {
			t.Fatalf("elected: %v, %+v", err, resp)
		}
	}

	before := partition()
	turned := slices.Clone(before.Replicas)
	slices.Reverse(turned)
	elect(kerr.ElectionNotNeeded)
	reassign(nil, turned...)
	if p := partition(); p.Leader != before.Leader || !slices.Equal(p.Replicas, turned) {
		t.Fatalf("in another order: %+v", p)
	}
	elect(nil)
	if p := partition(); p.Leader != turned[0] {
		t.Fatalf("elected: %+v", p)
	}

	reassign(nil, turned[:1]...)
	if p := partition(); !slices.Equal(p.Replicas, turned[:1]) || !slices.Equal(p.ISR, turned[:1]) {
		t.Fatalf("with fewer replicas: %+v", p)
	}
	reassign(nil, turned[1])
	going, err := client.ListPartitionReassignments(ctx, orders)
	if err != nil {
		t.Fatal(err)
	}
	if p := going["orders"][0]; !slices.Equal(p.AddingReplicas, turned[1:2]) || !slices.Equal(p.RemovingReplicas, turned[:1]) {
		t.Fatalf("going on: %+v", going)
	}
	reassign(nil)
	reassign(kerr.NoReassignmentInProgress)
	if p := partition(); !slices.Equal(p.Replicas, turned[:1]) || p.Leader != turned[0] {
		t.Fatalf("called off: %+v", p)
	}
	reassign(kerr.InvalidReplicaAssignment, 999)
}

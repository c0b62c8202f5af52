package plan

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

func TestReassignmentsBeyondOneOperationAreRefusedOneByOne(t *testing.T) {
	s := crowd(t, MaxRecords+1, 1)
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rt := kmsg.AlterPartitionAssignmentsRequestTopic{Topic: "crowd"}
	for p := range MaxRecords + 1 {
		rt.Partitions = append(rt.Partitions, kmsg.AlterPartitionAssignmentsRequestTopicPartition{Partition: int32(p), Replicas: []int32{2}})
	}
	req.Topics = append(req.Topics, rt)
	r := s.do(func(v *View) Result { return AlterPartitionAssignments(v, req) })
	resp := r.Response.(*kmsg.AlterPartitionAssignmentsResponse)
	if len(r.Records) != MaxRecords || resp.ErrorCode != 0 {
		t.Fatalf("%d records, error %d", len(r.Records), resp.ErrorCode)
	}
	for i, p := range resp.Topics[0].Partitions {
		if refused := p.ErrorCode == kerr.PolicyViolation.Code; refused != (i == MaxRecords) {
			t.Fatalf("partition %d: error %d", p.Partition, p.ErrorCode)
		}
	}
}

// unbalanced is a crowd whose followers lead.
func unbalanced(t *testing.T, partitions int) *story {
	s := crowd(t, partitions, 2)
	var recs []records.Record
	s.image.EachPartition(func(topic *image.Topic, id int32, _ *image.Partition) bool {
		r := records.NewPartitionChange(topic.ID, id)
		r.Leader = 2
		if recs = append(recs, r); len(recs) == MaxRecords {
			s.write(recs...)
			recs = nil
		}
		return true
	})
	s.write(recs...)
	return s
}

func TestLeadersAreBalancedAThousandAtATime(t *testing.T) {
	s := unbalanced(t, 2*MaxBalanced+7)
	for _, want := range []int{MaxBalanced, MaxBalanced, 7, 0} {
		if r := s.do(BalanceLeaders); len(r.Records) != want {
			t.Fatalf("%d records, want %d", len(r.Records), want)
		}
	}
	if s.led(1) != 2*MaxBalanced+7 {
		t.Fatal(s.led(1))
	}
}

func TestTooManyElectionsAreRefusedWhole(t *testing.T) {
	for _, partitions := range []int{MaxRecords, MaxRecords + 1} {
		s := unbalanced(t, partitions)
		r := s.do(func(v *View) Result { return ElectLeaders(v, kmsg.NewPtrElectLeadersRequest()) })
		resp := r.Response.(*kmsg.ElectLeadersResponse)
		if partitions == MaxRecords {
			if len(r.Records) != MaxRecords || resp.ErrorCode != 0 || s.led(1) != partitions {
				t.Fatalf("%d partitions: %d records, error %d, broker 1 leads %d", partitions, len(r.Records), resp.ErrorCode, s.led(1))
			}
		} else if len(r.Records) != 0 || resp.ErrorCode != kerr.PolicyViolation.Code || r.Refusal == nil {
			t.Fatalf("%d partitions: %d records, error %d", partitions, len(r.Records), resp.ErrorCode)
		}
	}
}

func TestTooManyDirectoriesAreRefusedWhole(t *testing.T) {
	s := crowd(t, maxAssignments+1, 1)
	assign := func(partitions int) Result {
		rt := kmsg.AssignReplicasToDirsRequestDirectoryTopic{TopicID: incarnation("crowd")}
		for p := range partitions {
			rt.Partitions = append(rt.Partitions, kmsg.AssignReplicasToDirsRequestDirectoryTopicPartition{Partition: int32(p)})
		}
		req := kmsg.NewPtrAssignReplicasToDirsRequest()
		req.BrokerID, req.BrokerEpoch = 1, s.epoch(1)
		req.Directories = []kmsg.AssignReplicasToDirsRequestDirectory{{ID: dirID("elsewhere"), Topics: []kmsg.AssignReplicasToDirsRequestDirectoryTopic{rt}}}
		return s.do(func(v *View) Result { return AssignReplicasToDirs(v, req) })
	}
	if r := assign(maxAssignments + 1); len(r.Records) != 0 || r.Response.(*kmsg.AssignReplicasToDirsResponse).ErrorCode != kerr.InvalidRequest.Code {
		t.Fatalf("%d records: %+v", len(r.Records), r.Refusal)
	}
	// As much as is allowed, all in a directory that does not work: each takes two records.
	if r := assign(maxAssignments); len(r.Records) != 2*maxAssignments || s.led(1) != 1 {
		t.Fatalf("%d records, broker 1 still leads %d", len(r.Records), s.led(1))
	}
}

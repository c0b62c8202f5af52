package plan

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func init() {
	storyCommands["elect"] = (*story).cmdElect
	storyCommands["balance"] = func(s *story, _ *datadriven.TestData) string { return s.result(s.do(BalanceLeaders)) }
	storyCommands["alter-reassignments"] = (*story).cmdAlterReassignments
	storyCommands["assign-dirs"] = (*story).cmdAssignDirs
}

// elect [type=0] [all], then a line for each partition: orders-0: ElectLeaders; 0 is preferred, 1 unclean.
func (s *story) cmdElect(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType = 2, int8(a.number("type", 0))
	if !a.has("all") {
		req.Topics = []kmsg.ElectLeadersRequestTopic{}
	}
	for _, l := range lines(d) {
		name, id := s.partitionName(d, l)
		req.Topics = append(req.Topics, kmsg.ElectLeadersRequestTopic{Topic: name, Partitions: []int32{id}})
	}
	r := s.do(func(v *View) Result { return ElectLeaders(v, req) })
	resp := r.Response.(*kmsg.ElectLeadersResponse)
	var b strings.Builder
	if resp.ErrorCode != 0 {
		fmt.Fprintln(&b, code(resp.ErrorCode))
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			b.WriteString(line(fmt.Sprintf("%s-%d", t.Topic, p.Partition), p.ErrorCode, p.ErrorMessage))
		}
	}
	return b.String() + s.recordLines(r.Records)
}

// alter-reassignments [same-factor], then a line for each partition: orders-0 replicas=2,3|none or orders-0 cancel:
// AlterPartitionReassignments.
func (s *story) cmdAlterReassignments(d *datadriven.TestData) string {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.Version, req.AllowReplicationFactorChange = 1, !args{s.tb, d}.has("same-factor")
	for _, l := range lines(d) {
		partition, cmdArgs := s.parseLine(d, l)
		p := args{s.tb, &datadriven.TestData{Pos: d.Pos, CmdArgs: cmdArgs}}
		name, id := s.partitionName(d, partition)
		rp := kmsg.AlterPartitionAssignmentsRequestTopicPartition{Partition: id}
		if !p.has("cancel") {
			rp.Replicas = append([]int32{}, p.ids("replicas")...)
		}
		req.Topics = append(req.Topics, kmsg.AlterPartitionAssignmentsRequestTopic{Topic: name, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{rp}})
	}
	r := s.do(func(v *View) Result { return AlterPartitionAssignments(v, req) })
	var b strings.Builder
	for _, t := range r.Response.(*kmsg.AlterPartitionAssignmentsResponse).Topics {
		for _, p := range t.Partitions {
			b.WriteString(line(fmt.Sprintf("%s-%d", t.Topic, p.Partition), p.ErrorCode, p.ErrorMessage))
		}
	}
	return b.String() + s.recordLines(r.Records)
}

// assign-dirs broker=1 [epoch=…], then a line for each partition: orders-0 dir=a: AssignReplicasToDirs.
func (s *story) cmdAssignDirs(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := kmsg.NewPtrAssignReplicasToDirsRequest()
	req.BrokerID = int32(a.number("broker", 0))
	if b, ok := s.image.Broker(req.BrokerID); ok {
		req.BrokerEpoch = b.Epoch
	}
	req.BrokerEpoch = a.number("epoch", req.BrokerEpoch)
	for _, l := range lines(d) {
		partition, cmdArgs := s.parseLine(d, l)
		p := args{s.tb, &datadriven.TestData{Pos: d.Pos, CmdArgs: cmdArgs}}
		name, id := s.partitionName(d, partition)
		topic := incarnation(name)
		if t, ok := s.image.TopicByName(name); ok {
			topic = t.ID
		}
		req.Directories = append(req.Directories, kmsg.AssignReplicasToDirsRequestDirectory{
			ID: dirID(p.text("dir", "")),
			Topics: []kmsg.AssignReplicasToDirsRequestDirectoryTopic{{
				TopicID: topic, Partitions: []kmsg.AssignReplicasToDirsRequestDirectoryTopicPartition{{Partition: id}},
			}},
		})
	}
	r := s.do(func(v *View) Result { return AssignReplicasToDirs(v, req) })
	resp := r.Response.(*kmsg.AssignReplicasToDirsResponse)
	var b strings.Builder
	fmt.Fprintln(&b, code(resp.ErrorCode))
	for _, dir := range resp.Directories {
		for _, t := range dir.Topics {
			for _, p := range t.Partitions {
				b.WriteString(line(fmt.Sprintf("%s-%d", s.topicName(t.TopicID), p.Partition), p.ErrorCode, nil))
			}
		}
	}
	return b.String() + s.recordLines(r.Records)
}

// partitionName splits orders-0.
func (s *story) partitionName(d *datadriven.TestData, text string) (topic string, id int32) {
	at := strings.LastIndexByte(text, '-')
	if at < 0 {
		d.Fatalf(s.tb, "%q is no partition", text)
	}
	return text[:at], parseIDs(s.tb, text[at+1:])[0]
}

package sim

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
)

// Administrators move replicas: they begin reassignments, change them half-way and call them off. What the partitions' leaders
// say of their ISRs completes them.

// reassign asks for other replicas of a partition, or calls a reassignment off.
func (a *admin) reassign() func() kmsg.Request {
	w := a.w
	version := int16(w.rand.IntN(2))
	name, partition := a.name(), int32(w.rand.IntN(5))
	var replicas []int32
	if !w.chance(0.25) {
		replicas = w.someBrokers(1 + w.rand.IntN(4))
	}
	anyFactor := version == 0 || w.chance(0.8)
	return func() kmsg.Request {
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Partition, p.Replicas = partition, slices.Clone(replicas)
		t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		t.Topic, t.Partitions = name, []kmsg.AlterPartitionAssignmentsRequestTopicPartition{p}
		req := kmsg.NewAlterPartitionAssignmentsRequest()
		req.Version, req.AllowReplicationFactorChange = version, anyFactor
		req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{t}
		return &req
	}
}

// someBrokers draws ids of different brokers.
func (w *world) someBrokers(count int) []int32 {
	var ids []int32
	for _, i := range w.rand.Perm(len(w.brokers))[:count] {
		ids = append(ids, w.brokers[i].id)
	}
	return ids
}

func (o *oracle) judgeReassignment(k *call, req *kmsg.AlterPartitionAssignmentsRequest, resp *kmsg.AlterPartitionAssignmentsResponse) {
	if resp.ErrorCode != 0 {
		o.unexpected(k, resp.ErrorCode)
	}
	asked := &req.Topics[0].Partitions[0]
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		violate(truth, "%s #%d, %s: not one answer", k.conn.name, k.serial, describe(req))
	}
	is := func(so func(s state, p *image.Partition) bool) func(s state) bool {
		return func(s state) bool {
			p, ok := partitionOf(s, req.Topics[0].Topic, asked.Partition)
			return ok && so(s, &p)
		}
	}
	switch code := resp.Topics[0].Partitions[0].ErrorCode; {
	case code == 0 && asked.Replicas == nil:
		o.must(k, acknowledged, is(func(_ state, p *image.Partition) bool { return !p.Reassigning() }), "called off")
	case code == 0:
		// As with Apache's controller what an earlier reassignment removes still goes if this one by itself removes nothing.
		changed := o.was(k, is(func(_ state, p *image.Partition) bool { return p.Reassigning() }))
		o.must(k, acknowledged, is(func(_ state, p *image.Partition) bool {
			stay := without(p.Replicas, p.Removing)
			return slices.Equal(stay, asked.Replicas) || changed && len(without(stay, asked.Replicas)) == 0
		}), "on its way")
	case code == kerr.UnknownTopicOrPartition.Code:
		o.must(k, truth, func(s state) bool { _, ok := partitionOf(s, req.Topics[0].Topic, asked.Partition); return !ok }, "there is no such partition")
	case code == kerr.NoReassignmentInProgress.Code && asked.Replicas == nil:
		o.must(k, truth, is(func(_ state, p *image.Partition) bool { return !p.Reassigning() }), "nothing to call off")
	case code == kerr.InvalidReplicaAssignment.Code && asked.Replicas == nil:
		o.must(k, truth, is(func(_ state, p *image.Partition) bool {
			return len(without(p.ISR, p.Adding)) == 0 || len(without(p.Replicas, p.Adding)) == 0
		}), "nobody in sync to go back to")
	case code == kerr.InvalidReplicaAssignment.Code:
		o.must(k, truth, unregistered(asked.Replicas), "a replica's broker is not registered")
	case code == kerr.InvalidReplicationFactor.Code && !req.AllowReplicationFactorChange:
		o.must(k, truth, is(func(_ state, p *image.Partition) bool {
			return len(without(p.Replicas, p.Removing)) != len(asked.Replicas)
		}), "another number of replicas")
	default:
		o.unexpected(k, code)
	}
}

// unregistered is so where one of the brokers is not known.
func unregistered(brokers []int32) func(s state) bool {
	return func(s state) bool {
		return slices.ContainsFunc(brokers, func(id int32) bool { _, ok := s.Broker(id); return !ok })
	}
}

func partitionOf(s state, topic string, partition int32) (image.Partition, bool) {
	t, ok := s.TopicByName(topic)
	if !ok {
		return image.Partition{}, false
	}
	return t.Partition(partition)
}

// without is the list but for some.
func without[T comparable](list, some []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(some, v) })
}

// losesRecords says whether somebody is elected who was not in sync. That comes after the end of a reassignment, and of the ISR with which
// it ended nothing is left to see.
func (c *changeCheck) losesRecords() bool {
	leader := c.record.Leader
	return c.rules.unclean && slices.Equal(c.isr, []int32{leader}) && !slices.Contains(c.before.ISR, leader)
}

// checkReplicas checks what a change does to the replicas of a partition and where they lie.
func (c *changeCheck) checkReplicas() {
	before, r := c.before, c.record
	byHand := c.api == "AlterPartitionAssignments"
	ends := before.Reassigning() && len(c.adding)+len(c.removing) == 0
	if ends && !byHand {
		c.w.count("reassignments completed")
	}
	switch {
	case len(c.replicas) == 0:
		c.fail("reassignment-ends-in-its-target", "no replica is left")
	case byHand:
	case !ends && (r.Replicas != nil || r.AddingReplicas != nil || r.RemovingReplicas != nil):
		c.fail("reassignment-ends-in-its-target", "replicas change without a reassignment that ends")
	case ends && !slices.Equal(c.replicas, without(before.Replicas, before.Removing)):
		c.fail("reassignment-ends-in-its-target", "it ends in other replicas")
	case ends && !c.losesRecords() && len(without(before.Adding, slices.Concat(c.isr, before.ISR))) > 0:
		c.fail("reassignment-ends-in-its-target", "it ends before all that it adds are in sync")
	}
	if len(r.Directories) == 0 {
		return
	}
	if len(r.Directories) != len(c.replicas) {
		c.fail("directories-stay", "not one directory for each replica")
	}
	for i, id := range c.replicas {
		if old, ok := before.Directory(id); ok && old != r.Directories[i] && c.api != "AssignReplicasToDirs" {
			c.fail("directories-stay", fmt.Sprintf("broker %d has not moved its replica", id))
		}
	}
}

// checkReassignment checks the lists of a partition whose replicas move. As with Apache's controller a replica can be in
// both: added by a reassignment, and removed by the next, which adds nothing.
func checkReassignment(p *image.Partition) string {
	for _, list := range [][]int32{p.Adding, p.Removing} {
		if len(without(list, p.Replicas)) > 0 {
			return "who comes or goes is no replica"
		}
	}
	return ""
}

// elect elects preferred leaders, or any, of one topic or of all.
func (a *admin) elect(unclean bool) func() kmsg.Request {
	w := a.w
	all, name := w.chance(0.6), a.name()
	return func() kmsg.Request {
		req := kmsg.NewElectLeadersRequest()
		req.Version = 2
		if unclean {
			req.ElectionType = 1
		}
		if !all {
			t := kmsg.NewElectLeadersRequestTopic()
			t.Topic, t.Partitions = name, []int32{0, 1, 2}
			req.Topics = []kmsg.ElectLeadersRequestTopic{t}
		}
		return &req
	}
}

func (o *oracle) judgeElection(k *call, req *kmsg.ElectLeadersRequest, resp *kmsg.ElectLeadersResponse) {
	if resp.ErrorCode != 0 {
		o.unexpected(k, resp.ErrorCode)
	}
	unclean := req.ElectionType == 1
	for _, t := range resp.Topics {
		for _, told := range t.Partitions {
			is := func(so func(s state, p *image.Partition) bool) func(s state) bool {
				return func(s state) bool {
					p, ok := partitionOf(s, t.Topic, told.Partition)
					return ok && so(s, &p)
				}
			}
			// Where nobody leads and the preferred one cannot, another does. Where there was something else to put right, that is done, as
			// with Apache's controller.
			leaderless := o.was(k, is(func(_ state, p *image.Partition) bool { return !p.HasLeader() }))
			led := func(s state, p *image.Partition) bool {
				return s.api == "ElectLeaders" || p.HasLeader() && (leaderless || p.Leader == p.Preferred())
			}
			switch told.ErrorCode {
			case 0:
				o.must(k, acknowledged, is(led), "elected")
			case kerr.ElectionNotNeeded.Code:
				o.must(k, truth, is(func(s state, p *image.Partition) bool {
					return !unclean && p.Leader == p.Preferred() || unclean && p.HasLeader()
				}), "it has such a leader")
			case kerr.PreferredLeaderNotAvailable.Code:
				o.must(k, truth, is(func(s state, p *image.Partition) bool {
					return p.Leader != p.Preferred() && !(p.InISR(p.Preferred()) && reachable(s.Image, p, p.Preferred()))
				}), "its preferred leader cannot lead")
			case kerr.EligibleLeadersNotAvailable.Code:
				o.must(k, truth, is(func(s state, p *image.Partition) bool {
					return !slices.ContainsFunc(p.Replicas, func(id int32) bool { return reachable(s.Image, p, id) })
				}), "nobody can lead")
			case kerr.UnknownTopicOrPartition.Code:
				o.must(k, truth, func(s state) bool { _, ok := partitionOf(s, t.Topic, told.Partition); return !ok }, "there is no such partition")
			default:
				o.unexpected(k, told.ErrorCode)
			}
		}
	}
}

// reachable says whether the broker runs and its replica's directory works.
func reachable(img *image.Image, p *image.Partition, broker int32) bool {
	b, ok := img.Broker(broker)
	dir, is := p.Directory(broker)
	return ok && is && b.Active() && b.HasOnlineDir(dir)
}

// describeReassignment says in a few words what a request moves.
func describeReassignment(req *kmsg.AlterPartitionAssignmentsRequest) string {
	p := &req.Topics[0].Partitions[0]
	if p.Replicas == nil {
		return fmt.Sprintf("call off the reassignment of %s-%d", req.Topics[0].Topic, p.Partition)
	}
	return fmt.Sprintf("reassign %s-%d to %v, any number: %v", req.Topics[0].Topic, p.Partition, p.Replicas, req.AllowReplicationFactorChange)
}

// describeElections says in a few words what was elected.
func describeElections(resp *kmsg.ElectLeadersResponse) string {
	s := fmt.Sprintf("error %d", resp.ErrorCode)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			s += fmt.Sprintf(" %s-%d:%d", t.Topic, p.Partition, p.ErrorCode)
		}
	}
	return s
}

package sim

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// An answer must have been true at some moment between its request and itself, and committed by then: neither of a future
// that may not come, nor of a past that was over, nor of a state that was abandoned. NOT_CONTROLLER says nothing.

// judge checks an answer.
func (o *oracle) judge(k *call, resp kmsg.Response) {
	switch req := k.request.(type) {
	case *kmsg.CreateTopicsRequest:
		o.judgeCreate(k, req, resp.(*kmsg.CreateTopicsResponse))
	case *kmsg.CreatePartitionsRequest:
		o.judgeGrowth(k, req, resp.(*kmsg.CreatePartitionsResponse))
	case *kmsg.DeleteTopicsRequest:
		o.judgeDelete(k, req, resp.(*kmsg.DeleteTopicsResponse))
	case *kmsg.BrokerRegistrationRequest:
		o.judgeRegistration(k, req, resp.(*kmsg.BrokerRegistrationResponse))
	case *kmsg.BrokerHeartbeatRequest:
		o.judgeHeartbeat(k, req, resp.(*kmsg.BrokerHeartbeatResponse))
	case *kmsg.UnregisterBrokerRequest:
		o.judgeUnregistration(k, req, resp.(*kmsg.UnregisterBrokerResponse))
	case *kmsg.AllocateProducerIDsRequest:
		o.judgeProducerIDs(k, req, resp.(*kmsg.AllocateProducerIDsResponse))
	case *kmsg.AlterPartitionRequest:
		o.judgeAlterPartition(k, req, resp.(*kmsg.AlterPartitionResponse))
	case *kmsg.AssignReplicasToDirsRequest:
		o.judgeAssignment(k, req, resp.(*kmsg.AssignReplicasToDirsResponse))
	case *kmsg.AlterPartitionAssignmentsRequest:
		o.judgeReassignment(k, req, resp.(*kmsg.AlterPartitionAssignmentsResponse))
	case *kmsg.ElectLeadersRequest:
		o.judgeElection(k, req, resp.(*kmsg.ElectLeadersResponse))
	case *kmsg.IncrementalAlterConfigsRequest:
		o.judgeConfigs(k, resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode)
	case *kmsg.AlterConfigsRequest:
		o.judgeConfigs(k, resp.(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode)
	default:
		panic(fmt.Sprintf("model: nobody judges %T", req))
	}
}

// was says whether something was so at some moment since the request was sent.
func (o *oracle) was(k *call, so func(s state) bool) bool {
	return slices.ContainsFunc(o.since(k.since), so)
}

// must is was, or the end of the run.
func (o *oracle) must(k *call, invariant string, so func(s state) bool, what string) {
	if !o.was(k, so) {
		violate(invariant, "%s #%d, %s, is told by node %d: %s; that was not so at any offset of %d..%d",
			k.conn.name, k.serial, describe(k.request), k.node.id, what, o.since(k.since)[0].EndOffset(), o.head.EndOffset())
	}
}

// unexpected ends the run: nothing that happens here gives this error.
func (o *oracle) unexpected(k *call, code int16) {
	violate("answers-are-expected", "%s #%d, %s, is answered by node %d with error %d, %v", k.conn.name, k.serial, describe(k.request), k.node.id, code, kerr.ErrorForCode(code))
}

const (
	acknowledged = "acknowledged-survives"
	truth        = "answers-are-true"
)

func (o *oracle) judgeCreate(k *call, req *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse) {
	if len(resp.Topics) != len(req.Topics) {
		violate(truth, "%s #%d, %s: %d answers", k.conn.name, k.serial, describe(req), len(resp.Topics))
	}
	for _, t := range resp.Topics {
		exists := func(s state) bool { _, ok := s.TopicByName(t.Topic); return ok }
		i := slices.IndexFunc(req.Topics, func(r kmsg.CreateTopicsRequestTopic) bool { return r.Topic == t.Topic })
		asked := &req.Topics[i]
		switch t.ErrorCode {
		case 0:
			if req.ValidateOnly {
				o.must(k, truth, func(s state) bool { return !exists(s) }, "the topic could be created")
				continue
			}
			o.must(k, acknowledged, func(s state) bool {
				created, ok := s.TopicByName(t.Topic)
				return ok && created.ID == t.TopicID && created.NumPartitions() == max(int(asked.NumPartitions), len(asked.ReplicaAssignment))
			}, "created")
		case kerr.TopicAlreadyExists.Code:
			o.must(k, truth, exists, "exists already")
		case kerr.InvalidReplicationFactor.Code:
			o.must(k, truth, fewerBrokers(int(asked.ReplicationFactor)), "too few brokers")
		case kerr.InvalidReplicaAssignment.Code:
			o.must(k, truth, func(s state) bool {
				return slices.ContainsFunc(asked.ReplicaAssignment, func(a kmsg.CreateTopicsRequestTopicReplicaAssignment) bool {
					return unregistered(a.Replicas)(s) || !slices.ContainsFunc(a.Replicas, func(id int32) bool { b, _ := s.Broker(id); return b.Active() })
				})
			}, "a broker is not registered, or nobody could lead")
		case kerr.InvalidConfig.Code:
			if !slices.ContainsFunc(asked.Configs, func(c kmsg.CreateTopicsRequestTopicConfig) bool { return *c.Value == "soon" }) {
				o.unexpected(k, t.ErrorCode)
			}
			o.must(k, truth, func(s state) bool { return !exists(s) }, "that cannot be configured")
		default:
			o.unexpected(k, t.ErrorCode)
		}
	}
}

// fewerBrokers is so where there are not enough brokers that take replicas, or none of them could lead.
func fewerBrokers(replicas int) func(s state) bool {
	return func(s state) bool {
		usable, leaders := 0, 0
		for b := range s.Brokers() {
			cordoned := len(b.LogDirs) > 0 && !slices.ContainsFunc(b.LogDirs, func(dir records.UUID) bool { return !slices.Contains(b.CordonedLogDirs, dir) })
			if b.InControlledShutdown || cordoned {
				continue
			}
			usable++
			if !b.Fenced {
				leaders++
			}
		}
		return usable < replicas || leaders == 0
	}
}

func (o *oracle) judgeGrowth(k *call, req *kmsg.CreatePartitionsRequest, resp *kmsg.CreatePartitionsResponse) {
	if len(resp.Topics) != 1 || len(req.Topics) != 1 {
		violate(truth, "%s #%d, %s: %d answers", k.conn.name, k.serial, describe(req), len(resp.Topics))
	}
	name, count := req.Topics[0].Topic, int(req.Topics[0].Count)
	has := func(so func(partitions int) bool) func(s state) bool {
		return func(s state) bool { t, ok := s.TopicByName(name); return ok && so(t.NumPartitions()) }
	}
	switch code := resp.Topics[0].ErrorCode; code {
	case 0:
		o.must(k, acknowledged, has(func(n int) bool { return n == count }), "grown")
	case kerr.InvalidPartitions.Code:
		o.must(k, truth, has(func(n int) bool { return n >= count }), "it has as many")
	case kerr.UnknownTopicOrPartition.Code:
		o.must(k, truth, func(s state) bool { _, ok := s.TopicByName(name); return !ok }, "there is no such topic")
	case kerr.InvalidReplicationFactor.Code:
		o.must(k, truth, func(s state) bool {
			first, ok := partitionOf(s, name, 0)
			return ok && fewerBrokers(len(first.Replicas))(s)
		}, "too few brokers")
	default:
		o.unexpected(k, code)
	}
}

func (o *oracle) judgeDelete(k *call, req *kmsg.DeleteTopicsRequest, resp *kmsg.DeleteTopicsResponse) {
	if len(resp.Topics) != max(len(req.Topics), len(req.TopicNames)) {
		violate(truth, "%s #%d, %s: %d answers", k.conn.name, k.serial, describe(req), len(resp.Topics))
	}
	for i, t := range resp.Topics {
		var name *string
		var id records.UUID
		if req.Version < 6 {
			name = &req.TopicNames[i]
		} else {
			name, id = req.Topics[i].Topic, req.Topics[i].TopicID
		}
		exists := func(s state) bool {
			if name != nil {
				_, ok := s.TopicByName(*name)
				return ok
			}
			_, ok := s.Topic(id)
			return ok
		}
		switch t.ErrorCode {
		case 0:
			o.must(k, acknowledged, func(s state) bool {
				return s.removed[t.TopicID] && (name != nil || t.TopicID == id)
			}, "deleted")
		case kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code:
			o.must(k, truth, func(s state) bool { return !exists(s) }, "there is no such topic")
		default:
			o.unexpected(k, t.ErrorCode)
		}
	}
}

func (o *oracle) judgeRegistration(k *call, req *kmsg.BrokerRegistrationRequest, resp *kmsg.BrokerRegistrationResponse) {
	switch resp.ErrorCode {
	case 0:
		o.must(k, acknowledged, func(s state) bool {
			b, ok := s.Broker(req.BrokerID)
			return ok && b.Epoch == resp.BrokerEpoch && b.IncarnationID == req.IncarnationID
		}, "registered")
	case kerr.DuplicateBrokerRegistration.Code:
		o.must(k, truth, func(s state) bool {
			b, ok := s.Broker(req.BrokerID)
			return ok && b.IncarnationID != req.IncarnationID
		}, "another process has the id")
	default:
		o.unexpected(k, resp.ErrorCode)
	}
}

func (o *oracle) judgeHeartbeat(k *call, req *kmsg.BrokerHeartbeatRequest, resp *kmsg.BrokerHeartbeatResponse) {
	current := func(s state) (*image.Broker, bool) {
		b, ok := s.Broker(req.BrokerID)
		return b, ok && b.Epoch == req.BrokerEpoch
	}
	switch resp.ErrorCode {
	case 0:
		o.must(k, truth, func(s state) bool {
			b, ok := current(s)
			// A node that comes from a checkpoint knows only that the registration lies somewhere below it.
			return ok && b.Fenced == resp.IsFenced && (!resp.IsCaughtUp || req.CurrentMetadataOffset >= b.RegistrationOffset)
		}, "its state")
	case kerr.StaleBrokerEpoch.Code:
		o.must(k, truth, staleEpoch(req.BrokerID, req.BrokerEpoch), "its epoch is stale")
	default:
		o.unexpected(k, resp.ErrorCode)
	}
}

func (o *oracle) judgeUnregistration(k *call, req *kmsg.UnregisterBrokerRequest, resp *kmsg.UnregisterBrokerResponse) {
	absent := func(s state) bool { _, ok := s.Broker(req.BrokerID); return !ok }
	switch resp.ErrorCode {
	case 0:
		o.must(k, acknowledged, absent, "unregistered")
	case kerr.BrokerIDNotRegistered.Code:
		o.must(k, truth, absent, "not registered")
	default:
		o.unexpected(k, resp.ErrorCode)
	}
}

func (o *oracle) judgeProducerIDs(k *call, req *kmsg.AllocateProducerIDsRequest, resp *kmsg.AllocateProducerIDsResponse) {
	switch resp.ErrorCode {
	case 0:
		first, count := resp.ProducerIDStart, int64(resp.ProducerIDLen)
		for other, n := range o.blocks {
			if first < other+n && other < first+count {
				violate("producer-id-blocks-never-overlap", "%d ids from %d are handed to broker %d; %d from %d were before", count, first, req.BrokerID, n, other)
			}
		}
		o.blocks[first] = count
		o.must(k, acknowledged, func(s state) bool { return s.NextProducerID() == first+count }, "the block")
	case kerr.StaleBrokerEpoch.Code:
		o.must(k, truth, staleEpoch(req.BrokerID, req.BrokerEpoch), "its epoch is stale")
	default:
		o.unexpected(k, resp.ErrorCode)
	}
}

func (o *oracle) judgeAlterPartition(k *call, req *kmsg.AlterPartitionRequest, resp *kmsg.AlterPartitionResponse) {
	switch resp.ErrorCode {
	case 0:
	case kerr.StaleBrokerEpoch.Code:
		o.must(k, truth, staleEpoch(req.BrokerID, req.BrokerEpoch), "its epoch is stale")
		return
	default:
		o.unexpected(k, resp.ErrorCode)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		violate(truth, "%s #%d, %s: %d answers", k.conn.name, k.serial, describe(req), len(resp.Topics))
	}
	asked, told := &req.Topics[0].Partitions[0], &resp.Topics[0].Partitions[0]
	partition := func(s state) (image.Partition, bool) {
		t, ok := s.Topic(req.Topics[0].TopicID)
		if !ok {
			return image.Partition{}, false
		}
		return t.Partition(asked.Partition)
	}
	switch told.ErrorCode {
	case 0:
		isr := slices.Clone(asked.NewISR)
		for _, m := range asked.NewEpochISR {
			isr = append(isr, m.BrokerID)
		}
		// When it completes a reassignment that removes replicas, those leave the ISR and the leader epoch rises, too.
		changes, elections := told.PartitionEpoch-asked.PartitionEpoch, told.LeaderEpoch-asked.LeaderEpoch
		if changes < 0 || changes > 1 || elections < 0 || elections > changes || elections == 0 && !slices.Equal(told.ISR, isr) || len(without(told.ISR, isr)) > 0 {
			violate("partition-epoch-plus-one", "%s #%d, %s, is told by node %d: %s", k.conn.name, k.serial, describe(req), k.node.id, describeAnswer(resp))
		}
		o.must(k, acknowledged, func(s state) bool {
			p, ok := partition(s)
			return ok && p.Leader == told.LeaderID && p.LeaderEpoch == told.LeaderEpoch && p.PartitionEpoch == told.PartitionEpoch &&
				p.RecoveryState == told.LeaderRecoveryState && slices.Equal(p.ISR, told.ISR)
		}, "its new state")
	case kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code:
		o.must(k, truth, func(s state) bool { _, ok := partition(s); return !ok }, "there is no such partition")
	case kerr.FencedLeaderEpoch.Code:
		o.must(k, truth, func(s state) bool { p, ok := partition(s); return ok && p.LeaderEpoch > asked.LeaderEpoch }, "a later leader epoch")
	case kerr.InvalidUpdateVersion.Code:
		o.must(k, truth, func(s state) bool { p, ok := partition(s); return ok && p.PartitionEpoch > asked.PartitionEpoch }, "a later partition epoch")
	case kerr.NewLeaderElected.Code:
		o.must(k, truth, func(s state) bool {
			p, ok := partition(s)
			return ok && p.Leader != req.BrokerID && p.LeaderEpoch > asked.LeaderEpoch && p.PartitionEpoch == asked.PartitionEpoch+1
		}, "a reassignment ends without it")
	case kerr.IneligibleReplica.Code:
		o.must(k, truth, func(s state) bool {
			members := slices.Clone(asked.NewEpochISR)
			for _, id := range asked.NewISR {
				members = append(members, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: id, BrokerEpoch: -1})
			}
			return slices.ContainsFunc(members, func(m kmsg.AlterPartitionRequestTopicPartitionNewEpochISR) bool {
				b, ok := s.Broker(m.BrokerID)
				return !ok || !b.Active() || m.BrokerEpoch != -1 && m.BrokerEpoch != b.Epoch
			})
		}, "a replica may not be in sync")
	default:
		// NOT_CONTROLLER too: a broker knows only what is committed, and so must whoever leads.
		o.unexpected(k, told.ErrorCode)
	}
}

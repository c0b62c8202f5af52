package query

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// Metadata (v0-13) tells clients of brokers which nodes and topics there are. Any node answers it, from its image.
//
// Version 0 means all topics by an empty list, later ones by none at all; version 5 adds offline replicas, 7 leader
// epochs, 10 topic ids (KIP-516), by which 12 may ask, and 13 an error for the whole answer (KIP-1102). A topic that
// does not exist is never created here, whatever the request allows.
func Metadata(q *Context, req *kmsg.MetadataRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	if !validMetadataTopics(req) {
		resp.ControllerID = unknownNode
		resp.ErrorCode = kerr.InvalidRequest.Code
		for _, t := range req.Topics {
			resp.Topics = append(resp.Topics, noTopic(t.Topic, t.TopicID, kerr.InvalidRequest))
		}
		return resp
	}
	nodes, controller := q.clientNodes(false)
	for _, n := range nodes {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.ID, n.Host, n.Port, n.Rack
		resp.Brokers = append(resp.Brokers, b)
	}
	resp.ClusterID, resp.ControllerID = &q.ClusterID, controller
	resp.AuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations && req.Version >= 8, clusterOperations)

	topicOps := operations(req.IncludeTopicAuthorizedOperations && req.Version >= 8, topicOperations)
	add := func(t kmsg.MetadataResponseTopic) {
		if t.Topic != nil {
			t.AuthorizedOperations = topicOps
		}
		resp.Topics = append(resp.Topics, t)
	}
	switch {
	case req.Topics == nil, len(req.Topics) == 0 && req.Version == 0:
		for t := range q.Image.Topics() {
			add(q.topic(t, req.Version))
		}
	case slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.TopicID != [16]byte{} }):
		// Where one topic is asked for by its id, those asked for by their names are left out.
		seen := map[records.UUID]bool{{}: true}
		for _, asked := range req.Topics {
			if id := records.UUID(asked.TopicID); !seen[id] {
				seen[id] = true
				if t, ok := q.Image.Topic(id); ok {
					add(q.topic(t, req.Version))
				} else {
					add(noTopic(nil, id, kerr.UnknownTopicID))
				}
			}
		}
	default:
		seen := map[string]bool{}
		for _, asked := range req.Topics {
			if asked.Topic == nil || seen[*asked.Topic] {
				continue
			}
			seen[*asked.Topic] = true
			if t, ok := q.Image.TopicByName(*asked.Topic); ok {
				add(q.topic(t, req.Version))
			} else {
				add(noTopic(asked.Topic, records.ZeroUUID, unknownTopic(*asked.Topic)))
			}
		}
	}
	return resp
}

// validMetadataTopics says whether topics are asked for by what the version knows.
func validMetadataTopics(req *kmsg.MetadataRequest) bool {
	return req.Version >= 12 || !slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool {
		return t.Topic == nil || t.TopicID != [16]byte{}
	})
}

// unknownTopic is the error for a name that no topic has.
func unknownTopic(name string) *kerr.Error {
	if image.CheckTopicName(name) != nil {
		return kerr.InvalidTopicException
	}
	return kerr.UnknownTopicOrPartition
}

// noTopic is the answer for a topic that there is nothing to say about.
func noTopic(name *string, id records.UUID, err *kerr.Error) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.ErrorCode, out.Topic, out.TopicID = err.Code, name, id
	out.IsInternal = name != nil && image.InternalTopic(*name)
	return out
}

func (q *Context) topic(t *image.Topic, version int16) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = kmsg.StringPtr(t.Name), t.ID, image.InternalTopic(t.Name)
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, t.NumPartitions())
	for id, p := range t.Partitions() {
		out.Partitions = append(out.Partitions, q.partition(id, &p, version))
	}
	return out
}

func (q *Context) partition(id int32, p *image.Partition, version int16) kmsg.MetadataResponseTopicPartition {
	out := kmsg.NewMetadataResponseTopicPartition()
	out.Partition, out.LeaderEpoch = id, p.LeaderEpoch
	out.Replicas, out.ISR, out.OfflineReplicas = p.Replicas, p.ISR, q.offlineReplicas(p)
	if version == 0 { // clients of that age expect to reach every broker they are told of
		unreachable := func(id int32) bool { return !q.reachable(id) }
		out.Replicas = slices.DeleteFunc(slices.Clone(p.Replicas), unreachable)
		out.ISR = slices.DeleteFunc(slices.Clone(p.ISR), unreachable)
	}
	leader, err := q.leader(p)
	out.Leader = leader
	switch {
	case err != nil && version < 6: // did not know LISTENER_NOT_FOUND
		out.ErrorCode = kerr.LeaderNotAvailable.Code
	case err != nil:
		out.ErrorCode = err.Code
	case len(out.Replicas) < len(p.Replicas) || len(out.ISR) < len(p.ISR):
		out.ErrorCode = kerr.ReplicaNotAvailable.Code
	}
	return out
}

// leader returns the partition's leader if clients can reach it, else -1 and why.
func (q *Context) leader(p *image.Partition) (int32, *kerr.Error) {
	b, ok := q.Image.Broker(p.Leader)
	if !ok {
		return unknownNode, kerr.LeaderNotAvailable
	}
	if _, ok := BrokerEndpoint(b); !ok {
		return unknownNode, kerr.ListenerNotFound
	}
	return p.Leader, nil
}

// reachable says whether a broker is there and clients can reach it.
func (q *Context) reachable(id int32) bool {
	b, ok := q.Image.Broker(id)
	if !ok || b.Fenced {
		return false
	}
	_, ok = BrokerEndpoint(b)
	return ok
}

// offlineReplicas lists the replicas on brokers that are not there, or in directories that have failed.
func (q *Context) offlineReplicas(p *image.Partition) []int32 {
	out := []int32{}
	for _, id := range p.Replicas {
		b, ok := q.Image.Broker(id)
		dir, _ := p.Directory(id)
		if !ok || !q.reachable(id) || !b.HasOnlineDir(dir) {
			out = append(out, id)
		}
	}
	return out
}

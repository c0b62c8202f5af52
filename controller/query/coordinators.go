package query

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topics whose partitions' leaders coordinate, and the types by which clients ask for them.
var coordinatorTopics = map[int8]string{
	0: "__consumer_offsets",  // groups
	1: "__transaction_state", // transactions
	2: "__share_group_state", // share partitions, as group:topicId:partition (KIP-932)
}

// FindCoordinator (v0-6) tells which broker coordinates a group, a transactional id or a share partition: the one that leads
// the partition of an internal topic that the key's hash picks. Version 4 asks for many at once (KIP-699). Apache's controllers
// do not serve it. While the topic is missing or the partition has no leader, clients are told to ask again; brokers create the topic
// when they are asked.
func FindCoordinator(q *Context, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	kind := req.CoordinatorType
	if req.Version < 1 {
		kind = 0
	}
	if req.Version >= 4 {
		for _, key := range req.CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key = key
			n, e, message := q.coordinator(kind, key, req.Version)
			c.NodeID, c.Host, c.Port = n.ID, n.Host, n.Port
			if e != nil {
				c.ErrorCode, c.ErrorMessage = e.Code, &message
			}
			resp.Coordinators = append(resp.Coordinators, c)
		}
		return resp
	}
	n, e, message := q.coordinator(kind, req.CoordinatorKey, req.Version)
	resp.NodeID, resp.Host, resp.Port = n.ID, n.Host, n.Port
	if e != nil {
		resp.ErrorCode, resp.ErrorMessage = e.Code, &message
	}
	return resp
}

// coordinator finds the broker for one key, or says why there is none.
func (q *Context) coordinator(kind int8, key string, version int16) (Node, *kerr.Error, string) {
	nobody := Node{ID: unknownNode, Port: -1}
	name, ok := coordinatorTopics[kind]
	switch {
	case !ok || kind == 2 && version < 6:
		return nobody, kerr.InvalidRequest, fmt.Sprintf("Coordinators of type %d are not known to version %d of the request.", kind, version)
	case kind == 2 && strings.Count(key, ":") < 2:
		return nobody, kerr.InvalidRequest, "The key of a share partition must be a group, a topic id and a partition, with colons between them."
	}
	t, ok := q.Image.TopicByName(name)
	if !ok {
		return nobody, kerr.CoordinatorNotAvailable, fmt.Sprintf("The topic %s is not there yet; a broker creates it when it is asked.", name)
	}
	p, ok := t.Partition(int32(javaHash(key) % int64(t.NumPartitions())))
	if !ok || !p.HasLeader() {
		return nobody, kerr.CoordinatorNotAvailable, fmt.Sprintf("A partition of %s has no leader now; ask again.", name)
	}
	b, ok := q.Image.Broker(p.Leader)
	if !ok {
		return nobody, kerr.CoordinatorNotAvailable, fmt.Sprintf("Broker %d is leaving; ask again.", p.Leader)
	}
	e, ok := BrokerEndpoint(b)
	if !ok {
		return nobody, kerr.CoordinatorNotAvailable, fmt.Sprintf("Broker %d has no address.", p.Leader)
	}
	return Node{ID: b.ID, Host: e.Host, Port: int32(e.Port)}, nil, ""
}

// javaHash is the absolute value of what Java's String.hashCode gives, 0 where that has none.
func javaHash(s string) int64 {
	var h int32
	for _, unit := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(unit)
	}
	switch {
	case h == math.MinInt32:
		return 0
	case h < 0:
		return int64(-h)
	}
	return int64(h)
}

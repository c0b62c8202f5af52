// Package query answers from the metadata image: each request that changes nothing is a pure function from a Context to
// a response.
//
// Parts: one file a domain; this file has what they share, foremost which nodes there are and where clients reach them.
//
// Rules: no I/O, no clock, no randomness, no goroutines, no state. A response may share lists with the image: it is there
// to be encoded, not to be changed. Lists that a client may not see as null are never nil.
package query

import (
	"cmp"
	"math"
	"slices"

	"yakt/controller/image"
	"yakt/records"
)

// Context is what a query may look at.
type Context struct {
	Image     *image.Image
	ClusterID string
	NodeID    int32 // of the node that answers
	LeaderID  int32 // the active controller, -1 while unknown
	// Listener is the name of the listener that the request came by; it picks the controllers' endpoints.
	Listener string
	// Voters is the quorum as the raft layer knows it, for as long as no record says who it is.
	Voters []records.Voter
	// HideController keeps the active controller out of what brokers' clients are told. A broker is then named as the
	// controller, and passes on what it is sent.
	HideController bool
	// Properties are the properties that this node was given.
	Properties map[string]string
	// Versions is what is served, in the order in which it is to be listed.
	Versions []APIVersion
}

// APIVersion is one API that is served, and in which versions.
type APIVersion struct{ Key, Min, Max int16 }

// Node is a broker or a controller at the endpoint that clients are given.
type Node struct {
	ID     int32
	Host   string
	Port   int32
	Rack   *string
	Fenced bool
}

// unknownNode is the id that stands for no node.
const unknownNode int32 = -1

// noOperations says in a response that authorized operations were not asked for.
const noOperations int32 = math.MinInt32

// Authorized operations as bits numbered by operation, without an authorizer all that the resource has (KIP-430):
// read 3, write 4, create 5, delete 6, alter 7, describe 8, cluster action 9, describe configs 10, alter configs 11,
// idempotent write 12.
const (
	clusterOperations int32 = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	topicOperations   int32 = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
)

func operations(asked bool, all int32) int32 {
	if asked {
		return all
	}
	return noOperations
}

// Security protocols as records number them.
const plaintext int16 = 0

// BrokerEndpoint picks the endpoint of a broker that clients of a controller are given. A broker tells its controller
// which listeners it has, but not which of them is meant for whom, and none is called as the controllers' listener is:
// so it is the first PLAINTEXT one, because whoever came by a PLAINTEXT listener can use it, and else the first.
func BrokerEndpoint(b *image.Broker) (records.Endpoint, bool) {
	for _, e := range b.EndPoints {
		if e.SecurityProtocol == plaintext {
			return e, true
		}
	}
	if len(b.EndPoints) > 0 {
		return b.EndPoints[0], true
	}
	return records.Endpoint{}, false
}

// brokers lists the registered brokers that have an endpoint, by id.
func (q *Context) brokers(fencedToo bool) []Node {
	var out []Node
	for b := range q.Image.Brokers() {
		if e, ok := BrokerEndpoint(b); ok && (fencedToo || !b.Fenced) {
			out = append(out, Node{ID: b.ID, Host: e.Host, Port: int32(e.Port), Rack: b.Rack, Fenced: b.Fenced})
		}
	}
	return out
}

// clientNodes lists the nodes that a broker's client may talk to, by id, and the one that it takes for the controller:
// the active controller, which is then one of the nodes (clients give up on a controller that is none). While there is
// no active controller there is no such node, and clients ask again.
func (q *Context) clientNodes(fencedToo bool) (nodes []Node, controller int32) {
	nodes = q.brokers(fencedToo)
	if q.HideController {
		for _, n := range nodes {
			if !n.Fenced {
				return nodes, n.ID
			}
		}
		return nodes, unknownNode
	}
	leader, ok := q.controller(q.LeaderID)
	if !ok {
		return nodes, unknownNode
	}
	at, found := slices.BinarySearchFunc(nodes, leader.ID, func(n Node, id int32) int { return cmp.Compare(n.ID, id) })
	if found { // one process that is both, in a cluster that was not always ours
		return nodes, leader.ID
	}
	return slices.Insert(nodes, at, leader), leader.ID
}

// controllers lists the members of the quorum by id: from the records about it, unless they count this node in and raft, which
// hears of a removal where no record comes any more, does not; else as raft knows it, else, with a quorum that only its
// configuration files name, as the controllers have registered themselves.
func (q *Context) controllers() []Node {
	voters := q.Voters
	self := func(v records.Voter) bool { return v.ID == q.NodeID }
	if v := q.Image.Voters(); v != nil && len(v.Voters) > 0 && (len(voters) == 0 || slices.ContainsFunc(voters, self) || !slices.ContainsFunc(v.Voters, self)) {
		voters = v.Voters
	}
	if len(voters) == 0 {
		return q.registrations()
	}
	var out []Node
	for _, v := range voters {
		if e, ok := v.Endpoint(q.Listener); ok {
			out = append(out, Node{ID: v.ID, Host: e.Host, Port: int32(e.Port)})
		}
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// registrations lists the controllers that have registered themselves, those included that are gone, by id.
func (q *Context) registrations() []Node {
	var out []Node
	for c := range q.Image.Controllers() {
		if len(c.EndPoints) == 0 {
			continue
		}
		e := c.EndPoints[0]
		if i := slices.IndexFunc(c.EndPoints, func(e records.Endpoint) bool { return e.Name == q.Listener }); i >= 0 {
			e = c.EndPoints[i]
		}
		out = append(out, Node{ID: c.ID, Host: e.Host, Port: int32(e.Port)})
	}
	return out
}

// registeredControllers lists, by id, the members of the quorum as they have registered themselves (KIP-919). A
// registration outlives the membership, and below 3.7 there is none: then the members are listed as the quorum knows them.
func (q *Context) registeredControllers() []Node {
	members := q.controllers()
	if !q.Image.MetadataVersion().HasControllerRegistration() {
		return members
	}
	return slices.DeleteFunc(q.registrations(), func(n Node) bool {
		return !slices.ContainsFunc(members, func(m Node) bool { return m.ID == n.ID })
	})
}

// controller returns the member of the quorum with this id.
func (q *Context) controller(id int32) (Node, bool) {
	all := q.controllers()
	i := slices.IndexFunc(all, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return Node{}, false
	}
	return all[i], true
}

package query

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Types of endpoints (KIP-919).
const (
	endpointBroker     int8 = 1
	endpointController int8 = 2
)

// DescribeCluster (v0-2) lists the nodes of the cluster: to whoever wants brokers those and the active controller, as
// Metadata does; to whoever wants controllers (v1, KIP-919) the quorum, as far as it has registered itself. Apache's
// controllers refuse the first.
//
// Of controllers of which none is known to be active the answer is NOT_CONTROLLER, and lists them all the same: Java's admin
// client asks again. Apache's controllers answer -1 without an error, which that client takes for the truth, for five minutes.
// Version 2 (KIP-1073) may ask for fenced brokers too.
func DescribeCluster(q *Context, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	kind := endpointType(req)
	var nodes []Node
	switch kind {
	case endpointBroker:
		nodes, resp.ControllerID = q.clientNodes(req.IncludeFencedBrokers && req.Version >= 2)
	case endpointController:
		nodes, resp.ControllerID = q.registeredControllers(), unknownNode
		if slices.ContainsFunc(nodes, func(n Node) bool { return n.ID == q.LeaderID }) {
			resp.ControllerID = q.LeaderID // clients give up on a controller that is not listed
		} else {
			message := "No active controller is known here."
			resp.ErrorCode, resp.ErrorMessage = kerr.NotController.Code, &message
		}
	default:
		message := fmt.Sprintf("Endpoint type %d is unknown; ask for %d (brokers) or %d (controllers).", kind, endpointBroker, endpointController)
		resp.ErrorCode, resp.ErrorMessage = kerr.UnsupportedEndpointType.Code, &message
		resp.ControllerID = unknownNode
		return resp
	}
	resp.EndpointType, resp.ClusterID = kind, q.ClusterID
	resp.ClusterAuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	for _, n := range nodes {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack, b.IsFenced = n.ID, n.Host, n.Port, n.Rack, n.Fenced
		resp.Brokers = append(resp.Brokers, b)
	}
	return resp
}

// AsksForControllers says whether it is the quorum that is asked for, not the brokers.
func AsksForControllers(req *kmsg.DescribeClusterRequest) bool {
	return endpointType(req) == endpointController
}

func endpointType(req *kmsg.DescribeClusterRequest) int8 {
	if req.Version < 1 {
		return endpointBroker
	}
	return req.EndpointType
}

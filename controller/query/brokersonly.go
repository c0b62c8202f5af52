package query

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
)

// Clients that want all groups, transactions or log directories ask every node that they know of. A controller is one
// of them, and has none.

// ConsumerGroupHeartbeat (v0-1, KIP-848) sends members to the broker that coordinates them. It is served because of who asks
// whether it is: franz-go takes its first node's word for which protocol groups have, and would do with the classic one.
func ConsumerGroupHeartbeat(_ *Context, req *kmsg.ConsumerGroupHeartbeatRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	message := "This node is a controller; ask for the group's coordinator."
	resp.ErrorCode, resp.ErrorMessage = kerr.NotCoordinator.Code, &message
	return resp
}

// ListGroups (v0-5) lists no groups: brokers have them.
func ListGroups(_ *Context, req *kmsg.ListGroupsRequest) kmsg.Response { return req.ResponseKind() }

// ListTransactions (v0-2, KIP-664) lists no transactions: brokers have them.
func ListTransactions(_ *Context, req *kmsg.ListTransactionsRequest) kmsg.Response {
	return req.ResponseKind()
}

// DescribeLogDirs (v1-5) lists one directory without partitions of topics: Java's AdminClient takes none at all for a lack of
// permission, and fails.
func DescribeLogDirs(_ *Context, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = image.MetadataTopic
	resp.Dirs = append(resp.Dirs, dir)
	return resp
}

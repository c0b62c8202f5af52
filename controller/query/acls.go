package query

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeACLs (v1-3) says that there is no authorizer, as Apache's nodes do that have none. Java's admin client asks any node.
func DescribeACLs(_ *Context, req *kmsg.DescribeACLsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
	message := "There is no authorizer, and so there are no ACLs."
	resp.ErrorCode, resp.ErrorMessage = kerr.SecurityDisabled.Code, &message
	return resp
}

package query

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
)

func TestWithoutAnAuthorizerThereAreNoACLs(t *testing.T) {
	resp := DescribeACLs(&Context{Image: new(image.Image).Edit().Image()}, kmsg.NewPtrDescribeACLsRequest()).(*kmsg.DescribeACLsResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != kerr.SecurityDisabled || len(resp.Resources) != 0 {
		t.Errorf("%v, %+v", err, resp.Resources)
	}
}

package query

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
)

// ListConfigResources (v0-1) names what has configs: the topics, the brokers that are there, each once for its configs and once
// for its loggers, and those groups and subscriptions to clients' metrics for which something is set. Version 0 knows
// subscriptions only (KIP-1000), version 1 asks by type, for all by none (KIP-1142). Apache's controllers do not serve it;
// clients that bootstrap from one here ask any node.
func ListConfigResources(q *Context, req *kmsg.ListConfigResourcesRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	known := []int8{image.ConfigGroup, image.ConfigClientMetrics, image.ConfigLogger, image.ConfigBroker, image.ConfigTopic}
	asked := req.ResourceTypes
	switch {
	case req.Version < 1:
		asked = []int8{image.ConfigClientMetrics}
	case len(asked) == 0:
		asked = known
	}
	for _, kind := range asked {
		if !slices.Contains(known, kind) {
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			return resp
		}
	}
	add := func(kind int8, name string) {
		r := kmsg.NewListConfigResourcesResponseConfigResource()
		r.Type, r.Name = kind, name
		resp.ConfigResources = append(resp.ConfigResources, r)
	}
	for _, kind := range known {
		if !slices.Contains(asked, kind) {
			continue
		}
		switch kind {
		case image.ConfigTopic:
			for t := range q.Image.Topics() {
				add(kind, t.Name)
			}
		case image.ConfigBroker, image.ConfigLogger:
			for _, n := range q.brokers(false) {
				add(kind, strconv.Itoa(int(n.ID)))
			}
		default:
			for name := range q.Image.ConfigResources(kind) {
				add(kind, name)
			}
		}
	}
	return resp
}

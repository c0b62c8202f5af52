package query

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

func TestConfigResourcesAreListedByType(t *testing.T) {
	e := configured().Image.Edit()
	for i, r := range []records.Record{
		&records.RegisterBroker{BrokerID: 101, EndPoints: []records.Endpoint{endpoint("PLAINTEXT", "b1", 9092, 0)}},
		&records.RegisterBroker{BrokerID: 102, Fenced: true, EndPoints: []records.Endpoint{endpoint("PLAINTEXT", "b2", 9092, 0)}},
		&records.Topic{Name: "plain", TopicID: records.UUID{2}},
	} {
		e.Replay(r, int64(100+i))
	}
	q := &Context{Image: e.Image(), NodeID: 1}
	for _, c := range []struct {
		version int16
		types   []int8
		want    string
	}{
		{1, nil, "32:g 16:m 8:101 4:101 2:orders 2:plain"},
		{1, []int8{}, "32:g 16:m 8:101 4:101 2:orders 2:plain"},
		{1, []int8{image.ConfigTopic}, "2:orders 2:plain"}, // whether something is set for it or not
		{1, []int8{image.ConfigBroker}, "4:101"},
		{1, []int8{image.ConfigLogger, image.ConfigGroup}, "32:g 8:101"},
		{1, []int8{image.ConfigTopic, 3}, "UNSUPPORTED_VERSION"},
		{0, nil, "16:m"},
	} {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = c.version, c.types
		resp := ListConfigResources(q, req).(*kmsg.ListConfigResourcesResponse)
		var got []string
		for _, r := range resp.ConfigResources {
			got = append(got, fmt.Sprintf("%d:%s", r.Type, r.Name))
		}
		if err := kerr.TypedErrorForCode(resp.ErrorCode); err != nil {
			got = append(got, err.Message)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("version %d, types %v: %s instead of %s", c.version, c.types, s, c.want)
		}
	}
}

package controller

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Whatever is planned can be refused as a whole, and what a broker forwards then tells it to look for the controller.
func TestEveryChangeCanBeRefused(t *testing.T) {
	filled := map[int16]func(kmsg.Request){ // with something to refuse
		kmsg.CreateTopics.Int16(): func(r kmsg.Request) {
			r.(*kmsg.CreateTopicsRequest).Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "a"}}
		},
		kmsg.DeleteTopics.Int16(): func(r kmsg.Request) {
			r.(*kmsg.DeleteTopicsRequest).TopicNames = []string{"a"}
			r.(*kmsg.DeleteTopicsRequest).Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: [16]byte{1}}}
		},
		kmsg.CreatePartitions.Int16(): func(r kmsg.Request) {
			r.(*kmsg.CreatePartitionsRequest).Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 2}}
		},
		kmsg.IncrementalAlterConfigs.Int16(): func(r kmsg.Request) {
			r.(*kmsg.IncrementalAlterConfigsRequest).Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceName: "a"}}
		},
		kmsg.AlterConfigs.Int16(): func(r kmsg.Request) {
			r.(*kmsg.AlterConfigsRequest).Resources = []kmsg.AlterConfigsRequestResource{{ResourceName: "a"}}
		},
		kmsg.ElectLeaders.Int16(): func(r kmsg.Request) {
			r.(*kmsg.ElectLeadersRequest).Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "a", Partitions: []int32{0}}}
		},
	}
	for key, a := range apis {
		if a.plan == nil {
			continue
		}
		req := kmsg.RequestForKey(key)
		for version := a.min; version <= a.max; version++ {
			req.SetVersion(version)
			if fill := filled[key]; fill != nil {
				fill(req)
			}
			resp := notController(req)
			if resp == nil || resp.Key() != key || resp.GetVersion() != version {
				t.Fatalf("%s v%d: %+v", kmsg.NameForKey(key), version, resp)
			}
			resp.AppendTo(nil)
			if r, ok := resp.(*kmsg.CreateTopicsResponse); ok && r.Topics[0].Configs == nil {
				t.Errorf("v%d: configs are null, where Apache has none", version)
			}
			if a.forwardable && !saysNotController(resp) {
				t.Errorf("%s v%d: a broker would not notice: %+v", kmsg.NameForKey(key), version, resp)
			}
		}
	}
}

package query

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// What Java's String.hashCode says of these, but for the sign.
func TestHashesAreThoseOfJava(t *testing.T) {
	for text, want := range map[string]int64{
		"":                   0,
		"a":                  97,
		"group":              98629247,
		"console-consumer-1": 35782224,
		"my-group":           1906497762, // negative in Java
		"polygenelubricants": 0,          // the smallest int has no absolute value
		"grüße \U0001F600":   347379084,
	} {
		if got := javaHash(text); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
	}
}

func TestCoordinatorsLeadThePartitionOfTheKey(t *testing.T) {
	e := new(image.Image).Edit()
	for i, r := range []records.Record{
		&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(records.LatestMetadataVersion)},
		&records.RegisterBroker{BrokerID: 5, EndPoints: []records.Endpoint{{Name: "PLAINTEXT", Host: "five", Port: 9}}},
		&records.Topic{Name: "__consumer_offsets", TopicID: records.UUID{1}},
		&records.Partition{PartitionID: 0, TopicID: records.UUID{1}, Replicas: []int32{5}, ISR: []int32{5}, Leader: 5, Directories: []records.UUID{{}}},
		&records.Partition{PartitionID: 1, TopicID: records.UUID{1}, Replicas: []int32{5}, ISR: []int32{5}, Leader: records.NoLeader, Directories: []records.UUID{{}}},
	} {
		e.Replay(r, int64(i))
	}
	q := &Context{Image: e.Image(), NodeID: 1}
	for _, c := range []struct {
		version int16
		kind    int8
		key     string
		node    int32
		code    int16
	}{
		{0, 1, "b", 5, 0}, // version 0 knows groups only
		{4, 0, "b", 5, 0},
		{4, 0, "a", -1, kerr.CoordinatorNotAvailable.Code}, // no leader
		{4, 1, "b", -1, kerr.CoordinatorNotAvailable.Code}, // no topic
		{6, 2, "g:AAAAAAAAAAAAAAAAAAAAAQ:0", -1, kerr.CoordinatorNotAvailable.Code},
		{6, 2, "g", -1, kerr.InvalidRequest.Code},
		{5, 2, "g:AAAAAAAAAAAAAAAAAAAAAQ:0", -1, kerr.InvalidRequest.Code},
		{3, 3, "b", -1, kerr.InvalidRequest.Code},
	} {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = c.version, c.kind, c.key, []string{c.key}
		resp := FindCoordinator(q, req).(*kmsg.FindCoordinatorResponse)
		node, host, code := resp.NodeID, resp.Host, resp.ErrorCode
		if c.version >= 4 {
			node, host, code = resp.Coordinators[0].NodeID, resp.Coordinators[0].Host, resp.Coordinators[0].ErrorCode
		}
		if node != c.node || code != c.code || (host == "five") != (code == 0) {
			t.Errorf("%+v: %+v", c, resp)
		}
	}
}

// Whoever wants all asks the controller too; it must not make the whole question fail.
func TestControllersHaveNothingThatBrokersHave(t *testing.T) {
	q := &Context{Image: new(image.Image).Edit().Image()}
	for version := int16(1); version <= 5; version++ {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version = version
		if resp := DescribeLogDirs(q, req).(*kmsg.DescribeLogDirsResponse); resp.ErrorCode != 0 || len(resp.Dirs) != 1 || resp.Dirs[0].ErrorCode != 0 || len(resp.Dirs[0].Topics) != 0 {
			t.Errorf("v%d: %+v", version, resp)
		}
	}
	if resp := ListGroups(q, kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse); resp.ErrorCode != 0 || len(resp.Groups) != 0 {
		t.Errorf("%+v", resp)
	}
	if resp := ListTransactions(q, kmsg.NewPtrListTransactionsRequest()).(*kmsg.ListTransactionsResponse); resp.ErrorCode != 0 || len(resp.TransactionStates) != 0 {
		t.Errorf("%+v", resp)
	}
}

func TestMembersAreSentToTheirCoordinator(t *testing.T) {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group = 1, "g"
	resp := ConsumerGroupHeartbeat(&Context{Image: testCluster()}, req).(*kmsg.ConsumerGroupHeartbeatResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != kerr.NotCoordinator {
		t.Errorf("a member is answered %v", err)
	}
}

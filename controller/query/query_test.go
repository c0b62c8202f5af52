package query

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

var (
	ordersID  = records.UUID{1}
	stockID   = records.UUID{2}
	offsetsID = records.UUID{3}
	dirA      = records.UUID{0xa}
	dirB      = records.UUID{0xb}
)

func endpoint(name, host string, port uint16, protocol int16) records.Endpoint {
	return records.Endpoint{Name: name, Host: host, Port: port, SecurityProtocol: protocol}
}

// testCluster has brokers 101 (rack r1), 102 (TLS first), 103 (fenced) and 104 (no endpoint), and three topics.
func testCluster() *image.Image {
	rack := "r1"
	e := new(image.Image).Edit()
	var offset int64
	replay := func(rs ...records.Record) {
		for _, r := range rs {
			e.Replay(r, offset)
			offset++
		}
	}
	replay(
		&records.FeatureLevel{Name: "metadata.version", Level: 30},
		&records.FeatureLevel{Name: "transaction.version", Level: 2},
		&records.RegisterBroker{BrokerID: 101, Rack: &rack, LogDirs: []records.UUID{dirA}, EndPoints: []records.Endpoint{
			endpoint("PLAINTEXT", "b1", 9092, 0)}},
		&records.RegisterBroker{BrokerID: 102, LogDirs: []records.UUID{dirB}, EndPoints: []records.Endpoint{
			endpoint("TLS", "b2-tls", 9093, 1), endpoint("INSIDE", "b2", 9092, 0)}},
		&records.RegisterBroker{BrokerID: 103, Fenced: true, EndPoints: []records.Endpoint{endpoint("TLS", "b3", 9093, 1)}},
		&records.RegisterBroker{BrokerID: 104},
		&records.Topic{Name: "orders", TopicID: ordersID},
		&records.Partition{TopicID: ordersID, PartitionID: 0, Replicas: []int32{101, 102}, ISR: []int32{101, 102}, Leader: 101, LeaderEpoch: 4,
			Directories: []records.UUID{dirA, dirB}},
		&records.Partition{TopicID: ordersID, PartitionID: 1, Replicas: []int32{103, 101, 102}, ISR: []int32{101}, Leader: 101,
			Directories: []records.UUID{dirA, records.DirectoryUnassigned, records.DirectoryLost}, EligibleLeaderReplicas: []int32{103}},
		&records.Partition{TopicID: ordersID, PartitionID: 2, Replicas: []int32{103}, ISR: []int32{103}, Leader: -1, Directories: []records.UUID{dirA}},
		&records.Topic{Name: "stock", TopicID: stockID},
		&records.Partition{TopicID: stockID, Replicas: []int32{104, 101}, ISR: []int32{104, 101}, Leader: 104, Directories: []records.UUID{dirA, dirA}},
		&records.Topic{Name: "__consumer_offsets", TopicID: offsetsID},
		&records.Partition{TopicID: offsetsID, Replicas: []int32{102}, ISR: []int32{102}, Leader: 102, Directories: []records.UUID{dirB}},
	)
	return e.Image()
}

// voters is a quorum of three.
func voters() []records.Voter {
	var out []records.Voter
	for id := int32(1); id <= 3; id++ {
		out = append(out, records.Voter{ID: id, Endpoints: []records.VoterEndpoint{
			{Name: "OTHER", Host: "nowhere", Port: 1},
			{Name: "CONTROLLER", Host: fmt.Sprint("c", id), Port: 9094},
		}})
	}
	return out
}

func testContext() *Context {
	return &Context{Image: testCluster(), ClusterID: "the-cluster", NodeID: 2, LeaderID: 1, Listener: "CONTROLLER", Voters: voters()}
}

// overTheWire encodes and decodes a response: clients see what survives that.
func overTheWire[R kmsg.Response](t *testing.T, resp kmsg.Response, version int16) R {
	t.Helper()
	if resp.GetVersion() != version {
		t.Fatalf("the response has version %d, want %d", resp.GetVersion(), version)
	}
	out := reflect.New(reflect.TypeFor[R]().Elem()).Interface().(R)
	out.SetVersion(version)
	if err := out.ReadFrom(resp.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	return out
}

// text prints nullable strings.
func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func metadata(t *testing.T, q *Context, version int16, req kmsg.MetadataRequest) *kmsg.MetadataResponse {
	t.Helper()
	req.Version = version
	return overTheWire[*kmsg.MetadataResponse](t, Metadata(q, &req), version)
}

func describeNodes(resp *kmsg.MetadataResponse) string {
	var out []string
	for _, b := range resp.Brokers {
		out = append(out, fmt.Sprintf("%d=%s:%d/%s", b.NodeID, b.Host, b.Port, text(b.Rack)))
	}
	return fmt.Sprintf("%s controller=%d", strings.Join(out, " "), resp.ControllerID)
}

func describeTopics(resp *kmsg.MetadataResponse) string {
	var out []string
	for _, t := range resp.Topics {
		line := fmt.Sprintf("%s id=%d error=%d", text(t.Topic), t.TopicID[0], t.ErrorCode)
		if t.IsInternal {
			line += " internal"
		}
		for _, p := range t.Partitions {
			line += fmt.Sprintf("; %d leader=%d epoch=%d replicas=%v isr=%v offline=%v error=%d",
				p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR, p.OfflineReplicas, p.ErrorCode)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func named(names ...string) []kmsg.MetadataRequestTopic {
	out := []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		out = append(out, kmsg.MetadataRequestTopic{Topic: &name})
	}
	return out
}

func withID(ids ...records.UUID) []kmsg.MetadataRequestTopic {
	out := []kmsg.MetadataRequestTopic{}
	for _, id := range ids {
		out = append(out, kmsg.MetadataRequestTopic{TopicID: id})
	}
	return out
}

func TestMetadataListsUnfencedBrokersAndTheActiveController(t *testing.T) {
	for name, c := range map[string]struct {
		change func(q *Context)
		want   string
	}{
		"as it is":          {func(q *Context) {}, "1=c1:9094/null 101=b1:9092/r1 102=b2:9092/null controller=1"},
		"another leader":    {func(q *Context) { q.LeaderID = 3 }, "3=c3:9094/null 101=b1:9092/r1 102=b2:9092/null controller=3"},
		"no leader":         {func(q *Context) { q.LeaderID = -1 }, "101=b1:9092/r1 102=b2:9092/null controller=-1"},
		"leader no voter":   {func(q *Context) { q.LeaderID = 9 }, "101=b1:9092/r1 102=b2:9092/null controller=-1"},
		"other listener":    {func(q *Context) { q.Listener = "NONE" }, "1=nowhere:1/null 101=b1:9092/r1 102=b2:9092/null controller=1"},
		"controller hidden": {func(q *Context) { q.HideController = true }, "101=b1:9092/r1 102=b2:9092/null controller=101"},
		"nothing known":     {func(q *Context) { q.Image = new(image.Image) }, "1=c1:9094/null controller=1"},
		"voters by record": {func(q *Context) {
			e := q.Image.Edit()
			e.ReplayControl(&records.KRaftVoters{Voters: []records.Voter{{ID: 1, Endpoints: []records.VoterEndpoint{{Name: "X", Host: "moved", Port: 5}}}}}, 99)
			q.Image = e.Image()
		}, "1=moved:5/null 101=b1:9092/r1 102=b2:9092/null controller=1"},
		"voters by registration": {func(q *Context) {
			q.Voters = nil
			e := q.Image.Edit()
			e.Replay(&records.RegisterController{ControllerID: 1, EndPoints: []records.Endpoint{endpoint("CONTROLLER", "reg", 7, 0)}}, 99)
			q.Image = e.Image()
		}, "1=reg:7/null 101=b1:9092/r1 102=b2:9092/null controller=1"},
	} {
		t.Run(name, func(t *testing.T) {
			q := testContext()
			c.change(q)
			for version := int16(1); version <= 13; version++ {
				resp := metadata(t, q, version, kmsg.MetadataRequest{Topics: named()})
				if got := describeNodes(resp); got != c.want {
					t.Errorf("v%d: got  %s\nwant %s", version, got, c.want)
				}
				if version >= 2 && text(resp.ClusterID) != "the-cluster" {
					t.Errorf("v%d: cluster id %s", version, text(resp.ClusterID))
				}
				if len(resp.Topics) != 0 {
					t.Errorf("v%d: topics %v for an empty list", version, resp.Topics)
				}
			}
		})
	}
}

const (
	ordersV13 = "orders id=1 error=0" +
		"; 0 leader=101 epoch=4 replicas=[101 102] isr=[101 102] offline=[] error=0" +
		"; 1 leader=101 epoch=0 replicas=[103 101 102] isr=[101] offline=[103 102] error=0" +
		"; 2 leader=-1 epoch=0 replicas=[103] isr=[103] offline=[103] error=5"
	stockV13   = "stock id=2 error=0; 0 leader=-1 epoch=0 replicas=[104 101] isr=[104 101] offline=[104] error=72"
	offsetsV13 = "__consumer_offsets id=3 error=0 internal; 0 leader=102 epoch=0 replicas=[102] isr=[102] offline=[] error=0"
)

func TestMetadataTopics(t *testing.T) {
	for name, c := range map[string]struct {
		version int16
		topics  []kmsg.MetadataRequestTopic
		want    []string
	}{
		"all":                {13, nil, []string{offsetsV13, ordersV13, stockV13}},
		"none":               {13, named(), nil},
		"by name":            {13, named("stock", "orders", "stock"), []string{stockV13, ordersV13}},
		"by unknown name":    {13, named("nope", "__transaction_state"), []string{"nope id=0 error=3", "__transaction_state id=0 error=3 internal"}},
		"by impossible name": {13, named("a b", ""), []string{"a b id=0 error=17", " id=0 error=17"}},
		"by id":              {12, withID(stockID, records.UUID{9}, stockID), []string{stockV13, "null id=9 error=100"}},
		"by id and name":     {13, append(named("orders"), withID(stockID)...), []string{stockV13}},
		"neither":            {13, withID(records.ZeroUUID), nil},
		"id before its time": {11, withID(stockID), []string{" id=2 error=42"}},
		"before topic ids":   {9, named("stock"), []string{strings.Replace(stockV13, "id=2", "id=0", 1)}},
		"before LISTENER_NOT_FOUND": {5, named("stock"), []string{
			"stock id=0 error=0; 0 leader=-1 epoch=-1 replicas=[104 101] isr=[104 101] offline=[104] error=5"}},
		"v0 lists what is there": {0, named("orders"), []string{
			"orders id=0 error=0; 0 leader=101 epoch=-1 replicas=[101 102] isr=[101 102] offline=[] error=0" +
				"; 1 leader=101 epoch=-1 replicas=[101 102] isr=[101] offline=[] error=9" +
				"; 2 leader=-1 epoch=-1 replicas=[] isr=[] offline=[] error=5"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := describeTopics(metadata(t, testContext(), c.version, kmsg.MetadataRequest{Topics: c.topics, AllowAutoTopicCreation: true}))
			if want := strings.Join(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if n := len(metadata(t, testContext(), 0, kmsg.MetadataRequest{Topics: named()}).Topics); n != 3 {
		t.Errorf("v0 with an empty list lists %d topics, want all 3", n)
	}
}

func TestInvalidMetadataRequestIsRefusedWhole(t *testing.T) {
	resp := metadata(t, testContext(), 13, kmsg.MetadataRequest{Topics: withID(stockID)})
	if resp.ErrorCode != 0 {
		t.Errorf("topic id in v13: error %d", resp.ErrorCode)
	}
	resp = metadata(t, testContext(), 10, kmsg.MetadataRequest{Topics: append(named("orders"), withID(stockID)...)})
	if len(resp.Brokers) != 0 || resp.ControllerID != -1 || len(resp.Topics) != 2 || resp.Topics[0].ErrorCode != 42 {
		t.Errorf("topic id in v10: %+v", resp)
	}
}

func TestAuthorizedOperationsAreToldOnlyIfAsked(t *testing.T) {
	resp := metadata(t, testContext(), 8, kmsg.MetadataRequest{Topics: named("orders", "nope")})
	if resp.AuthorizedOperations != noOperations || resp.Topics[0].AuthorizedOperations != noOperations {
		t.Errorf("got %d and %d", resp.AuthorizedOperations, resp.Topics[0].AuthorizedOperations)
	}
	resp = metadata(t, testContext(), 8, kmsg.MetadataRequest{Topics: named("orders", "nope"), IncludeClusterAuthorizedOperations: true, IncludeTopicAuthorizedOperations: true})
	if resp.AuthorizedOperations != clusterOperations || resp.Topics[0].AuthorizedOperations != topicOperations || resp.Topics[1].AuthorizedOperations != topicOperations {
		t.Errorf("got %d, %d and %d", resp.AuthorizedOperations, resp.Topics[0].AuthorizedOperations, resp.Topics[1].AuthorizedOperations)
	}
}

// registered is the cluster after controllers have registered themselves, each somewhere else than the voters' record has it.
func registered(ids ...int32) *image.Image {
	e := testCluster().Edit()
	for i, id := range ids {
		e.Replay(&records.RegisterController{ControllerID: id, EndPoints: []records.Endpoint{
			endpoint("OTHER", "nowhere", 1, 0), endpoint("CONTROLLER", fmt.Sprint("r", id), 9095, 0)}}, int64(100+i))
	}
	return e.Image()
}

func TestDescribeClusterListsMembersThatRegistered(t *testing.T) {
	for name, c := range map[string]struct {
		change func(q *Context)
		want   string
	}{
		"all":                {func(q *Context) { q.Image = registered(1, 2, 3) }, "1: 1=r1 2=r2 3=r3"},
		"one not yet":        {func(q *Context) { q.Image = registered(3, 1) }, "1: 1=r1 3=r3"},
		"not yet the leader": {func(q *Context) { q.Image = registered(2, 3) }, "-1: 2=r2 3=r3"},
		"one was removed":    {func(q *Context) { q.Image = registered(1, 2, 3, 4) }, "1: 1=r1 2=r2 3=r3"},
		"none":               {func(q *Context) {}, "-1:"},
		"before 3.7": {func(q *Context) {
			e := q.Image.Edit()
			e.Replay(&records.FeatureLevel{Name: "metadata.version", Level: 14}, 100)
			q.Image = e.Image()
		}, "1: 1=c1 2=c2 3=c3"},
		"another listener": {func(q *Context) { q.Image, q.Listener = registered(1, 2, 3), "NONE" }, "1: 1=r1 2=r2 3=r3"},
	} {
		t.Run(name, func(t *testing.T) {
			q := testContext()
			c.change(q)
			req := kmsg.DescribeClusterRequest{Version: 2, EndpointType: 2}
			resp := overTheWire[*kmsg.DescribeClusterResponse](t, DescribeCluster(q, &req), 2)
			got := fmt.Sprintf("%d:", resp.ControllerID)
			for _, b := range resp.Brokers {
				got += fmt.Sprintf(" %d=%s", b.NodeID, b.Host)
			}
			if got != c.want || (resp.ErrorCode == kerr.NotController.Code) != (resp.ControllerID < 0) {
				t.Errorf("got  %s (error %d)\nwant %s", got, resp.ErrorCode, c.want)
			}
		})
	}
}

func TestDescribeCluster(t *testing.T) {
	for name, c := range map[string]struct {
		version int16
		kind    int8
		fenced  bool
		leader  int32
		want    string
	}{
		"brokers":                 {2, 1, false, 1, "error=0 type=1 id=the-cluster controller=1: 1=c1:9094 101=b1:9092 102=b2:9092"},
		"brokers v1":              {1, 1, true, 1, "error=0 type=1 id=the-cluster controller=1: 1=c1:9094 101=b1:9092 102=b2:9092"},
		"brokers v0":              {0, 1, false, 1, "error=0 type=1 id=the-cluster controller=1: 1=c1:9094 101=b1:9092 102=b2:9092"},
		"fenced too":              {2, 1, true, 1, "error=0 type=1 id=the-cluster controller=1: 1=c1:9094 101=b1:9092 102=b2:9092 103=b3:9093(fenced)"},
		"brokers, no leader":      {2, 1, false, -1, "error=0 type=1 id=the-cluster controller=-1: 101=b1:9092 102=b2:9092"},
		"controllers":             {2, 2, true, 2, "error=0 type=2 id=the-cluster controller=2: 1=r1:9095 2=r2:9095 3=r3:9095"},
		"controllers, no leader":  {1, 2, false, -1, "error=41 type=2 id=the-cluster controller=-1: 1=r1:9095 2=r2:9095 3=r3:9095"},
		"controllers, new leader": {1, 2, false, 9, "error=41 type=2 id=the-cluster controller=-1: 1=r1:9095 2=r2:9095 3=r3:9095"},
		"unknown":                 {2, 9, false, 1, "error=115 type=1 id= controller=-1:"},
	} {
		t.Run(name, func(t *testing.T) {
			q := testContext()
			q.Image, q.LeaderID = registered(1, 2, 3), c.leader
			req := kmsg.DescribeClusterRequest{Version: c.version, EndpointType: c.kind, IncludeFencedBrokers: c.fenced}
			resp := overTheWire[*kmsg.DescribeClusterResponse](t, DescribeCluster(q, &req), c.version)
			got := fmt.Sprintf("error=%d type=%d id=%s controller=%d:", resp.ErrorCode, resp.EndpointType, resp.ClusterID, resp.ControllerID)
			for _, b := range resp.Brokers {
				got += fmt.Sprintf(" %d=%s:%d", b.NodeID, b.Host, b.Port)
				if b.IsFenced {
					got += "(fenced)"
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if resp.ClusterAuthorizedOperations != noOperations || (resp.ErrorMessage == nil) != (resp.ErrorCode == 0) {
				t.Errorf("operations %d, message %s", resp.ClusterAuthorizedOperations, text(resp.ErrorMessage))
			}
		})
	}
}

// TestNodeOutsideTheQuorumNamesTheOthers: its records still count it in, and clients that came to it would come again.
func TestNodeOutsideTheQuorumNamesTheOthers(t *testing.T) {
	q := testContext()
	e := registered(1, 2, 3).Edit()
	e.ReplayControl(&records.KRaftVoters{Voters: voters()}, 99)
	q.Image, q.NodeID, q.Voters = e.Image(), 1, voters()[1:]
	req := kmsg.DescribeClusterRequest{Version: 1, EndpointType: 2}
	resp := overTheWire[*kmsg.DescribeClusterResponse](t, DescribeCluster(q, &req), 1)
	if len(resp.Brokers) != 2 || resp.Brokers[0].NodeID != 2 || resp.Brokers[1].NodeID != 3 {
		t.Errorf("%+v", resp.Brokers)
	}
}

func TestAPIVersions(t *testing.T) {
	q := testContext()
	q.Versions = []APIVersion{{1, 4, 18}, {18, 0, 4}}
	for _, c := range []struct {
		version                   int16
		supported, finalized      int
		supportsKRaft, epochGiven bool
	}{
		{0, 0, 0, false, false}, {2, 0, 0, false, false}, {3, 1, 2, false, true}, {4, 7, 2, true, true},
	} {
		req := kmsg.ApiVersionsRequest{Version: c.version, ClientSoftwareName: "apache-kafka-java", ClientSoftwareVersion: "4.3.0"}
		resp := overTheWire[*kmsg.ApiVersionsResponse](t, APIVersions(q, &req), c.version)
		if resp.ErrorCode != 0 || len(resp.ApiKeys) != 2 || resp.ApiKeys[0].MaxVersion != 18 {
			t.Errorf("v%d: %+v", c.version, resp)
		}
		if len(resp.SupportedFeatures) != c.supported || len(resp.FinalizedFeatures) != c.finalized {
			t.Errorf("v%d: supported %v, finalized %v", c.version, resp.SupportedFeatures, resp.FinalizedFeatures)
		}
		if resp.FinalizedFeaturesEpoch != -1 != c.epochGiven {
			t.Errorf("v%d: epoch %d", c.version, resp.FinalizedFeaturesEpoch)
		}
		if slices.ContainsFunc(resp.SupportedFeatures, func(f kmsg.ApiVersionsResponseSupportedFeature) bool { return f.Name == "kraft.version" }) != c.supportsKRaft {
			t.Errorf("v%d: supported %v", c.version, resp.SupportedFeatures)
		}
	}
	for _, name := range []string{"", "has space", "-a", "a.", "a_b", "a\n"} {
		for _, req := range []kmsg.ApiVersionsRequest{{ClientSoftwareName: name, ClientSoftwareVersion: "1"}, {ClientSoftwareName: "a", ClientSoftwareVersion: name}} {
			req.Version = 3
			resp := overTheWire[*kmsg.ApiVersionsResponse](t, APIVersions(q, &req), 3)
			if resp.ErrorCode != 42 || len(resp.ApiKeys) != 0 || len(resp.SupportedFeatures) != 0 || resp.FinalizedFeaturesEpoch != -1 {
				t.Errorf("%q: %+v", name, resp)
			}
		}
	}
}

func TestAPIVersionsFinalizesKRaftVersionOnlyIfRaised(t *testing.T) {
	q := testContext()
	e := q.Image.Edit()
	e.ReplayControl(&records.KRaftVersion{Version: 1}, 90)
	e.Advance(91, 1, 0)
	q.Image = e.Image()
	resp := APIVersions(q, &kmsg.ApiVersionsRequest{Version: 4, ClientSoftwareName: "a", ClientSoftwareVersion: "1"}).(*kmsg.ApiVersionsResponse)
	want := []kmsg.ApiVersionsResponseFinalizedFeature{
		{Name: "metadata.version", MinVersionLevel: 30, MaxVersionLevel: 30},
		{Name: "transaction.version", MinVersionLevel: 2, MaxVersionLevel: 2},
		{Name: "kraft.version", MinVersionLevel: 1, MaxVersionLevel: 1},
	}
	if !reflect.DeepEqual(resp.FinalizedFeatures, want) || resp.FinalizedFeaturesEpoch != 90 {
		t.Errorf("got %+v at %d", resp.FinalizedFeatures, resp.FinalizedFeaturesEpoch)
	}
}

func TestDescribeTopicPartitionsPages(t *testing.T) {
	for name, c := range map[string]struct {
		topics []string
		cursor string
		at     int32
		limit  int32
		want   string
	}{
		"all":                  {limit: 2000, want: "__consumer_offsets:0 orders:0 1 2 stock:0"},
		"first page":           {limit: 2, want: "__consumer_offsets:0 orders:0 -> orders 1"},
		"second page":          {cursor: "orders", at: 1, limit: 2, want: "orders:1 2 -> stock 0"},
		"last page":            {cursor: "stock", limit: 2, want: "stock:0"},
		"cursor topic gone":    {cursor: "p", limit: 2, want: "stock:0"},
		"cursor past the end":  {cursor: "orders", at: 7, limit: 2, want: "orders: stock:0"},
		"limit too small":      {limit: -1, want: "__consumer_offsets:0 -> orders 0"},
		"by name":              {topics: []string{"stock", "nope", "orders", "a b", "stock"}, limit: 2000, want: "a b!17 nope!3 orders:0 1 2 stock:0"},
		"unknown needs room":   {topics: []string{"nope", "orders", "zzz"}, limit: 3, want: "nope!3 orders:0 1 2 -> zzz 0"},
		"by name from cursor":  {topics: []string{"nope", "orders", "stock"}, cursor: "orders", at: 2, limit: 2000, want: "orders:2 stock:0"},
		"cursor not asked for": {topics: []string{"stock"}, cursor: "orders", limit: 2000, want: "stock!42"},
		"negative cursor":      {topics: []string{"stock"}, cursor: "stock", at: -1, limit: 2000, want: "stock!42"},
	} {
		t.Run(name, func(t *testing.T) {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.ResponsePartitionLimit = c.limit
			for _, name := range c.topics {
				req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
			}
			if c.cursor != "" {
				req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: c.cursor, Partition: c.at}
			}
			resp := overTheWire[*kmsg.DescribeTopicPartitionsResponse](t, DescribeTopicPartitions(testContext(), req), 0)
			var got []string
			for _, t := range resp.Topics {
				one := text(t.Topic)
				if t.ErrorCode != 0 {
					one += fmt.Sprint("!", t.ErrorCode)
				} else {
					var ids []int32
					for _, p := range t.Partitions {
						ids = append(ids, p.Partition)
					}
					one += ":" + strings.Trim(fmt.Sprint(ids), "[]")
				}
				got = append(got, one)
			}
			if n := resp.NextCursor; n != nil {
				got = append(got, "->", n.Topic, fmt.Sprint(n.Partition))
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDescribeTopicPartitionsTellsOfEligibleLeaders(t *testing.T) {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "orders"}}
	req.ResponsePartitionLimit = 10
	resp := overTheWire[*kmsg.DescribeTopicPartitionsResponse](t, DescribeTopicPartitions(testContext(), req), 0)
	p := resp.Topics[0].Partitions[1]
	if got := fmt.Sprint(p.LeaderID, p.Replicas, p.ISR, p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas); got != "101 [103 101 102] [101] [103] [] [103 102]" {
		t.Errorf("got %s", got)
	}
	if p := resp.Topics[0].Partitions[0]; p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
		t.Errorf("empty lists went out as null: %+v", p)
	}
	if resp.Topics[0].AuthorizedOperations != topicOperations || resp.Topics[0].TopicID != ordersID {
		t.Errorf("got %+v", resp.Topics[0])
	}
}

func BenchmarkMetadataOfAllTopics(b *testing.B) {
	e := new(image.Image).Edit()
	for id := range int32(6) {
		e.Replay(&records.RegisterBroker{BrokerID: id, EndPoints: []records.Endpoint{endpoint("PLAINTEXT", "h", 9092, 0)}}, int64(id))
	}
	for i := range 1000 {
		id := records.UUID{byte(i >> 8), byte(i), 1}
		e.Replay(&records.Topic{Name: fmt.Sprint("topic", i), TopicID: id}, 10)
		for p := range int32(10) {
			e.Replay(&records.Partition{TopicID: id, PartitionID: p, Replicas: []int32{p % 6, (p + 1) % 6, (p + 2) % 6}, ISR: []int32{p % 6, (p + 1) % 6}, Leader: p % 6}, 11)
		}
	}
	q := &Context{Image: e.Image(), LeaderID: -1}
	for b.Loop() {
		Metadata(q, &kmsg.MetadataRequest{Version: 13})
	}
}

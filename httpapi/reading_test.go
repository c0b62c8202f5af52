package httpapi

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"yakt/controller"
	"yakt/controller/image"
	"yakt/records"
)

func full() *Server { return serverOf(&fakeController{image: fullImage()}) }

const (
	broker101 = `{"brokerId":101,"brokerEpoch":4,"incarnationId":"EAAAAAAAAAAAAAAAAAAAAw","fenced":true,"inControlledShutdown":false,"rack":"left",
		"endPoints":[{"name":"PLAINTEXT","host":"127.0.0.1","port":9092,"securityProtocol":0}],
		"features":[{"name":"metadata.version","minSupportedVersion":7,"maxSupportedVersion":30}],"logDirs":["EAAAAAAAAAAAAAAAAAAABA"],"cordonedLogDirs":null}`
	partition0 = `"partitionId":0,"leader":101,"leaderEpoch":0,"partitionEpoch":0,"replicas":[101],"isr":[101],"addingReplicas":[],"removingReplicas":[],
		"leaderRecoveryState":0,"directories":["EAAAAAAAAAAAAAAAAAAABA"],"eligibleLeaderReplicas":[],"lastKnownElr":[]`
	partition1 = `"partitionId":1,"leader":-1,"leaderEpoch":3,"partitionEpoch":7,"replicas":[101,102],"isr":[101],"addingReplicas":[],"removingReplicas":[],
		"leaderRecoveryState":0,"directories":["EAAAAAAAAAAAAAAAAAAABA","EAAAAAAAAAAAAAAAAAAABg"],"eligibleLeaderReplicas":[102],"lastKnownElr":[]`
	topicAB = `"topicName":"a<b","topicId":"EAAAAAAAAAAAAAAAAAAABQ",`
)

func TestReads(t *testing.T) {
	partitions := `{"offset":17,"partitions":[{` + topicAB + partition0 + `},{` + topicAB + partition1 + `}]}`
	for path, want := range map[string]string{
		"/get_all_brokers":                  `{"offset":17,"brokers":[` + broker101 + `]}`,
		"/get_broker/101":                   broker101,
		"/get_topic/a%3cb":                  `{"name":"a<b","topicId":"EAAAAAAAAAAAAAAAAAAABQ","partitions":[{` + partition0 + `},{` + partition1 + `}]}`,
		"/get_topic/a<b":                    `{"name":"a<b","topicId":"EAAAAAAAAAAAAAAAAAAABQ","partitions":[{` + partition0 + `},{` + partition1 + `}]}`,
		"/get_topic/empty.topic":            `{"name":"empty.topic","topicId":"EAAAAAAAAAAAAAAAAAAABw","partitions":[]}`,
		"/get_partitions":                   partitions,
		"/get_partitions?topic=a%3Cb":       partitions,
		"/get_partitions?topic=empty.topic": `{"offset":17,"partitions":[]}`,
		"/get_producer_ids":                 `{"offset":17,"nextProducerId":1000,"blocks":[{"brokerId":101,"producerIdStart":0,"producerIdLen":1000}]}`,
	} {
		t.Run(path, func(t *testing.T) { checkJSON(t, get(full(), "GET", path), 200, want) })
	}
}

func TestReadsOfAnEmptyCluster(t *testing.T) {
	for path, want := range map[string]string{
		"/get_all_brokers":  `{"offset":1,"brokers":[]}`,
		"/get_partitions":   `{"offset":1,"partitions":[]}`,
		"/get_producer_ids": `{"offset":1,"nextProducerId":0,"blocks":[]}`,
	} {
		checkJSON(t, get(testServer(nil), "GET", path), 200, want)
	}
}

// TestWhoKnowsNothingDoesNotTellOfAnEmptyCluster, but of whom to ask.
func TestWhoKnowsNothingDoesNotTellOfAnEmptyCluster(t *testing.T) {
	fake := &fakeController{image: new(image.Image), standby: true, leader: 3}
	for says, ready := range map[string]error{"Ask node 3": nil, "no leader is known. Ask another node": errors.New("no leader is known")} {
		s := testServer(func(c *Config) { c.Controller, c.Ready = fake, func() error { return ready } })
		for _, route := range routes {
			if route.method != "GET" || strings.HasSuffix(route.path, "z") { // health is another matter
				continue
			}
			w := get(s, "GET", route.path)
			if detail := checkProblem(t, w, 503); !strings.Contains(detail, "any metadata yet") || !strings.Contains(detail, says) || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: %q, %v", route.path, detail, w.Header())
			}
		}
	}
	if w := get(serverOf(fake), "GET", "/livez"); w.Code != 200 {
		t.Errorf("/livez answered %d", w.Code)
	}
}

// TestStandbyReads: what is committed everybody may tell.
func TestStandbyReads(t *testing.T) {
	s := serverOf(&fakeController{image: fullImage(), standby: true, leader: -1})
	for _, route := range routes {
		if w := get(s, "GET", route.path); route.method == "GET" && w.Code == 503 {
			t.Errorf("%s answered %s", route.path, w.Body)
		}
	}
}

func TestTimestampsAreNumbersOrRFC3339(t *testing.T) {
	for path, want := range map[string]question{
		"/broker_mgmt/0":                                           {0, 10_000},
		"/broker_mgmt/1784000000123":                               {1784000000123, 10_000},
		"/client_mgmt/1784000000123?limit=5":                       {1784000000123, 5},
		"/client_mgmt/2026-07-14T03:33:20Z":                        {1784000000000, 10_000},
		"/broker_mgmt/2026-07-14T03:33:20.123Z":                    {1784000000123, 10_000},
		"/broker_mgmt/2026-07-14T03:33:20.1239Z":                   {1784000000123, 10_000},
		"/broker_mgmt/2026-07-14T05:33:20.123+02:00":               {1784000000123, 10_000},
		"/broker_mgmt/2026-07-14T05%3A33%3A20%2B02:00?limit=10000": {1784000000000, 10_000},
	} {
		fake := new(fakeController)
		if w := get(serverOf(fake), "GET", path); w.Code != 200 || fake.asked != want {
			t.Errorf("%s: %d, asked %+v, want %+v", path, w.Code, fake.asked, want)
		}
	}
}

func TestChangesSinceTooLongAgoAreTheWholeImage(t *testing.T) {
	fake := &fakeController{image: fullImage(), changes: controller.Changes{Image: fullImage(), Next: 1_700_000_000_000}}
	var metadata, answer struct{ Full, Brokers, Topics json.RawMessage }
	w := get(serverOf(fake), "GET", "/broker_mgmt/0")
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if got, want := string(answer.Full)+"\n", get(serverOf(fake), "GET", "/get_metadata").Body.String(); got != want {
		t.Errorf("full is %s, and the metadata %s", got, want)
	}
	if err := json.Unmarshal(get(serverOf(fake), "GET", "/get_metadata").Body.Bytes(), &metadata); err != nil {
		t.Fatal(err)
	}
	checkJSON(t, get(serverOf(fake), "GET", "/client_mgmt/0"), 200, `{
		"clusterId":"MkU3OEVBNTcwNTJENDM2Qk","controllerId":1,"epoch":1,
		"voters":[{"voterId":1,"voterDirectoryId":"EAAAAAAAAAAAAAAAAAAAAQ","endpoints":[{"name":"CONTROLLER","host":"127.0.0.1","port":5010}]}],
		"full":{"clusterId":"MkU3OEVBNTcwNTJENDM2Qk","controllerId":1,"offset":17,"epoch":1,"timestamp":1700000000000,"brokers":[],"topics":`+string(metadata.Topics)+`},
		"changes":[],"timestamp":1700000000000,"more":false}`)
}

// someChanges has a record of every kind, in an order that makes sense to nobody: what is tested is the telling.
func someChanges() []controller.Change {
	var all []controller.Change
	for i, r := range []records.Record{
		&records.Topic{Name: "t", TopicID: id(5)},
		&records.BrokerRegistrationChange{BrokerID: 101, BrokerEpoch: 4, Fenced: 1},
		&records.BrokerRegistrationChange{BrokerID: 102, BrokerEpoch: 5, Fenced: -1},
		&records.UnregisterBroker{BrokerID: 103, BrokerEpoch: 6},
		&records.UnfenceBroker{ID: 102, Epoch: 5},
		&records.FenceBroker{ID: 101, Epoch: 4},
		&records.ClearELR{},
		&records.NoOp{},
		&records.Config{ResourceType: image.ConfigTopic, ResourceName: "t", Name: "retention.ms", Value: text("1000")},
		&records.Config{ResourceType: image.ConfigBroker, ResourceName: "101", Name: "ssl.keystore.password", Value: text("hunter2")},
		&records.Config{ResourceType: image.ConfigBroker, ResourceName: "101", Name: "ssl.keystore.password"},
		&records.UserScramCredential{Name: "bob", Mechanism: 1, Salt: []byte("salt-hunter2"), StoredKey: []byte("stored-hunter2"), ServerKey: []byte("server-hunter2"), Iterations: 4096},
		&records.DelegationToken{Owner: "User:bob", Requester: "User:bob", TokenID: "token"},
		&records.FeatureLevel{Name: "group.version", Level: 1},
		&records.RemoveTopic{TopicID: id(5)},
		&records.Config{ResourceType: image.ConfigBroker, ResourceName: "101", Name: "my.plugin.token", Value: text("hunter2")},
	} {
		all = append(all, controller.Change{Offset: int64(20 + i), Timestamp: 1_700_000_000_001, Record: r})
	}
	all[1].Version = 1
	return all
}

// liveImage is fullImage with broker 102, unfenced.
func liveImage() *image.Image {
	e := fullImage().Edit()
	e.Replay(&records.RegisterBroker{BrokerID: 102, BrokerEpoch: 5, EndPoints: []records.Endpoint{{Name: "PLAINTEXT", Host: "h", Port: 1}}}, 17)
	return e.Image()
}

func TestChangesForBrokersAreAllChanges(t *testing.T) {
	fake := &fakeController{image: liveImage(), changes: controller.Changes{Changes: someChanges(), Next: 1_700_000_000_001, More: true}}
	var answer struct {
		Full      any
		Changes   []changeJSON
		Timestamp int64
		More      bool
	}
	w := get(serverOf(fake), "GET", "/broker_mgmt/1")
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if answer.Full != nil || answer.Timestamp != 1_700_000_000_001 || !answer.More || len(answer.Changes) != len(fake.changes.Changes) {
		t.Fatalf("answer %+v", answer)
	}
	for i, c := range answer.Changes {
		asked := fake.changes.Changes[i]
		key, ok := records.ParseKey(c.Type)
		if !ok || key != asked.Record.APIKey() || c.Offset != asked.Offset || c.Timestamp != asked.Timestamp || c.Version != asked.Version {
			t.Errorf("change %+v, told as %+v", asked, c)
		}
		if _, err := records.UnmarshalJSON(key, c.Version, c.Data); err != nil {
			t.Errorf("%s cannot be read back: %v", c.Data, err)
		}
	}
	if w.Body.String() != get(serverOf(fake), "GET", "/broker_mgmt/1").Body.String() {
		t.Error("the same question got another answer")
	}
}

func TestChangesTellNoSecrets(t *testing.T) {
	for _, path := range []string{"/broker_mgmt/1", "/client_mgmt/1"} {
		fake := &fakeController{image: fullImage(), changes: controller.Changes{Changes: someChanges(), Image: fullImage()}}
		body := get(serverOf(fake), "GET", path).Body.String()
		for _, secret := range []string{"hunter2", "aHVudGVyMg", "c2FsdC1odW50ZXIy", "LWh1bnRlcj", "1odW50ZXIy"} {
			if strings.Contains(body, secret) {
				t.Errorf("%q is in the answer to %s", secret, path)
			}
		}
	}
	for _, c := range someChanges() { // and telling leaves what is told as it is
		if s, ok := c.Record.(*records.UserScramCredential); ok {
			if withoutSecrets(c.Record); string(s.Salt) != "salt-hunter2" {
				t.Error("the record itself was changed")
			}
		}
	}
}

func TestChangesForClientsAreOfTopicsAndLiveBrokers(t *testing.T) {
	fake := &fakeController{image: liveImage(), changes: controller.Changes{Changes: someChanges(), Next: 1_700_000_000_001}}
	broker102 := `{"brokerId":102,"brokerEpoch":5,"incarnationId":"AAAAAAAAAAAAAAAAAAAAAA","fenced":false,"inControlledShutdown":false,"rack":null,
		"endPoints":[{"name":"PLAINTEXT","host":"h","port":1,"securityProtocol":0}],"features":[],"logDirs":[],"cordonedLogDirs":null}`
	const at = `"timestamp":1700000000001,`
	checkJSON(t, get(serverOf(fake), "GET", "/client_mgmt/1"), 200, `{
		"clusterId":"MkU3OEVBNTcwNTJENDM2Qk","controllerId":1,"epoch":1,
		"voters":[{"voterId":1,"voterDirectoryId":"EAAAAAAAAAAAAAAAAAAAAQ","endpoints":[{"name":"CONTROLLER","host":"127.0.0.1","port":5010}]}],
		"full":null,"changes":[
		{"offset":20,`+at+`"type":"TopicRecord","version":0,"data":{"name":"t","topicId":"EAAAAAAAAAAAAAAAAAAABQ"}},
		{"offset":21,`+at+`"type":"BrokerRegistrationChangeRecord","version":1,"data":{"brokerId":101,"brokerEpoch":4,"fenced":1},"broker":null},
		{"offset":22,`+at+`"type":"BrokerRegistrationChangeRecord","version":0,"data":{"brokerId":102,"brokerEpoch":5,"fenced":-1},"broker":`+broker102+`},
		{"offset":23,`+at+`"type":"UnregisterBrokerRecord","version":0,"data":{"brokerId":103,"brokerEpoch":6},"broker":null},
		{"offset":24,`+at+`"type":"UnfenceBrokerRecord","version":0,"data":{"id":102,"epoch":5},"broker":`+broker102+`},
		{"offset":25,`+at+`"type":"FenceBrokerRecord","version":0,"data":{"id":101,"epoch":4},"broker":null},
		{"offset":26,`+at+`"type":"ClearElrRecord","version":0,"data":{"topicName":""}},
		{"offset":34,`+at+`"type":"RemoveTopicRecord","version":0,"data":{"topicId":"EAAAAAAAAAAAAAAAAAAABQ"}}],
		"timestamp":1700000000001,"more":false}`)
}

func TestLogThatCannotBeReadIsNoEmptyAnswer(t *testing.T) {
	fake := &fakeController{err: errors.New("disk on fire")}
	w := get(serverOf(fake), "GET", "/broker_mgmt/1")
	if checkProblem(t, w, 503); strings.Contains(w.Body.String(), "fire") {
		t.Errorf("the inside shows: %s", w.Body)
	}
}

package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"yakt/controller/image"
	"yakt/records"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

func id(b byte) records.UUID { return records.UUID{0: 0x10, 15: b} }

func text(s string) *string { return &s }

// fullImage has something in every part of an image.
func fullImage() *image.Image {
	e := new(image.Image).Edit()
	e.ReplayControl(&records.LeaderChange{LeaderID: 1, Voters: []int32{1}, GrantingVoters: []int32{1}}, 0)
	e.ReplayControl(&records.KRaftVersion{Version: 1}, 1)
	e.ReplayControl(&records.KRaftVoters{Voters: []records.Voter{{
		ID: 1, DirectoryID: id(1), Endpoints: []records.VoterEndpoint{{Name: "CONTROLLER", Host: "127.0.0.1", Port: 5010}}, MaxKRaft: 1,
	}}}, 2)
	offset := int64(3)
	for _, r := range []records.Record{
		&records.FeatureLevel{Name: "metadata.version", Level: 30},
		&records.RegisterController{ControllerID: 1, IncarnationID: id(2), EndPoints: []records.Endpoint{{Name: "CONTROLLER", Host: "127.0.0.1", Port: 5010}}},
		&records.RegisterBroker{
			BrokerID: 101, IncarnationID: id(3), BrokerEpoch: 4, Fenced: true, Rack: text("left"), LogDirs: []records.UUID{id(4)},
			EndPoints: []records.Endpoint{{Name: "PLAINTEXT", Host: "127.0.0.1", Port: 9092}},
			Features:  []records.FeatureRange{{Name: "metadata.version", Min: 7, Max: 30}},
		},
		&records.Topic{Name: "a<b", TopicID: id(5)},
		&records.Partition{TopicID: id(5), Replicas: []int32{101}, ISR: []int32{101}, Leader: 101, Directories: []records.UUID{id(4)}},
		&records.Partition{TopicID: id(5), PartitionID: 1, Replicas: []int32{101, 102}, ISR: []int32{101}, Leader: records.NoLeader, LeaderEpoch: 3, PartitionEpoch: 7,
			Directories: []records.UUID{id(4), id(6)}, EligibleLeaderReplicas: []int32{102}},
		&records.Topic{Name: "empty.topic", TopicID: id(7)},
		&records.ProducerIDs{BrokerID: 101, BrokerEpoch: 4, NextProducerID: 1000},
		&records.Config{ResourceType: image.ConfigTopic, ResourceName: "a<b", Name: "retention.ms", Value: text("1000")},
		&records.Config{ResourceType: image.ConfigBroker, ResourceName: "101", Name: "listener.name.internal.ssl.keystore.password", Value: text("hunter2")},
		&records.ClientQuota{Entity: []records.QuotaEntity{{Type: "user"}}, Key: "producer_byte_rate", Value: 1024},
		&records.AccessControlEntry{ID: id(8), ResourceType: 2, ResourceName: "a", PatternType: 3, Principal: "User:bob", Host: "*", Operation: 3, PermissionType: 3},
		&records.UserScramCredential{Name: "bob", Mechanism: 1, Salt: []byte("salt-hunter2"), StoredKey: []byte("stored-hunter2"), ServerKey: []byte("server-hunter2"), Iterations: 4096},
		&records.DelegationToken{Owner: "User:bob", Requester: "User:bob", IssueTimestamp: 1, MaxTimestamp: 3, ExpirationTimestamp: 2, TokenID: "token"},
	} {
		e.Replay(r, offset)
		offset++
	}
	e.Advance(offset, 1, 1_700_000_000_000)
	return e.Image()
}

func TestMetadataIsTheWholeImage(t *testing.T) {
	s := testServer(func(c *Config) { c.Controller = &fakeController{image: fullImage()} })
	w := get(s, "GET", "/get_metadata")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", w.Code, w.Header())
	}
	var got bytes.Buffer
	if err := json.Indent(&got, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	const golden = "testdata/get_metadata.json"
	if *rewrite {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the answer differs from %s (go test -rewrite writes it anew):\n%s", golden, got.Bytes())
	}
}

// A checkpoint does not say who led; the log does, if it is still of that epoch.
func TestMetadataNamesTheLeaderAfterACheckpoint(t *testing.T) {
	for epoch, want := range map[int32]string{1: `"controllerId":7`, 2: `"controllerId":-1`} {
		e := new(image.Image).Edit()
		e.Replay(&records.FeatureLevel{Name: "metadata.version", Level: 30}, 0)
		e.Advance(1, epoch, 1)
		s := testServer(func(c *Config) { c.Controller = &fakeController{image: e.Image(), leader: 7} }) // of epoch 1
		if body := get(s, "GET", "/get_metadata").Body.String(); !strings.Contains(body, want) {
			t.Errorf("epoch %d: %s", epoch, body)
		}
	}
}

func TestMetadataTellsNoSecrets(t *testing.T) {
	s := testServer(func(c *Config) { c.Controller = &fakeController{image: fullImage()} })
	body := get(s, "GET", "/get_metadata").Body.String()
	for _, secret := range []string{"hunter2", "aHVudGVyMg", "c2FsdC1odW50ZXIy"} {
		if strings.Contains(body, secret) {
			t.Errorf("%q is in the answer", secret)
		}
	}
}

func TestMetadataOfAnEmptyCluster(t *testing.T) {
	w := get(testServer(nil), "GET", "/get_metadata")
	var document map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	for name, value := range document {
		if value == nil {
			t.Errorf("%s is null: an empty list is what readers can loop over", name)
		}
	}
	if topics, ok := document["topics"].([]any); !ok || len(topics) != 0 {
		t.Errorf("topics: %v", document["topics"])
	}
}

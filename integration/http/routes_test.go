package http

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yakt/integration/harness"
)

// propertiesFile writes lines for --config.
func propertiesFile(t testing.TB, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestWrongRequestsChangeNothing sends what can be read and makes no sense here. What cannot be read is httpapi's to test.
func TestWrongRequestsChangeNothing(t *testing.T) {
	y := harness.StartYakt(t)
	registerBrokers(t, y, 101, 102)
	must[any](t, y, "POST", "/create_topic", `{"name":"t","replicationFactor":2}`)
	before := y.MustMetadata(t)
	long := strings.Repeat("x", 40_000)
	for _, test := range []struct {
		method, path, body string
		status             int
		name               string
	}{
		{"POST", "/register_broker", `{"brokerId":-1,"brokerHost":"h","brokerPort":1}`, 400, "INVALID_REGISTRATION"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1}`, 400, "INVALID_REGISTRATION"},
		{"POST", "/register_broker", `{"brokerId":5,"brokerHost":"","brokerPort":1}`, 400, "INVALID_REGISTRATION"},
		{"POST", "/register_broker", `{"brokerId":5,"brokerHost":"h","brokerPort":0}`, 400, "INVALID_REGISTRATION"},
		{"POST", "/register_broker", `{"brokerId":5,"brokerHost":"` + long + `","brokerPort":1}`, 400, "INVALID_REGISTRATION"},
		{"POST", "/register_broker", `{"brokerId":5,"brokerHost":"h","brokerPort":1,"rackId":"` + long + `"}`, 400, "INVALID_REGISTRATION"},
		{"POST", "/register_broker", `{"brokerId":101,"brokerHost":"127.0.0.1","brokerPort":20101}`, 200, ""}, // it is so already
		{"POST", "/register_broker", `{"brokerId":5}`, 400, "INVALID_REQUEST"},
		{"POST", "/register_broker", `{"brokerId":5,"brokerHost":"h","brokerPort":1,"epoch":1}`, 400, "INVALID_REQUEST"},
		{"PUT", "/delete_broker/999", ``, 404, "BROKER_ID_NOT_REGISTERED"},
		{"PUT", "/delete_broker/1", ``, 404, "BROKER_ID_NOT_REGISTERED"},
		{"PUT", "/broker_registration_change", `{"brokerId":999,"fenced":true}`, 404, "BROKER_ID_NOT_REGISTERED"},
		{"PUT", "/broker_registration_change", `{"brokerId":-5,"fenced":true}`, 404, "BROKER_ID_NOT_REGISTERED"},
		{"PUT", "/broker_registration_change", `{"brokerId":101}`, 400, "INVALID_REQUEST"},
		{"PUT", "/broker_registration_change", `{"brokerId":101,"logDirs":[]}`, 400, "INVALID_REQUEST"},
		{"PUT", "/broker_registration_change", `{"brokerId":101,"logDirs":["AAAAAAAAAAAAAAAAAAAAAQ"]}`, 400, "INVALID_REGISTRATION"},
		{"PUT", "/broker_registration_change", `{"brokerId":101,"fenced":false}`, 200, ""}, // it is so already
		{"POST", "/create_topic", `{"name":"t"}`, 409, "TOPIC_ALREADY_EXISTS"},
		{"POST", "/create_topic", `{"name":""}`, 400, "INVALID_TOPIC_EXCEPTION"},
		{"POST", "/create_topic", `{"name":"a/b"}`, 400, "INVALID_TOPIC_EXCEPTION"},
		{"POST", "/create_topic", `{"name":"__cluster_metadata"}`, 400, "INVALID_REQUEST"},
		{"POST", "/create_topic", `{"name":"` + long + `"}`, 400, "INVALID_TOPIC_EXCEPTION"},
		{"POST", "/create_topic", `{"name":"n","numPartitions":0}`, 400, "INVALID_PARTITIONS"},
		{"POST", "/create_topic", `{"name":"n","numPartitions":2147483647}`, 400, "POLICY_VIOLATION"},
		{"POST", "/create_topic", `{"name":"n","replicationFactor":0}`, 400, "INVALID_REPLICATION_FACTOR"},
		{"POST", "/create_topic", `{"name":"n","replicationFactor":3}`, 400, "INVALID_REPLICATION_FACTOR"},
		{"POST", "/create_topic", `{"name":"n","replicationFactor":32767}`, 400, "INVALID_REPLICATION_FACTOR"},
		{"POST", "/create_topic", `{"name":"n","configs":{"retention.ms":"soon"}}`, 400, "INVALID_CONFIG"},
		{"POST", "/create_topic", `{"name":"n","configs":{"no.such":"1"}}`, 400, "INVALID_CONFIG"},
		{"POST", "/create_topic", `{"name":"n","configs":{"` + long + `":"1"}}`, 400, "INVALID_CONFIG"},
		{"POST", "/create_topic", `{"name":"n","configs":{"follower.replication.throttled.replicas":"` + strings.Repeat("0:1,", 10_000) + `0:1"}}`, 400, "INVALID_CONFIG"},
		{"POST", "/create_partition", `{}`, 400, "INVALID_REQUEST"},
		{"POST", "/create_partition", `{"topicName":"none"}`, 404, "UNKNOWN_TOPIC_OR_PARTITION"},
		{"POST", "/create_partition", `{"topicId":"EAAAAAAAAAAAAAAAAAAABQ"}`, 404, "UNKNOWN_TOPIC_ID"},
		{"POST", "/create_partition", `{"topicName":"none","topicId":"EAAAAAAAAAAAAAAAAAAABQ"}`, 404, "UNKNOWN_TOPIC_ID"},
		{"POST", "/create_partition", `{"topicName":"t","partitionId":0}`, 409, "INVALID_UPDATE_VERSION"},
		{"POST", "/create_partition", `{"topicName":"t","partitionId":-1}`, 409, "INVALID_UPDATE_VERSION"},
		{"POST", "/create_partition", `{"topicName":"t","replicas":[]}`, 400, "INVALID_REPLICA_ASSIGNMENT"},
		{"POST", "/create_partition", `{"topicName":"t","replicas":[101]}`, 400, "INVALID_REPLICA_ASSIGNMENT"},
		{"POST", "/create_partition", `{"topicName":"t","replicas":[101,101]}`, 400, "INVALID_REPLICA_ASSIGNMENT"},
		{"POST", "/create_partition", `{"topicName":"t","replicas":[101,999]}`, 400, "INVALID_REPLICA_ASSIGNMENT"},
		{"POST", "/register_producer/999", ``, 404, "BROKER_ID_NOT_REGISTERED"},
		{"GET", "/get_broker/999", ``, 404, "BROKER_ID_NOT_REGISTERED"},
		{"GET", "/get_topic/none", ``, 404, "UNKNOWN_TOPIC_OR_PARTITION"},
		{"GET", "/get_partitions?topic=none", ``, 404, "UNKNOWN_TOPIC_OR_PARTITION"},
		{"GET", "/broker_mgmt/9223372036854775807", ``, 200, ""},
		{"GET", "/client_mgmt/9223372036854775807", ``, 200, ""},
		{"GET", "/broker_mgmt/9223372036854775808", ``, 400, "INVALID_REQUEST"},
	} {
		a, err := ask(t.Context(), nil, test.method, "http://"+y.Addr+test.path, test.body)
		if err != nil {
			t.Fatalf("%s %s: %v", test.method, test.path, err)
		}
		var p struct{ Error string }
		if err := json.Unmarshal(a.Body, &p); err != nil || a.Status != test.status || p.Error != test.name {
			t.Errorf("%s %s %.80s: %d %s, want %d %s", test.method, test.path, test.body, a.Status, a.Body, test.status, test.name)
		}
	}
	if after := y.MustMetadata(t); after.Offset != before.Offset {
		t.Errorf("the offset was %d and is %d", before.Offset, after.Offset)
	}
}

func TestReadOnlyNode(t *testing.T) {
	y := harness.StartYakt(t, "--http", "read")
	for path, status := range map[string]int{"/get_all_brokers": 200, "/broker_mgmt/0": 200, "/get_topic/t": 404} {
		if a, err := ask(t.Context(), nil, "GET", "http://"+y.Addr+path, ""); err != nil || a.Status != status {
			t.Errorf("%s: %v %v", path, a, err)
		}
	}
	a, err := ask(t.Context(), nil, "POST", "http://"+y.Addr+"/register_broker", `{"brokerId":101,"brokerHost":"h","brokerPort":1}`)
	if err != nil || a.Status != 403 || a.Type != "application/problem+json" {
		t.Errorf("%v %v", a, err)
	}
}

func TestNodeWithoutHTTP(t *testing.T) {
	addr := harness.FreeAddr(t)
	p := harness.StartServer(t, "-a", addr, "-d", t.TempDir(), "--http", "off")
	client, ctx := admin(t, &harness.Yakt{Addr: addr})
	harness.Eventually(t, webTimeout, "Kafka's protocol served", func() error {
		_, err := client.Metadata(ctx)
		return err
	})
	if a, err := ask(t.Context(), nil, "GET", "http://"+addr+"/livez", ""); err == nil {
		t.Errorf("it answers %v", a)
	}
	if strings.Contains(p.Output().String(), "curl") {
		t.Errorf("it tells how to use what is not there:\n%s", p.Output())
	}
	if err := p.Stop(webTimeout); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, p.Output())
	}
}

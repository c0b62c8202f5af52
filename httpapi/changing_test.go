package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
	"yakt/controller/plan"
	"yakt/records"
)

// send makes a request of a browserless client.
func send(s http.Handler, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

// serverOf is a server on a controller.
func serverOf(c Controller) *Server {
	return testServer(func(config *Config) { config.Controller = c })
}

// checkJSON compares an answer with what it should be, spaces aside.
func checkJSON(t *testing.T, w *httptest.ResponseRecorder, status int, want string) {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("status %d, %q, want %d", w.Code, w.Header().Get("Content-Type"), status)
	}
	var got, wanted any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("answer %s, want %s", w.Body, want)
	}
}

func pointer[T any](v T) *T { return &v }

// TestChangesAskTheController sends a body with every field and one with none that may be left out, and looks at what the
// controller is asked and what is made of its answer.
func TestChangesAskTheController(t *testing.T) {
	answer := plan.HandAnswer{BrokerEpoch: 7, Offset: 12, TopicID: id(5), PartitionID: 3, ProducerIDStart: 4000, ProducerIDLength: 1000}
	for name, test := range map[string]struct {
		method, path, body string
		asked              any
		status             int
		answer             string
	}{
		"register a broker": {
			"POST", "/register_broker", `{"brokerId":101,"brokerHost":"h","brokerPort":9092,"securityProtocol":"SASL_SSL","rackId":"r"}`,
			plan.HandRegistration{BrokerID: 101, Host: "h", Port: 9092, SecurityProtocol: 3, Rack: text("r")},
			200, `{"brokerId":101,"brokerEpoch":7,"offset":12}`,
		},
		"register a broker, numbered protocol": {
			"POST", "/register_broker", `{"brokerId":101,"brokerHost":"h","brokerPort":9092,"securityProtocol":1,"rackId":null}`,
			plan.HandRegistration{BrokerID: 101, Host: "h", Port: 9092, SecurityProtocol: 1},
			200, `{"brokerId":101,"brokerEpoch":7,"offset":12}`,
		},
		"register a broker in few words": {
			"POST", "/register_broker", `{"brokerId":101,"brokerHost":"h","brokerPort":9092}`,
			plan.HandRegistration{BrokerID: 101, Host: "h", Port: 9092},
			200, `{"brokerId":101,"brokerEpoch":7,"offset":12}`,
		},
		"delete a broker":                {"PUT", "/delete_broker/101", ``, int32(101), 200, `{"brokerId":101,"offset":12}`},
		"delete a broker, empty object":  {"PUT", "/delete_broker/101", ` {} `, int32(101), 200, `{"brokerId":101,"offset":12}`},
		"delete a broker, escaped digit": {"PUT", "/delete_broker/%31%301", ``, int32(101), 200, `{"brokerId":101,"offset":12}`},
		"change a registration": {
			"PUT", "/broker_registration_change", `{"brokerId":101,"fenced":true,"inControlledShutdown":false,"logDirs":["EAAAAAAAAAAAAAAAAAAABA"]}`,
			plan.RegistrationChange{BrokerID: 101, Fenced: pointer(true), InControlledShutdown: pointer(false), LogDirs: []records.UUID{id(4)}},
			200, `{"brokerId":101,"brokerEpoch":7,"offset":12}`,
		},
		"change nothing of a registration": {
			"PUT", "/broker_registration_change", `{"brokerId":101}`,
			plan.RegistrationChange{BrokerID: 101},
			200, `{"brokerId":101,"brokerEpoch":7,"offset":12}`,
		},
		"create a partition by name": {
			"POST", "/create_partition", `{"topicName":"t","partitionId":3,"replicas":[2,1]}`,
			plan.NewPartition{TopicName: "t", PartitionID: pointer(int32(3)), Replicas: []int32{2, 1}},
			201, `{"topicId":"EAAAAAAAAAAAAAAAAAAABQ","partitionId":3,"offset":12}`,
		},
		"create a partition by id": {
			"POST", "/create_partition", `{"topicId":"EAAAAAAAAAAAAAAAAAAABQ"}`,
			plan.NewPartition{TopicID: id(5)},
			201, `{"topicId":"EAAAAAAAAAAAAAAAAAAABQ","partitionId":3,"offset":12}`,
		},
		"create a partition without replicas, said so": {
			"POST", "/create_partition", `{"topicName":"t","replicas":[]}`,
			plan.NewPartition{TopicName: "t", Replicas: []int32{}},
			201, `{"topicId":"EAAAAAAAAAAAAAAAAAAABQ","partitionId":3,"offset":12}`,
		},
		"register a producer": {
			"POST", "/register_producer/101", ``, int32(101),
			200, `{"brokerId":101,"producerIdStart":4000,"producerIdLen":1000,"offset":12}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeController{answer: answer}
			w := send(serverOf(fake), test.method, test.path, test.body)
			checkJSON(t, w, test.status, test.answer)
			if !reflect.DeepEqual(fake.asked, test.asked) {
				t.Errorf("asked %+v, want %+v", fake.asked, test.asked)
			}
			want := controller.Caller{Principal: "User:ANONYMOUS", Host: "192.0.2.1", Listener: "HTTP"}
			if fake.from != want {
				t.Errorf("asked by %+v, want %+v", fake.from, want)
			}
		})
	}
}

func TestCreateTopicIsKafkasRequest(t *testing.T) {
	fake := &fakeController{image: fullImage(), created: kmsg.CreateTopicsResponseTopic{Topic: "t", TopicID: id(5), NumPartitions: 3, ReplicationFactor: 2}}
	w := send(serverOf(fake), "POST", "/create_topic", `{"name":"t","numPartitions":3,"replicationFactor":2,"configs":{"b":"2","a":"1"}}`)
	checkJSON(t, w, 201, `{"name":"t","topicId":"EAAAAAAAAAAAAAAAAAAABQ","numPartitions":3,"replicationFactor":2,"offset":17}`)
	req := fake.asked.(*kmsg.CreateTopicsRequest)
	topic := req.Topics[0]
	if req.Version != 7 || len(req.Topics) != 1 || req.ValidateOnly || topic.Topic != "t" || topic.NumPartitions != 3 || topic.ReplicationFactor != 2 {
		t.Errorf("asked %+v", req)
	}
	if c := topic.Configs; len(c) != 2 || c[0].Name != "a" || *c[0].Value != "1" || c[1].Name != "b" {
		t.Errorf("configs %+v", c)
	}
	send(serverOf(fake), "POST", "/create_topic", `{"name":"t"}`)
	if topic := fake.asked.(*kmsg.CreateTopicsRequest).Topics[0]; topic.NumPartitions != -1 || topic.ReplicationFactor != -1 || topic.Configs != nil {
		t.Errorf("what is left out became %+v", topic)
	}
}

// changing lists one request for every route that changes something.
var changing = []struct{ method, path, body string }{
	{"POST", "/register_broker", `{"brokerId":101,"brokerHost":"h","brokerPort":9092}`},
	{"PUT", "/delete_broker/101", ``},
	{"PUT", "/broker_registration_change", `{"brokerId":101,"fenced":true}`},
	{"POST", "/create_topic", `{"name":"t"}`},
	{"POST", "/create_partition", `{"topicName":"t"}`},
	{"POST", "/register_producer/101", ``},
}

func TestRefusalsAreProblemsWithKafkasName(t *testing.T) {
	for _, route := range changing {
		fake := &fakeController{
			answer:  plan.HandAnswer{Refusal: &plan.Refusal{Err: kerr.DuplicateBrokerRegistration, Message: "What to do."}},
			created: kmsg.CreateTopicsResponseTopic{ErrorCode: kerr.DuplicateBrokerRegistration.Code, ErrorMessage: text("What to do.")},
		}
		w := send(serverOf(fake), route.method, route.path, route.body)
		if detail := checkProblem(t, w, 409); detail != "What to do." {
			t.Errorf("%s: detail %q", route.path, detail)
		}
		if !strings.Contains(w.Body.String(), `"error":"DUPLICATE_BROKER_REGISTRATION"`) {
			t.Errorf("%s: %s", route.path, w.Body)
		}
	}
}

func TestWithoutAMessageTheErrorsOwnDescriptionServes(t *testing.T) {
	fake := &fakeController{created: kmsg.CreateTopicsResponseTopic{ErrorCode: kerr.InvalidPartitions.Code}}
	w := send(serverOf(fake), "POST", "/create_topic", `{"name":"t"}`)
	if detail := checkProblem(t, w, 400); detail != kerr.InvalidPartitions.Description {
		t.Errorf("detail %q", detail)
	}
}

func TestLostLeadershipIsNoSuccessAndNoFailure(t *testing.T) {
	for _, route := range changing {
		fake := &fakeController{
			answer:  plan.HandAnswer{Refusal: &plan.Refusal{Err: kerr.NotController, Message: "Ask for metadata."}},
			created: kmsg.CreateTopicsResponseTopic{ErrorCode: kerr.NotController.Code},
		}
		w := send(serverOf(fake), route.method, route.path, route.body)
		if detail := checkProblem(t, w, 504); !strings.Contains(detail, "not known") || w.Header().Get("Retry-After") != "" {
			t.Errorf("%s: %q, %v", route.path, detail, w.Header())
		}
	}
}

func TestNoAnswerInTime(t *testing.T) {
	for _, route := range changing {
		s := testServer(func(c *Config) {
			c.Controller = &fakeController{block: true}
			c.AnswerTimeout = time.Millisecond
		})
		w := send(s, route.method, route.path, route.body)
		if detail := checkProblem(t, w, 504); !strings.Contains(detail, "not known") || !strings.Contains(w.Body.String(), "REQUEST_TIMED_OUT") {
			t.Errorf("%s: %s", route.path, w.Body)
		}
	}
}

func TestReadOnlyNodeChangesNothing(t *testing.T) {
	for _, route := range changing {
		fake := new(fakeController)
		s := testServer(func(c *Config) { c.Controller, c.ReadOnly = fake, true })
		if detail := checkProblem(t, send(s, route.method, route.path, route.body), 403); !strings.Contains(detail, "--http=read") {
			t.Errorf("%s: %q", route.path, detail)
		}
		if fake.asked != nil {
			t.Errorf("%s asked %+v all the same", route.path, fake.asked)
		}
	}
	s := testServer(func(c *Config) { c.ReadOnly = true })
	if w := get(s, "GET", "/get_metadata"); w.Code != 200 {
		t.Errorf("/get_metadata answered %d", w.Code)
	}
}

// TestPagesFromElsewhereChangeNothing is what a browser would send for them.
func TestPagesFromElsewhereChangeNothing(t *testing.T) {
	for name, test := range map[string]struct {
		header, value string
		status        int
	}{
		"a page from elsewhere":                   {"Sec-Fetch-Site", "cross-site", 403},
		"an old browser's page":                   {"Origin", "http://elsewhere.example", 403},
		"a page of this server, as browsers say":  {"Sec-Fetch-Site", "same-origin", 200},
		"a page of this server, with its address": {"Origin", "http://example.com", 200},
	} {
		fake := new(fakeController)
		r := httptest.NewRequest("PUT", "/delete_broker/101", nil)
		r.Header.Set(test.header, test.value)
		w := httptest.NewRecorder()
		serverOf(fake).ServeHTTP(w, r)
		if w.Code != test.status || (fake.asked != nil) != (test.status == 200) {
			t.Errorf("%s: %d %s, asked %v", name, w.Code, w.Body, fake.asked)
		}
	}
}

// TestEveryErrorOfKafkasHasAStatus keeps new errors from becoming 500s: those say that this program is broken.
func TestEveryErrorOfKafkasHasAStatus(t *testing.T) {
	for code := int16(1); code < 200; code++ {
		e := kerr.TypedErrorForCode(code)
		if e == kerr.UnknownServerError {
			continue
		}
		if s := status(e); s < 400 || s == 500 || s > 599 {
			t.Errorf("%s has status %d", e.Message, s)
		}
	}
	for e, want := range map[*kerr.Error]int{
		kerr.TopicAlreadyExists: 409, kerr.UnknownTopicOrPartition: 404, kerr.BrokerIDNotRegistered: 404, kerr.InvalidPartitions: 400,
		kerr.InvalidConfig: 400, kerr.NotController: 504, kerr.BrokerNotAvailable: 409, kerr.RequestTimedOut: 503, kerr.PolicyViolation: 400, kerr.InvalidRequest: 400,
	} {
		if got := status(e); got != want {
			t.Errorf("%s has status %d, want %d", e.Message, got, want)
		}
	}
}

package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestWrongInputIsRefusedWithAReason sends each route what it does not take. The controller is never asked.
func TestWrongInputIsRefusedWithAReason(t *testing.T) {
	for _, test := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/register_broker", ``, 400, "There is no body"},
		{"POST", "/register_broker", ` `, 400, "There is no body"},
		{"POST", "/register_broker", `{}`, 400, "brokerId is missing"},
		{"POST", "/register_broker", `{"brokerId":101,"brokerPort":9092}`, 400, "brokerHost is missing"},
		{"POST", "/register_broker", `{"brokerId":101,"brokerHost":"h"}`, 400, "brokerPort is missing"},
		{"POST", "/register_broker", `{"brokerId":null,"brokerHost":"h","brokerPort":1}`, 400, "brokerId must be a whole number"},
		{"POST", "/register_broker", `{"brokerId":"101","brokerHost":"h","brokerPort":1}`, 400, `brokerId must be a whole number of 32 bits, not "101"`},
		{"POST", "/register_broker", `{"brokerId":1.5,"brokerHost":"h","brokerPort":1}`, 400, "not 1.5"},
		{"POST", "/register_broker", `{"brokerId":2147483648,"brokerHost":"h","brokerPort":1}`, 400, "32 bits"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":7,"brokerPort":1}`, 400, "brokerHost must be a text"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":65536}`, 400, "0 to 65535"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":-1}`, 400, "0 to 65535"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1,"securityProtocol":"TLS"}`, 400, "SASL_SSL"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1,"securityProtocol":"0"}`, 400, "SASL_SSL"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1,"securityProtocol":4}`, 400, "SASL_SSL"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1,"securityProtocol":-1}`, 400, "SASL_SSL"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1,"securityProtocol":1.0}`, 400, "SASL_SSL"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1,"securityProtocol":""}`, 400, "SASL_SSL"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1,"rackId":["a"]}`, 400, `rackId must be a text, not ["a"]`},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1,"rack":"a"}`, 400, `no field "rack"`},
		{"POST", "/register_broker", `{"BrokerID":1,"brokerHost":"h","brokerPort":1}`, 400, `no field "BrokerID"`},
		{"POST", "/register_broker", `{"brokerId":1,"brokerId":2,"brokerHost":"h","brokerPort":1}`, 400, "brokerId is there twice"},
		{"POST", "/register_broker", `[{"brokerId":1,"brokerHost":"h","brokerPort":1}]`, 400, "must be a JSON object"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1`, 400, "is not JSON"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"h","brokerPort":1} {}`, 400, "is not JSON"},
		{"POST", "/register_broker", `{"brokerId":1,"brokerHost":"` + "\xff" + `","brokerPort":1}`, 400, "UTF-8"},
		{"POST", "/register_broker?force=1", `{"brokerId":1,"brokerHost":"h","brokerPort":1}`, 400, `no parameter "force"`},
		{"GET", "/register_broker", ``, 405, "takes POST"},

		{"PUT", "/delete_broker/x", ``, 400, `"x" is no broker id`},
		{"PUT", "/delete_broker/-1", ``, 400, "no broker id"},
		{"PUT", "/delete_broker/2147483648", ``, 400, "no broker id"},
		{"PUT", "/delete_broker/1", `{"really":true}`, 400, "takes none"},
		{"PUT", "/delete_broker/", ``, 404, "nothing at"},
		{"POST", "/delete_broker/1", ``, 405, "takes PUT"},

		{"PUT", "/broker_registration_change", `{"fenced":true}`, 400, "brokerId is missing"},
		{"PUT", "/broker_registration_change", `{"brokerId":1,"fenced":1}`, 400, "fenced must be true or false"},
		{"PUT", "/broker_registration_change", `{"brokerId":1,"fenced":"true"}`, 400, "fenced must be true or false"},
		{"PUT", "/broker_registration_change", `{"brokerId":1,"logDirs":"x"}`, 400, "list of directory ids"},
		{"PUT", "/broker_registration_change", `{"brokerId":1,"logDirs":["x"]}`, 400, "list of directory ids"},
		{"PUT", "/broker_registration_change", `{"brokerId":1,"logDirs":[null]}`, 400, "list of directory ids"},
		{"PUT", "/broker_registration_change", `{"brokerId":1,"unfenced":true}`, 400, `no field "unfenced"`},
		{"POST", "/broker_registration_change", `{"brokerId":1}`, 405, "takes PUT"},

		{"POST", "/create_topic", `{"numPartitions":1}`, 400, "name is missing"},
		{"POST", "/create_topic", `{"name":"t","numPartitions":"3"}`, 400, "numPartitions must be a whole number"},
		{"POST", "/create_topic", `{"name":"t","replicationFactor":32768}`, 400, "16 bits"},
		{"POST", "/create_topic", `{"name":"t","configs":[]}`, 400, "an object whose values are texts"},
		{"POST", "/create_topic", `{"name":"t","configs":{"retention.ms":1000}}`, 400, "an object whose values are texts"},
		{"POST", "/create_topic", `{"name":"t","configs":{"a":null}}`, 400, "an object whose values are texts"},
		{"POST", "/create_topic", `{"name":"t","configs":{"a":"1","a":"2"}}`, 400, "each name once"},
		{"POST", "/create_topic", `{"name":"t","partitions":1}`, 400, `no field "partitions": this route takes name, numPartitions, replicationFactor, configs`},
		{"PUT", "/create_topic", `{"name":"t"}`, 405, "takes POST"},

		{"POST", "/create_partition", `{"topicName":7}`, 400, "topicName must be a text"},
		{"POST", "/create_partition", `{"topicId":"short"}`, 400, "22 characters"},
		{"POST", "/create_partition", `{"topicName":"t","topicId":"AAAAAAAAAAAAAAAAAAAAAA"}`, 400, "topicId is zero"},
		{"POST", "/create_partition", `{"topicName":"t","partitionId":"1"}`, 400, "partitionId must be a whole number"},
		{"POST", "/create_partition", `{"topicName":"t","replicas":101}`, 400, "list of broker ids"},
		{"POST", "/create_partition", `{"topicName":"t","replicas":[101,null]}`, 400, "list of broker ids"},
		{"POST", "/create_partition", `{"topicName":"t","isr":[101]}`, 400, `no field "isr"`},
		{"DELETE", "/create_partition", ``, 405, "takes POST"},

		{"POST", "/register_producer/one", ``, 400, "no broker id"},
		{"POST", "/register_producer/1", `{"length":5000}`, 400, "takes none"},
		{"GET", "/register_producer/1", ``, 405, "takes POST"},

		{"GET", "/get_metadata?verbose", ``, 400, `no parameter "verbose"`},
		{"GET", "/get_metadata?a=%zz", ``, 400, "question mark"},
		{"GET", "/get_metadata", `{"at":1}`, 400, "takes none"},
		{"POST", "/get_metadata", ``, 405, "takes GET"},
		{"POST", "/get_all_brokers", ``, 405, "takes GET"},
		{"GET", "/get_broker/x", ``, 400, "no broker id"},
		{"GET", "/get_broker/5", ``, 404, "No broker 5"},
		{"GET", "/get_broker/1/2", ``, 404, "nothing at"},
		{"GET", "/get_topic/none", ``, 404, `no topic "none"`},
		{"GET", "/get_topic/%22", ``, 404, `no topic`},
		{"GET", "/get_partitions?topic=none", ``, 404, `no topic "none"`},
		{"GET", "/get_partitions?topic=", ``, 404, `no topic ""`},
		{"GET", "/get_partitions?topic=a&topic=b", ``, 400, "twice"},
		{"GET", "/get_partitions?topics=a", ``, 400, `no parameter "topics"`},
		{"POST", "/get_producer_ids", ``, 405, "takes GET"},
		{"GET", "/broker_mgmt/yesterday", ``, 400, "no timestamp"},
		{"GET", "/broker_mgmt/-5", ``, 400, "no timestamp"},
		{"GET", "/broker_mgmt/99999999999999999999", ``, 400, "no timestamp"},
		{"GET", "/broker_mgmt/1969-12-31T23:59:59Z", ``, 400, "no timestamp"},
		{"GET", "/broker_mgmt/", ``, 404, "nothing at"},
		{"GET", "/client_mgmt/2026-13-01T00:00:00Z", ``, 400, "no timestamp"},
		{"GET", "/client_mgmt/0?limit=0", ``, 400, "from 1 to 10000"},
		{"GET", "/client_mgmt/0?limit=10001", ``, 400, "from 1 to 10000"},
		{"GET", "/client_mgmt/0?limit=all", ``, 400, "from 1 to 10000"},
		{"PUT", "/client_mgmt/0", ``, 405, "takes GET"},
	} {
		t.Run(fmt.Sprintf("%s %s %.40q", test.method, test.path, test.body), func(t *testing.T) {
			fake := new(fakeController)
			w := send(serverOf(fake), test.method, test.path, test.body)
			if detail := checkProblem(t, w, test.status); !strings.Contains(detail, test.says) {
				t.Errorf("it says %q, and nothing of %q", detail, test.says)
			}
			if fake.asked != nil {
				t.Errorf("the controller was asked %+v", fake.asked)
			}
		})
	}
}

// routes lists one path for each route and its method.
var routes = []struct{ method, path string }{
	{"GET", "/get_metadata"}, {"GET", "/get_all_brokers"}, {"GET", "/get_broker/1"}, {"GET", "/get_topic/t"}, {"GET", "/get_partitions"},
	{"GET", "/get_producer_ids"}, {"GET", "/broker_mgmt/0"}, {"GET", "/client_mgmt/0"},
	{"POST", "/register_broker"}, {"PUT", "/delete_broker/1"}, {"PUT", "/broker_registration_change"}, {"POST", "/create_topic"},
	{"POST", "/create_partition"}, {"POST", "/register_producer/1"},
}

func TestBodiesHaveABound(t *testing.T) {
	for _, route := range routes {
		for name, body := range map[string]string{
			"one long text": `{"name":"` + strings.Repeat("x", 2<<20) + `"}`,
			"blanks":        strings.Repeat(" ", 2<<20),
			"nested":        strings.Repeat(`{"configs":`, 2<<20/11),
		} {
			fake := new(fakeController)
			w := send(serverOf(fake), route.method, route.path, body)
			if checkProblem(t, w, 413); fake.asked != nil {
				t.Errorf("%s, %s: the controller was asked %+v", route.path, name, fake.asked)
			}
		}
		// A body within the bound, nested so deeply that a careless reader overflows its stack.
		if w := send(testServer(nil), route.method, route.path, strings.Repeat("[", 1<<20)); w.Code != 400 {
			t.Errorf("%s answered brackets with %d", route.path, w.Code)
		}
	}
}

// dialTo sends the beginning of a request.
func dialTo(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestSlowBodyIsCutOff(t *testing.T) {
	addr := serving(t, testServer(func(c *Config) { c.HeaderTimeout, c.BodyTimeout = 20*time.Millisecond, time.Millisecond }))
	for _, route := range routes {
		conn := dialTo(t, addr, route.method+" "+route.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{\"brok")
		r := bufio.NewReader(conn)
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%s: %v", route.path, err)
		}
		var p problem
		if err := json.NewDecoder(response.Body).Decode(&p); err != nil || p.Status != 408 || response.StatusCode != 408 {
			t.Errorf("%s: %d %+v %v", route.path, response.StatusCode, p, err)
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("%s: the connection is still open: %v", route.path, err)
		}
	}
}

func TestEndlessBodyIsCutOff(t *testing.T) {
	addr := serving(t, testServer(nil))
	conn := dialTo(t, addr, "POST /create_topic HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	go func() { // fails when the server has had enough
		chunk := "10000\r\n" + strings.Repeat(" ", 1<<16) + "\r\n"
		for {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 413 || !response.Close {
		t.Errorf("status %d, closing: %v", response.StatusCode, response.Close)
	}
}

// TestSlowCommitIsWaitedFor lets an answer take longer than a request may take to arrive: that bound is for clients.
func TestSlowCommitIsWaitedFor(t *testing.T) {
	const answerTimeout = 300 * time.Millisecond
	addr := serving(t, testServer(func(c *Config) {
		c.Controller = &fakeController{block: true}
		c.HeaderTimeout, c.BodyTimeout, c.AnswerTimeout = 50*time.Millisecond, time.Millisecond, answerTimeout
	}))
	for _, route := range changing {
		conn := dialTo(t, addr, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", route.method, route.path, len(route.body), route.body))
		began := time.Now()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if waited := time.Since(began); response.StatusCode != 504 || waited < answerTimeout-20*time.Millisecond {
			t.Errorf("%s: status %d after %v", route.path, response.StatusCode, waited)
		}
	}
}

package httpapi

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

// votersAt is the image of a quorum whose nodes 1, 2, … are at these addresses.
func votersAt(t *testing.T, addrs ...string) *image.Image {
	t.Helper()
	set := new(records.KRaftVoters)
	for i, addr := range addrs {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		set.Voters = append(set.Voters, records.Voter{
			ID: int32(i + 1), DirectoryID: id(byte(i + 1)), MaxKRaft: 1, Endpoints: []records.VoterEndpoint{{Name: "CONTROLLER", Host: host, Port: uint16(n)}},
		})
	}
	e := new(image.Image).Edit()
	e.ReplayControl(&records.KRaftVersion{Version: 1}, 0)
	e.ReplayControl(set, 1)
	return e.Image()
}

// node runs a server of a quorum. Its controller is set before the first request.
func node(t *testing.T, nodeID int32, c *fakeController) (addr string) {
	t.Helper()
	return serving(t, testServer(func(config *Config) { config.NodeID, config.Controller = nodeID, c }))
}

// request sends one request without keeping the connection.
func request(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func TestFollowerForwardsChangesToTheLeader(t *testing.T) {
	leader := &fakeController{answer: plan.HandAnswer{BrokerEpoch: 7, Offset: 12}}
	leaderAddr := node(t, 1, leader)
	follower := &fakeController{standby: true, leader: 1, image: votersAt(t, leaderAddr, "127.0.0.1:1")}
	followerAddr := node(t, 2, follower)

	response, body := request(t, "POST", "http://"+followerAddr+"/register_broker", `{"brokerId":101,"brokerHost":"h","brokerPort":9092}`,
		"User-Agent", "somebody", "Origin", "http://"+followerAddr)
	if want := `{"brokerId":101,"brokerEpoch":7,"offset":12}` + "\n"; response.StatusCode != 200 || body != want {
		t.Errorf("answer %d %s", response.StatusCode, body)
	}
	if want := (plan.HandRegistration{BrokerID: 101, Host: "h", Port: 9092}); leader.asked != want {
		t.Errorf("the leader was asked %+v", leader.asked)
	}
	if leader.from.ClientID != "somebody" {
		t.Errorf("asked by %+v", leader.from)
	}
	if follower.until != 12 {
		t.Errorf("answered when the follower had offset %d", follower.until)
	}
	response, body = request(t, "PUT", "http://"+followerAddr+"/delete_broker/%31%30%31", "")
	if response.StatusCode != 200 || leader.asked != int32(101) {
		t.Errorf("answer %d %s, asked %v", response.StatusCode, body, leader.asked)
	}
	if follower.asked != nil {
		t.Errorf("the follower's controller was asked %+v", follower.asked)
	}
	// What is wrong with a request the leader says.
	if response, body = request(t, "POST", "http://"+followerAddr+"/create_topic", `{"nam":"t"}`); response.StatusCode != 400 || !strings.Contains(body, `no field`) {
		t.Errorf("answer %d %s", response.StatusCode, body)
	}
	if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	// Reads stay.
	if response, _ = request(t, "GET", "http://"+followerAddr+"/broker_mgmt/0", ""); response.StatusCode != 200 || follower.asked == nil {
		t.Errorf("answer %d, asked %v", response.StatusCode, follower.asked)
	}
}

// TestTwoFollowersDoNotSendARequestAround: each takes the other for the leader.
func TestTwoFollowersDoNotSendARequestAround(t *testing.T) {
	one, two := &fakeController{standby: true, leader: 2}, &fakeController{standby: true, leader: 1}
	addr1, addr2 := node(t, 1, one), node(t, 2, two)
	one.image, two.image = votersAt(t, addr1, addr2), votersAt(t, addr1, addr2)
	response, body := request(t, "POST", "http://"+addr1+"/register_producer/101", "")
	if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || !strings.Contains(body, "The leader has just changed.") {
		t.Errorf("answer %d %v %s", response.StatusCode, response.Header, body)
	}
}

func TestWithoutALeaderNothingIsChanged(t *testing.T) {
	for name, test := range map[string]struct {
		controller fakeController
		says       string
	}{
		"no leader":           {fakeController{leader: -1}, "No leader is known"},
		"about to lead":       {fakeController{leader: 2}, "taking over"},
		"leader without name": {fakeController{leader: 1}, "address is not known"},
		"leader not a voter":  {fakeController{leader: 9, image: votersAt(t, "127.0.0.1:1")}, "address is not known"},
		"leader gone":         {fakeController{leader: 1, image: votersAt(t, closedAddr(t))}, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			test.controller.standby = true
			s := testServer(func(c *Config) { c.NodeID, c.Controller = 2, &test.controller })
			for _, route := range changing {
				w := send(s, route.method, route.path, route.body)
				detail := checkProblem(t, w, 503)
				if !strings.Contains(detail, test.says) || !strings.Contains(detail, "Nothing was changed") || w.Header().Get("Retry-After") == "" {
					t.Errorf("%s: %q, %v", route.path, detail, w.Header())
				}
			}
		})
	}
}

// closedAddr is an address where nobody listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestLeaderThatDiesLeavesTheOutcomeOpen: the request has been sent, and nobody says what became of it.
func TestLeaderThatDiesLeavesTheOutcomeOpen(t *testing.T) {
	leader := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer leader.Close()
	at, err := url.Parse(leader.URL)
	if err != nil {
		t.Fatal(err)
	}
	closesAtOnce, err := net.Listen("tcp", "127.0.0.1:0") // as a node with --http=off does
	if err != nil {
		t.Fatal(err)
	}
	defer closesAtOnce.Close()
	go func() {
		for {
			conn, err := closesAtOnce.Accept()
			if err != nil {
				return
			}
			io.ReadFull(conn, make([]byte, 8))
			conn.Close()
		}
	}()
	for _, addr := range []string{at.Host, closesAtOnce.Addr().String()} {
		s := testServer(func(c *Config) {
			c.NodeID, c.Controller = 2, &fakeController{standby: true, leader: 1, image: votersAt(t, addr)}
		})
		w := send(s, "POST", "/register_producer/101", "")
		detail := checkProblem(t, w, 504)
		for _, says := range []string{"Node 1, which leads, closed the connection", "--http=off", "not known"} {
			if !strings.Contains(detail, says) {
				t.Errorf("detail %q", detail)
			}
		}
	}
}

func TestWhoRefusesChangesIsNamed(t *testing.T) {
	leaderAddr := serving(t, testServer(func(c *Config) { c.ReadOnly = true }))
	s := testServer(func(c *Config) {
		c.NodeID, c.Controller = 2, &fakeController{standby: true, leader: 1, image: votersAt(t, leaderAddr)}
	})
	w := send(s, "POST", "/register_producer/101", "")
	if detail := checkProblem(t, w, 403); !strings.Contains(detail, "Node 1 leads and was started with --http=read") {
		t.Errorf("detail %q", detail)
	}
}

func TestSilentLeaderIsNotWaitedForForEver(t *testing.T) {
	leaderAddr := node(t, 1, &fakeController{block: true})
	s := testServer(func(c *Config) {
		c.NodeID, c.AnswerTimeout = 2, 20*time.Millisecond
		c.Controller = &fakeController{standby: true, leader: 1, image: votersAt(t, leaderAddr)}
	})
	w := send(s, "POST", "/register_producer/101", "")
	if detail := checkProblem(t, w, 504); !strings.Contains(detail, "not known") {
		t.Errorf("detail %q", detail)
	}
}

// TestWhatIsMadeIsToldByANodeThatStaysBehind: the change is made, whether this node ever hears of it or not.
func TestWhatIsMadeIsToldByANodeThatStaysBehind(t *testing.T) {
	leaderAddr := node(t, 1, &fakeController{answer: plan.HandAnswer{Offset: 12}})
	follower := &fakeController{standby: true, leader: 1, behind: true, image: votersAt(t, leaderAddr)}
	s := testServer(func(c *Config) { c.NodeID, c.Controller = 2, follower })
	w := send(s, "POST", "/register_producer/101", "")
	checkJSON(t, w, 200, `{"brokerId":101,"producerIdStart":0,"producerIdLen":0,"offset":12}`)
	if follower.until != 12 {
		t.Errorf("waited for offset %d", follower.until)
	}
}

func TestForwardedBodiesHaveABound(t *testing.T) {
	leader := new(fakeController)
	leaderAddr := node(t, 1, leader)
	follower := node(t, 2, &fakeController{standby: true, leader: 1, image: votersAt(t, leaderAddr)})
	response, body := request(t, "POST", "http://"+follower+"/create_topic", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`)
	var p problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || response.StatusCode != 413 || p.Status != 413 || leader.asked != nil {
		t.Errorf("answer %d %s %v, asked %v", response.StatusCode, body, err, leader.asked)
	}
}

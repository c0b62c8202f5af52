package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzRequests sends any body to any route with any last part of its path. Every answer is JSON, with a reason if it is
// no success, and none is a 500. The controller is asked at most once, and never after a body that is no JSON object.
func FuzzRequests(f *testing.F) {
	for i, route := range routes {
		f.Add(i, "1", "", `{"brokerId":101,"brokerHost":"h","brokerPort":9092,"securityProtocol":"SSL","rackId":null}`)
		f.Add(i, "1", "limit=5&topic=t", `{"name":"t","numPartitions":1,"replicationFactor":1,"configs":{"a":"1"}}`)
		f.Add(i, "2026-07-14T03:33:20Z", "", `{"topicName":"t","topicId":"EAAAAAAAAAAAAAAAAAAABQ","partitionId":1,"replicas":[1,2]}`)
		f.Add(i, route.path, "a=%", `{"brokerId":1,"fenced":true,"inControlledShutdown":true,"logDirs":["EAAAAAAAAAAAAAAAAAAABQ"]}`)
		f.Add(i, "%2e", "", "")
	}
	f.Fuzz(func(t *testing.T, route int, last, query, body string) {
		if route < 0 || route >= len(routes) {
			return
		}
		fake := &fakeController{image: fullImage(), created: kmsg.NewCreateTopicsResponseTopic()}
		r := httptest.NewRequest(routes[route].method, "/", strings.NewReader(body))
		r.URL.Path = routes[route].path
		if i := strings.LastIndex(r.URL.Path, "/"); i > 0 {
			r.URL.Path = r.URL.Path[:i+1] + last
		}
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		serverOf(fake).ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w.Code >= 300 {
			checkProblem(t, w, w.Code)
		}
		if w.Code >= 500 || w.Code < 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		object := strings.TrimSpace(body) == "" || json.Unmarshal([]byte(body), &map[string]any{}) == nil
		if fake.asked != nil && !object {
			t.Errorf("the controller was asked %+v after %q", fake.asked, body)
		}
	})
}

package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// exchange is one line of testdata/requests.jsonl: what a real Apache broker (or a probe) asked a real 4.3.0
// controller, and the answer.
type exchange struct {
	API         string `json:"api"`
	Key         int16  `json:"api_key"`
	Version     int16  `json:"api_version"`
	ClientID    string `json:"client_id"`
	Correlation int32  `json:"correlation_id"`
	Request     string `json:"request_hex"`
	Response    string `json:"response_hex"`
}

func exchanges(t testing.TB) (all []exchange) {
	t.Helper()
	b, err := os.ReadFile("testdata/requests.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
		var e exchange
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// The Handler gets what the broker sent and says what the controller said; the frames have to be the same.
func TestFramesAreThoseOfARealController(t *testing.T) {
	for _, e := range exchanges(t) {
		t.Run(e.API, func(t *testing.T) {
			resp := kmsg.ResponseForKey(e.Key)
			resp.SetVersion(e.Version)
			answer := unhex(t, e.Response)
			body := answer[8:]
			if resp.IsFlexible() && e.Key != 18 {
				body = body[1:]
			}
			if err := resp.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			resp.SetVersion(0) // the server knows better

			h := answers()
			h.handle = func(_ context.Context, from Caller, req kmsg.Request) (kmsg.Response, error) {
				again := kmsg.NewRequestFormatter(kmsg.FormatterClientID(from.ClientID)).AppendRequest(nil, req, e.Correlation)
				if !bytes.Equal(again, unhex(t, e.Request)) {
					t.Errorf("request has become %x,\nwant %s", again, e.Request)
				}
				if req.GetVersion() != e.Version || from.ClientID != e.ClientID || from.Listener != "CONTROLLER" || from.Principal != Anonymous {
					t.Errorf("version %d from %+v", req.GetVersion(), from)
				}
				return resp, nil
			}
			_, addr := start(t, Config{Handler: h})
			nc := dial(t, addr)
			send(t, nc, unhex(t, e.Request))
			if got := receiveFrame(t, nc); !bytes.Equal(got, answer) {
				t.Errorf("answer is %x,\nwant %x", got, answer)
			}
		})
	}
}

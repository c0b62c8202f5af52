package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestAskIsAnswered(t *testing.T) {
	h := answers()
	l := listen(t)
	h.handle = func(_ context.Context, from Caller, req kmsg.Request) (kmsg.Response, error) {
		if from.ClientID != "controller-2" {
			t.Errorf("client id %q", from.ClientID)
		}
		resp := emptyAnswer(req)
		switch r := resp.(type) {
		case *kmsg.BrokerHeartbeatResponse:
			r.IsFenced = true
		case *kmsg.CreateTopicsResponse:
			r.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: "a"}}
		}
		return resp, nil
	}
	s := NewServer(Config{Handler: h})
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, req := range []kmsg.Request{
		&kmsg.BrokerHeartbeatRequest{Version: 1},
		&kmsg.CreateTopicsRequest{Version: 2}, // not flexible
		&kmsg.ApiVersionsRequest{Version: 3},  // flexible, but for the answer's header
	} {
		resp, err := Ask(ctx, conn, "controller-2", req)
		if err != nil {
			t.Fatal(err)
		}
		ok := false
		switch r := resp.(type) {
		case *kmsg.BrokerHeartbeatResponse:
			ok = r.IsFenced
		case *kmsg.CreateTopicsResponse:
			ok = len(r.Topics) == 1 && r.Topics[0].Topic == "a"
		case *kmsg.ApiVersionsResponse:
			ok = len(r.ApiKeys) == len(testVersions)
		}
		if !ok {
			t.Errorf("%+v", resp)
		}
	}
	conn.Close()
	shutdown(t, s)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestAskTakesNoOtherAnswer(t *testing.T) {
	for name, c := range map[string]struct{ answer, says string }{
		"closed":            {"", "EOF"},
		"cut off":           {"\x00\x00\x00\x0c\x00\x00\x00\x01", "EOF"},
		"to something else": {"\x00\x00\x00\x0f\x00\x00\x00\x02\x00" + strings.Repeat("\x00", 10), "no answer"},
		"too short":         {"\x00\x00\x00\x01\x00", "no answer"},
		"too long":          {"\x7f\xff\xff\xff", "2147483647"},
		"tags without end":  {"\x00\x00\x00\x0f\x00\x00\x00\x01\xff\xff\xff\xff\x0f" + strings.Repeat("\x00", 6), "no answer"},
		"body cut off":      {"\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00", "BrokerHeartbeat to"},
		"body's tags":       {"\x00\x00\x00\x13\x00\x00\x00\x01\x00" + strings.Repeat("\x00", 9) + "\xff\xff\xff\xff\x0f", "ends early"}, // four billion
	} {
		t.Run(name, func(t *testing.T) {
			client, peer := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer peer.Close()
				length := make([]byte, 4)
				if _, err := io.ReadFull(peer, length); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(peer, make([]byte, length[3])); err != nil {
					t.Error(err)
				}
				peer.Write([]byte(c.answer)) // whoever has seen enough does not read all of it
			}()
			resp, err := Ask(t.Context(), client, "me", &kmsg.BrokerHeartbeatRequest{Version: 1})
			client.Close()
			<-done
			if err == nil || resp != nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("answer %v, error %v", resp, err)
			}
		})
	}
}

func TestAskWaitsNoLongerThanItsContext(t *testing.T) {
	client, peer := net.Pipe()
	defer client.Close()
	defer peer.Close()
	go io.Copy(io.Discard, peer)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Ask(ctx, client, "me", &kmsg.BrokerHeartbeatRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

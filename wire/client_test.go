package wire

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A client that somebody else wrote negotiates versions and finds a cluster of one.
func TestAFranzGoClientConnects(t *testing.T) {
	h := answers()
	l := listen(t)
	host, p, _ := net.SplitHostPort(l.Addr().String())
	port, _ := strconv.Atoi(p)
	h.handle = func(_ context.Context, from Caller, req kmsg.Request) (kmsg.Response, error) {
		resp := emptyAnswer(req)
		if m, ok := resp.(*kmsg.MetadataResponse); ok {
			if from.ClientID != "somebody" {
				t.Errorf("client id %q", from.ClientID)
			}
			broker := kmsg.NewMetadataResponseBroker()
			broker.NodeID, broker.Host, broker.Port = 7, host, int32(port)
			m.Brokers, m.ControllerID, m.ClusterID = append(m.Brokers, broker), 7, kmsg.StringPtr("cluster")
		}
		return resp, nil
	}
	s := NewServer(Config{Handler: h})
	served := make(chan error)
	go func() { served <- s.Serve(l) }()

	client, err := kgo.NewClient(kgo.SeedBrokers(l.Addr().String()), kgo.ClientID("somebody"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Version != 13 || len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 7 || *resp.ClusterID != "cluster" {
		t.Errorf("%+v", resp)
	}
	client.Close()
	shutdown(t, s)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

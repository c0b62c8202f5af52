package wire

import (
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions round trips over loopback, one at a time on each connection, as brokers do it.
func BenchmarkRoundTrip(b *testing.B) {
	for _, conns := range []int{1, 64} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			_, addr := start(b, Config{Handler: answers()})
			frame := request(kmsg.NewPtrApiVersionsRequest(), 4, 1)
			var wg sync.WaitGroup
			b.ReportAllocs()
			for i := range conns {
				nc := dial(b, addr)
				send(b, nc, frame)
				answer := make([]byte, len(receiveFrame(b, nc)))
				n := b.N / conns
				if i < b.N%conns {
					n++
				}
				wg.Go(func() {
					for range n {
						nc.Write(frame)
						if _, err := io.ReadFull(nc, answer); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// ApiVersions on one connection, as many as the server takes at a time.
func BenchmarkPipelined(b *testing.B) {
	_, addr := start(b, Config{Handler: answers()})
	nc := dial(b, addr)
	frame := request(kmsg.NewPtrApiVersionsRequest(), 4, 1)
	send(b, nc, frame)
	answer := make([]byte, len(receiveFrame(b, nc)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		var some []byte
		for range 16 {
			some = append(some, frame...)
		}
		for n := b.N; n > 0; n -= 16 {
			nc.Write(some[:min(n, 16)*len(frame)])
		}
	}()
	for range b.N {
		if _, err := io.ReadFull(nc, answer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWeigh(b *testing.B) {
	for name, req := range map[string]kmsg.Request{"heartbeat": kmsg.NewPtrBrokerHeartbeatRequest(), "1000 topics": create(1000)} {
		req.SetVersion(req.MaxVersion())
		body := req.AppendTo(nil)
		s := newVersions(testVersions).find(req.Key()).shape(req.MaxVersion())
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s.weigh(body, 1<<30)
			}
		})
	}
}

func BenchmarkNewServer(b *testing.B) {
	for b.Loop() {
		NewServer(Config{Handler: answers()})
	}
}

package perf

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// BenchmarkLargeTopic creates a topic that takes a metadata transaction, and says how long somebody else waits at most meanwhile.
func BenchmarkLargeTopic(b *testing.B) {
	y := harness.StartYakt(b)
	harness.RegisterForLarge(b, y)
	n := 0
	for b.Loop() {
		n++
		longest := waiting(b, y)
		if err := harness.CreateLarge(b.Context(), y.Addr, fmt.Sprint("large-", n)); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(longest().Milliseconds()), "ms-others-wait")
	}
}

// BenchmarkUnregister takes a broker out of 198,000 partitions in one operation. Run it once (-benchtime 1x).
func BenchmarkUnregister(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		y := harness.StartYakt(b)
		harness.RegisterForLarge(b, y)
		for i := range 20 {
			if err := harness.CreateWide(b.Context(), y.Addr, fmt.Sprint("wide-", i), 2); err != nil {
				b.Fatal(err)
			}
		}
		longest := waiting(b, y)
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, fmt.Sprintf("http://%s/delete_broker/200", y.Addr), http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%v, %v", resp, err)
		}
		resp.Body.Close()
		b.ReportMetric(float64(longest().Milliseconds()), "ms-others-wait")
		y.Kill()
	}
}

// waiting asks for a deletion of nothing over and over, which is answered when the writer comes to it, and returns what tells the
// longest time an answer took.
func waiting(b *testing.B, y *harness.Yakt) (longest func() time.Duration) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	conn, err := harness.DialKafka(ctx, y.Addr, "waiting")
	if err != nil {
		b.Fatal(err)
	}
	var most time.Duration
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer conn.Close()
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TopicNames = 5, []string{"nothing"}
		for ctx.Err() == nil {
			start := time.Now()
			if _, err := conn.Request(req); err != nil {
				b.Error(err)
				return
			}
			most = max(most, time.Since(start))
		}
	}()
	return func() time.Duration {
		cancel()
		<-ended
		return most
	}
}

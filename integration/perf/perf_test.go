// Package perf measures the built program from outside: how long it takes to be of use, and what it takes of memory.
// docs/performance.md has the figures.
package perf

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// BenchmarkFirstAnswer is the time from exec of the program on an empty directory to the first CreateTopics that the
// active controller has answered. Without a broker the answer is that there is none to place replicas on.
func BenchmarkFirstAnswer(b *testing.B) {
	binary := harness.Binary(b)
	for b.Loop() {
		b.StopTimer()
		addr, dir := harness.FreeAddr(b), filepath.Join(harness.TempDir(b), "yakt")
		cmd := exec.Command(binary, "server", "-a", addr, "-d", dir)
		b.StartTimer()
		process := harness.StartProcess(b, "yakt", cmd)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		for err := firstAnswer(ctx, addr); err != nil; err = firstAnswer(ctx, addr) {
			if ctx.Err() != nil {
				b.Fatalf("no answer: %v", err)
			}
			runtime.Gosched()
		}
		cancel()
		b.StopTimer()
		process.Kill()
		b.StartTimer()
	}
}

func firstAnswer(ctx context.Context, addr string) error {
	conn, err := harness.DialKafka(ctx, addr, "perf")
	if err != nil {
		return err
	}
	defer conn.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "first", 1, 1
	req.Topics = []kmsg.CreateTopicsRequestTopic{topic}
	resp, err := conn.Request(req)
	if err != nil {
		return err
	}
	if code := resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != kerr.InvalidReplicationFactor.Code {
		return kerr.ErrorForCode(code)
	}
	return nil
}

// BenchmarkResidentIdle is the memory of a node that has just become ready and has nothing to do.
func BenchmarkResidentIdle(b *testing.B) {
	for b.Loop() {
		y := harness.StartYakt(b)
		resident, err := y.Process().ResidentBytes()
		if err != nil {
			b.Skipf("the memory of a process cannot be read here: %v", err)
		}
		b.ReportMetric(float64(resident)/(1<<20), "MiB")
		y.Kill()
	}
}

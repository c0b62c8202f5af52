package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// BenchmarkCreateTopics creates topics of three partitions over TCP against a whole node on the disk of the temporary directory,
// one request at a time from each client. fsyncs/op tells how many creates share one write to the disk.
func BenchmarkCreateTopics(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run("clients="+strconv.Itoa(clients), func(b *testing.B) { benchmarkCreateTopics(b, clients) })
	}
}

func benchmarkCreateTopics(b *testing.B, clients int) {
	keepHeapFloor()
	n, addr := benchmarkNode(b)
	broker := harness.StartStandIn(b, &harness.Yakt{Addr: addr, ClusterID: n.log.ClusterID()}, 101)
	defer broker.Stop()
	harness.Eventually(b, 10*time.Second, "an unfenced broker", func() error {
		if known, ok := n.controller.Image().Broker(101); !ok || known.Fenced {
			return fmt.Errorf("broker 101 is not unfenced yet")
		}
		return nil
	})
	conns := make([]*harness.Conn, clients)
	for i := range conns {
		conn, err := harness.DialKafka(b.Context(), addr, "bench")
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	before := n.log.Metrics()
	var next atomic.Int64
	var running sync.WaitGroup
	b.ResetTimer()
	for _, conn := range conns {
		running.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := createTopic(conn, "topic-"+strconv.FormatInt(i, 10)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
	b.ReportMetric(float64(n.log.Metrics().Syncs-before.Syncs)/float64(b.N), "fsyncs/op")
}

func createTopic(conn *harness.Conn, name string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 3, 1
	req.Topics = []kmsg.CreateTopicsRequestTopic{topic}
	resp, err := conn.Request(req)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
}

// benchmarkNode runs a node until the benchmark ends and waits until it takes requests.
func benchmarkNode(b *testing.B) (*node, string) {
	n, addr := benchmarkNodeIn(b, b.TempDir())
	b.Cleanup(func() { stopNode(b, n) })
	return n, addr
}

// benchmarkNodeIn runs a node on a directory until stopNode.
func benchmarkNodeIn(b *testing.B, dir string) (*node, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := defaultSettings()
	s.Addr, s.DataDir = l.Addr().String(), dir
	n, err := startNode(b.Context(), s, l, s.Addr, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	harness.Eventually(b, time.Minute, "ready", n.ready)
	return n, s.Addr
}

func stopNode(b *testing.B, n *node) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := n.stop(ctx); err != nil {
		b.Error(err)
	}
}

package raftlog

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// BenchmarkAppend measures one writer that waits for each batch, on the real disk.
func BenchmarkAppend(b *testing.B) {
	n := openNode(b, nil, b.TempDir())
	n.lead()
	value := strings.Repeat("v", 200)
	before := n.Metrics()
	for b.Loop() {
		n.set("k", value)
	}
	report(b, n, before)
}

// BenchmarkAppend64 measures 64 callers that each wait for their own batch: what group commit makes of them.
func BenchmarkAppend64(b *testing.B) {
	n := openNode(b, nil, b.TempDir())
	n.lead()
	value := strings.Repeat("v", 200)
	before := n.Metrics()
	slots := make(chan struct{}, 64)
	var all sync.WaitGroup
	for b.Loop() {
		slots <- struct{}{}
		all.Add(1)
		n.Append(n.batch("k", value), nil, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-slots
			all.Done()
		})
	}
	all.Wait()
	report(b, n, before)
}

func report(b *testing.B, n *node, before Metrics) {
	after := n.Metrics()
	b.ReportMetric(float64(after.Syncs-before.Syncs)/float64(b.N), "syncs/op")
	b.ReportMetric(0, "B/op") // the test's own machine keeps every batch
}

// BenchmarkRead measures a follower at the tail and one that catches up.
func BenchmarkRead(b *testing.B) {
	n := openNode(b, nil, b.TempDir())
	n.lead()
	value := strings.Repeat("v", 200)
	var all sync.WaitGroup
	for range 5000 {
		all.Add(1)
		n.Append(n.batch("k", value), nil, func(error) { all.Done() })
	}
	all.Wait()
	b.Run("tail", func(b *testing.B) {
		for b.Loop() {
			if _, err := n.Read(n.EndOffset()-1, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("1MiB", func(b *testing.B) {
		for b.Loop() {
			data, err := n.Read(1, 1<<20)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
		}
	})
}

// BenchmarkOpen measures a restart over a log of 5000 batches, until it leads and all is applied.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	n := openNode(b, nil, dir)
	n.lead()
	var all sync.WaitGroup
	for i := range 5000 {
		all.Add(1)
		n.Append(n.batch(fmt.Sprint(i%100), "value"), nil, func(error) { all.Done() })
	}
	all.Wait()
	n.Close()
	for b.Loop() {
		n := openNode(b, nil, dir)
		n.lead()
		n.Close()
	}
}

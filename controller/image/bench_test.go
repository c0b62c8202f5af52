package image_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"yakt/controller/image"
	"yakt/records"
)

// cluster returns an image with topics of so many partitions each, three replicas placed as Kafka does it: a random
// first broker for each topic, then one further with every partition, and followers shifting with every round.
func cluster(brokers int32, topics, partitions int) *image.Image {
	random := rand.New(rand.NewPCG(1, 2))
	e := new(image.Image).Edit()
	offset := int64(0)
	put := func(r records.Record) {
		e.Replay(r, offset)
		offset++
	}
	dirs := make([]records.UUID, brokers)
	for b := range brokers {
		dirs[b] = records.UUID{0: 9, 14: byte(b >> 8), 15: byte(b)}
		put(&records.RegisterBroker{BrokerID: b, BrokerEpoch: offset, LogDirs: dirs[b : b+1]})
	}
	for t := range topics {
		topic := records.UUID{1: 7, 13: byte(t >> 16), 14: byte(t >> 8), 15: byte(t)}
		put(&records.Topic{Name: fmt.Sprintf("topic-%06d", t), TopicID: topic})
		first, shift := random.Int32N(brokers), random.Int32N(brokers-3)
		for p := range int32(partitions) {
			leader := (first + p) % brokers
			move := (shift+p/brokers)%(brokers-3) + 1
			r := &records.Partition{PartitionID: p, TopicID: topic, Leader: leader}
			r.Replicas = []int32{leader, (leader + move) % brokers, (leader + move + 1) % brokers}
			r.ISR = r.Replicas
			for _, b := range r.Replicas {
				r.Directories = append(r.Directories, dirs[b])
			}
			put(r)
		}
	}
	return e.Image()
}

// BenchmarkMemory reports what a partition takes at rest, everything counted, in a cluster of a million.
func BenchmarkMemory(b *testing.B) {
	for _, partitions := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			topics := 1_000_000 / partitions
			if partitions == 1 {
				topics = 200_000
			}
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				i := cluster(100, topics, partitions)
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(i.NumPartitions()), "bytes/partition")
				runtime.KeepAlive(i)
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	i := cluster(100, 1000, 100)
	n := float64(i.NumPartitions())
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			led := 0
			i.EachPartition(func(_ *image.Topic, _ int32, p *image.Partition) bool {
				if p.Leader == 5 || p.InISR(5) {
					led++
				}
				return true
			})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/partition")
	})
	b.Run("of broker", func(b *testing.B) {
		for b.Loop() {
			led := 0
			i.EachPartitionOf(5, func(*image.Topic, int32, *image.Partition) bool {
				led++
				return true
			})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/partition")
	})
}

func BenchmarkReplay(b *testing.B) {
	i := cluster(100, 1000, 100)
	random := rand.New(rand.NewPCG(3, 4))
	changes := make([]*records.PartitionChange, 10_000)
	for c := range changes {
		t := random.IntN(1000)
		changes[c] = records.NewPartitionChange(records.UUID{1: 7, 14: byte(t >> 8), 15: byte(t)}, random.Int32N(100))
		topic, _ := i.Topic(changes[c].TopicID)
		p, _ := topic.Partition(changes[c].PartitionID)
		changes[c].ISR = p.Replicas[:2]
	}
	b.Run("changes in one edit", func(b *testing.B) {
		b.ReportAllocs()
		e := i.Edit()
		for n := 0; b.Loop(); n++ {
			e.Replay(changes[n%len(changes)], int64(n))
		}
	})
	b.Run("changes with an image each", func(b *testing.B) {
		b.ReportAllocs()
		e := i.Edit()
		for n := 0; b.Loop(); n++ {
			e.Replay(changes[n%len(changes)], int64(n))
			e.Image()
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		var all []records.Record
		for r := range i.Records() {
			all = append(all, r)
		}
		e := new(image.Image).Edit()
		for n := 0; b.Loop(); n++ {
			if n%len(all) == 0 {
				e = new(image.Image).Edit()
			}
			e.Replay(all[n%len(all)], int64(n))
		}
	})
	b.Run("nothing but an image", func(b *testing.B) {
		b.ReportAllocs()
		e := i.Edit()
		for n := 0; b.Loop(); n++ {
			e.Replay(&records.NoOp{}, int64(n))
			e.Image()
		}
	})
}

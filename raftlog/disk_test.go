package raftlog

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Disks that are slow, hang or fill up, beneath one of three nodes.

// threeSlow is a quorum with, for each node, how long each of raft's writes takes, twice: before the disk and after it.
func threeSlow(t *testing.T) (*cluster, []*atomic.Int64) {
	c := threeListed(t)
	var delays []*atomic.Int64
	var ups []<-chan error
	for i := range c.nodes {
		delay := &atomic.Int64{}
		delays = append(delays, delay)
		ups = append(ups, c.begin(i, func(config *Config) {
			config.slow = func() { time.Sleep(time.Duration(delay.Load())) } // virtual
		}))
	}
	c.together(ups...)
	return c, delays
}

// TestSlowFollowerCostsNothing: neither a commit nor an election, though each of its writes takes two seconds.
func TestSlowFollowerCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, delays := threeSlow(t)
		l := c.leader(0, 1, 2)
		term, _ := l.Leading()
		slow := c.others(l)[0]
		delays[slow].Store(int64(time.Second))
		for i := range 60 {
			start := time.Now()
			l.set("a", fmt.Sprint(i))
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Fatalf("write %d took %v", i, took)
			}
			time.Sleep(500 * time.Millisecond) // virtual
		}
		if c.nodes[slow].EndOffset() == l.EndOffset() {
			t.Fatal("it is not behind: this tests nothing")
		}
		delays[slow].Store(0)
		c.converge()
		if now, leads := l.Leading(); !leads || now != term {
			t.Fatalf("the leader of %d was disturbed: %d, %v", term, now, leads)
		}
	})
}

// TestLeaderWhoseDiskHangsIsReplaced: raft would send heartbeats beside the write that hangs, and nobody could lead until it ends.
func TestLeaderWhoseDiskHangsIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, delays := threeSlow(t)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.converge()
		delays[c.index(l)].Store(int64(5 * time.Minute))
		start := time.Now()
		pending := make(chan error, 1)
		l.Append(l.batch("a", "hangs"), nil, func(err error) { pending <- err })
		l2 := c.leader(c.others(l)...)
		l2.set("b", "2")
		if took := time.Since(start); took > 5*l.config.LeaderTimeout {
			t.Fatalf("another led after %v", took)
		}
		delays[c.index(l)].Store(0)
		if err := <-pending; err == nil {
			t.Fatal("acknowledged, and another led")
		}
		c.converge()
		if a, b := l.machine.get("a"), l.machine.get("b"); a != "1" || b != "2" {
			t.Fatal(a, b)
		}
	})
}

// TestCloseLeavesNobodyWaiting: raft forgets what is in its queues when it stops, so whoever asked is answered before.
func TestCloseLeavesNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var delay atomic.Int64
		n := openNode(t, vfs.NewMem(), "d", func(config *Config) {
			config.slow = func() { time.Sleep(time.Duration(delay.Load())) } // virtual
		})
		n.lead()
		delay.Store(int64(10 * time.Second))
		n.raft.AddVoter(n.self, "node1:9093", 0, 0)
		synctest.Wait() // raft's main goroutine writes, and takes nothing else
		outcomes := make(chan error, 16)
		for range cap(outcomes) {
			f := n.raft.VerifyLeader()
			go func() { outcomes <- n.wait(f) }()
		}
		delay.Store(0)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		for range cap(outcomes) {
			if err := <-outcomes; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestFullDiskHandsLeadershipOver: to one that has room, and writes go on there.
func TestFullDiskHandsLeadershipOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeListed(t)
		var ups []<-chan error
		room := vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 40}
		for i := range c.nodes {
			c.disks[i].TestingSetDiskUsage(room)
			ups = append(ups, c.begin(i, func(config *Config) { config.MinFreeBytes = 1 << 20 }))
		}
		c.together(ups...)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.disks[c.index(l)].TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1000, TotalBytes: 1 << 40})
		c.leader(c.others(l)...).set("a", "2")
		c.converge()
		if _, leads := l.Leading(); leads {
			t.Fatal("it leads still")
		}
	})
}

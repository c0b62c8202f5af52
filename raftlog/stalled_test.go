package raftlog

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeaderFallsSilentInTheMiddleOfASnapshot: the follower that it was being sent to votes for another one all the same.
func TestLeaderFallsSilentInTheMiddleOfASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		c.converge()
		behind := c.others(l)[0]
		c.stop(behind)
		for i := range 20 {
			l.set(fmt.Sprint("key-", i), strings.Repeat("x", 20_000))
		}
		for range 3 {
			l.set("a", "1")
			l.snapshot()
		}
		end := l.EndOffset()
		c.net.silence(address(c.index(l)), 300_000)
		n := c.start(behind)
		// raft comes back to a follower that was away only after a while.
		for range 60_000 {
			if c.net.silent(address(c.index(l))) {
				break
			}
			time.Sleep(time.Millisecond) // virtual
		}
		if !c.net.silent(address(c.index(l))) {
			t.Fatal("it was sent nothing")
		}
		if n.EndOffset() >= end {
			t.Fatal("the snapshot got through: it is too small for this test")
		}
		start := time.Now()
		next := c.elected(c.others(l)...)
		if took := time.Since(start); took > 6*l.config.LeaderTimeout {
			t.Errorf("the next leader was elected after %v", took)
		}
		if next == n {
			t.Fatal("one without a log was elected")
		}
		next.lead()
		next.set("a", "2")
		c.net.silence(address(c.index(l)), -1)
		c.net.hangUp(address(c.index(l)))
		c.converge()
		if n.machine.get("a") != "2" || len(n.machine.get("key-19")) != 20_000 {
			t.Fatal("it has not everything in the end")
		}
	})
}

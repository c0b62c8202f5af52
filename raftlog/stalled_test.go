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
		c.net.silence(address(c.index(l)), 200_000)
		start := time.Now()
		n := c.start(behind)
		next := c.leads(c.others(l)...)
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

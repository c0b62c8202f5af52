package raftlog

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestEndedLeaderIsReplacedAtOnce: whoever is asked first, and whether or not it can win.
func TestEndedLeaderIsReplacedAtOnce(t *testing.T) {
	for range 3 { // the leader is another one now and then
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			l := c.leader(0, 1, 2)
			l.set("a", "1")
			c.converge()
			dead := c.index(l)
			start := time.Now()
			c.net.die(address(dead))
			next := c.elected(c.others(l)...)
			if took := time.Since(start); took > l.config.LeaderTimeout/4 {
				t.Errorf("the next leader was elected after %v", took)
			}
			c.stop(dead)
			next.lead()
			next.set("a", "2")
			c.start(dead)
			c.net.revive(address(dead))
			c.converge()
		})
	}
}

// TestFirstInTurnMayLackTheLastWrite: then the next one stands, without waiting for a heartbeat either.
func TestFirstInTurnMayLackTheLastWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.converge()
		first := c.others(l)[0]
		resume := c.net.pause(address(first))
		l.set("a", "2")
		start := time.Now()
		c.net.die(address(c.index(l)))
		resume()
		next := c.elected(c.others(l)...)
		if c.index(next) == first {
			t.Fatal("the one that was to lack the write was elected")
		}
		if took := time.Since(start); took > l.config.LeaderTimeout {
			t.Errorf("the next leader was elected after %v", took)
		}
		c.stop(c.index(l))
		next.lead()
		if got := next.machine.get("a"); got != "2" {
			t.Errorf("what was acknowledged is %q", got)
		}
	})
}

// TestOnlyAnEndedLeaderIsReplacedAtOnce: broken connections alone change nothing, and one that cannot be reached gets the time it is due.
func TestOnlyAnEndedLeaderIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		l := c.leader(0, 1, 2)
		l.set("a", "1")
		c.converge()
		term, _ := l.Leading()
		for range 20 {
			c.net.hangUp(address(c.index(l)))
			time.Sleep(50 * time.Millisecond) // virtual
		}
		l.set("a", "2")
		c.converge()
		if now, leads := l.Leading(); !leads || now != term {
			t.Fatalf("broken connections ended the leadership of term %d: %d %v", term, now, leads)
		}
		start := time.Now()
		c.net.isolate(address(c.index(l)), true)
		c.elected(c.others(l)...)
		if took := time.Since(start); took < l.config.LeaderTimeout/2 {
			t.Errorf("an unreachable leader was replaced after %v", took)
		}
		c.net.isolate(address(c.index(l)), false)
		c.leader(c.others(l)...).set("a", "3")
		c.converge()
	})
}

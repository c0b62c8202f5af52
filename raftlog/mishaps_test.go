package raftlog

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// What goes wrong in a storm (nemesis_test.go). Each fault returns what puts it right, or nil if nothing has to.

// fault lets one thing go wrong.
func (s *storm) fault() (heal func()) {
	victim := s.rng.IntN(len(s.nodes))
	if l := s.leading(s.rng); l != nil && s.rng.IntN(2) == 0 {
		victim = int(l.config.NodeID) - 1
	}
	faults := []struct {
		name   string
		weight int
		begin  func(int) func()
	}{
		{"isolate", 4, s.isolate},
		{"sever", 4, s.sever},
		{"freeze", 4, s.freeze},
		{"kill", 6, s.crash},
		{"power", 1, s.power},
		{"slow disk", 3, s.slow},
		{"hanging disk", 2, s.hang},
		{"snapshot", 3, s.snapshot},
		{"transfer", 3, s.transfer},
		{"empty", 2, s.empty},
		{"remove", 2, s.remove},
	}
	all := 0
	for _, f := range faults {
		all += f.weight
	}
	at := s.rng.IntN(all)
	for _, f := range faults {
		if at -= f.weight; at < 0 {
			s.done[f.name]++
			s.logger.Info("nemesis: "+f.name, "victim", victim+1)
			return f.begin(victim)
		}
	}
	return nil
}

func (s *storm) isolate(i int) func() {
	s.net.isolate(address(i), true)
	return func() { s.net.isolate(address(i), false) }
}

func (s *storm) sever(i int) func() {
	to := (i + 1 + s.rng.IntN(len(s.nodes)-1)) % len(s.nodes)
	s.net.sever(address(i), address(to))
	return func() { s.net.mend(address(i), address(to)) }
}

func (s *storm) freeze(i int) func() { return s.net.freeze(address(i)) }

func (s *storm) crash(i int) func() {
	dead := s.kill(i)
	s.bury(dead...)
	if len(dead) == 0 {
		return nil
	}
	return func() { s.launch(i) }
}

func (s *storm) power(int) func() {
	var all []int
	for i := range s.nodes {
		all = append(all, i)
	}
	dead := s.kill(all...)
	s.bury(dead...)
	return func() {
		for _, m := range dead {
			s.launch(int(m.config.NodeID) - 1)
		}
	}
}

// slow makes each write of a disk take up to a second.
func (s *storm) slow(i int) func() {
	return s.delay(i, time.Duration(s.rng.IntN(1000))*time.Millisecond)
}

// hang makes it take up to half a minute: mostly, one write outlasts the fault.
func (s *storm) hang(i int) func() { return s.delay(i, 30*time.Second) }

func (s *storm) delay(i int, d time.Duration) func() {
	m := s.members()[i]
	if m == nil {
		return nil
	}
	m.delay.Store(int64(d))
	return func() { m.delay.Store(0) }
}

func (s *storm) snapshot(i int) func() {
	if m := s.members()[i]; m != nil {
		if err := m.Snapshot(); err != nil {
			s.logger.Info("nemesis: no snapshot", "node", i+1, "err", err)
		}
	}
	return nil
}

func (s *storm) transfer(int) func() {
	if l := s.leading(s.rng); l != nil {
		_ = l.transfer() // may fail: what then holds is checked at the end
	}
	return nil
}

// expendable says that all are members and vote, so that one directory may be lost, and who leads. A second one may not be
// before the first is replaced: no quorum of three survives two. Not all have to have heard of that.
func (s *storm) expendable() *member {
	l := s.verified()
	if l == nil {
		return nil
	}
	members, _ := l.membership()
	for _, v := range members.Servers {
		if v.Suffrage != raft.Voter || s.gone[v.ID] {
			return nil
		}
	}
	if len(members.Servers) != len(s.nodes) {
		return nil
	}
	return l
}

// empty loses a node's disk. Its new directory joins, and the old one is removed then.
func (s *storm) empty(i int) func() {
	if s.expendable() == nil || len(s.emptyNow(i)) == 0 {
		return nil
	}
	return func() { s.launch(i) }
}

// remove takes a node out of the quorum; it goes on for a while, and then its emptied directory joins.
func (s *storm) remove(i int) func() {
	l := s.expendable()
	m := s.members()[i]
	if l == nil || m == nil {
		return nil
	}
	_ = l.wait(l.raft.RemoveServer(m.self, 0, time.Second)) // an error does not say that it stays a member
	s.goOn(3 * time.Second)
	if len(s.emptyNow(i)) == 0 {
		return nil
	}
	return func() { s.launch(i) }
}

func (s *storm) emptyNow(i int) []*member {
	dead := s.kill(i)
	s.bury(dead...)
	if len(dead) > 0 {
		s.gone[dead[0].self] = true
		s.disks[i] = vfs.NewCrashableMem()
		s.mu.Lock()
		s.emptied[i], s.epochs[i] = true, 0
		s.mu.Unlock()
	}
	return dead
}

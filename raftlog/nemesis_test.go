package raftlog

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

var (
	seedFlag = flag.Uint64("seed", 0, "of the first run of TestThreeNodesThroughAnything; 0: by chance")
	runsFlag = flag.Int("runs", 3, "how many runs it makes")
	stepFlag = flag.Int("steps", 40, "how many faults each run has")
)

// TestThreeNodesThroughAnything: three nodes, or five, on raft and Pebble themselves, in virtual time; writers that write through
// whoever leads; and a nemesis that cuts, freezes, kills, empties and removes nodes and slows disks down. Afterwards all are
// alike, everything acknowledged is there, at the offset that was said, and nothing twice.
//
// The seed decides what goes wrong and when. Goroutines of one virtual instant still run in an order of their own, so a
// failure may need several runs of its seed to be seen again.
func TestThreeNodesThroughAnything(t *testing.T) {
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64() >> 1
	}
	for seed := first; seed < first+uint64(*runsFlag); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := newStorm(seed)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the end of what was logged:\n%s", s.said.tail(300))
					t.Logf("to run it again: go test ./raftlog -run ThroughAnything -seed %d -runs 1 -steps %d", seed, *stepFlag)
				}
			})
			synctest.Test(t, func(t *testing.T) { s.begin(t); s.run(*stepFlag) })
		})
	}
}

// A storm is a cluster, those who write to it, and what goes wrong in it. Only the goroutine of run does wrong; writers and
// nodes that start run beside it.
type storm struct {
	*cluster
	seed   uint64
	rng    *rand.Rand // another one for each step, so that what one has used does not change the next
	said   *journal
	logger *slog.Logger
	begins int // how: 0 from a configuration in everybody's log, 1 from a list, 2 the first alone and the others join
	ctx    context.Context
	graves sync.WaitGroup // processes that have been killed and take their time, and those who watch them
	done   map[string]int // faults by name

	mu      sync.Mutex
	up      []*member // nil: down, or starting
	emptied []bool
	epochs  []int32 // the last epoch that each has published, by what it has stored
	writes  map[string]*write
	gone    map[raft.ServerID]bool // whose directories were emptied
	end     int64                  // of what is acknowledged
	acked   int
}

// A member is one process.
type member struct {
	*node
	pen    chan struct{} // who holds it writes
	stale  atomic.Bool   // what comes next is not known
	term   int32         // that was taken over, under the pen
	killed atomic.Bool   // under the storm's mu: what it says from now on, nobody hears
	ctx    context.Context
	cancel func()
	delay  *atomic.Int64 // how long a write takes at most
}

// A write is one name that is set to the offset at which it is to be.
type write struct {
	parts         int   // batches
	offset, after int64 // after: what had been acknowledged when it began
	acked         bool
}

func newStorm(seed uint64) *storm {
	s := &storm{seed: seed, said: &journal{}, rng: rand.New(rand.NewPCG(seed, 0)), done: map[string]int{}, writes: map[string]*write{}, gone: map[raft.ServerID]bool{}}
	s.logger = slog.New(slog.NewTextHandler(s.said, nil))
	return s
}

// begin makes the cluster, in virtual time.
func (s *storm) begin(t *testing.T) {
	nodes := 3
	if s.rng.IntN(4) == 0 {
		nodes = 5
	}
	s.begins = s.rng.IntN(3)
	s.cluster = noCluster(t, nodes)
	s.up, s.emptied, s.epochs = make([]*member, nodes), make([]bool, nodes), make([]int32, nodes)
	var cancel func()
	s.ctx, cancel = context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for i := range nodes {
		s.disks[i] = vfs.NewCrashableMem()
		s.ids = append(s.ids, raft.Server{ID: serverID(int32(i+1), records.UUID{1, byte(i)}), Address: raft.ServerAddress(address(i))})
	}
}

// run lets things go wrong, puts them right, and looks.
func (s *storm) run(steps int) {
	for i := range s.nodes {
		s.launch(i)
	}
	s.whole()
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	var writers sync.WaitGroup
	for w := range 3 {
		rng := rand.New(rand.NewPCG(s.rng.Uint64(), 0))
		writers.Go(func() { s.write(ctx, w, rng) })
	}
	var heal []func()
	for step := range steps {
		s.rng = rand.New(rand.NewPCG(s.seed, uint64(step)+1))
		if h := s.fault(); h != nil {
			heal = append(heal, h)
		}
		s.goOn(4 * time.Second)
		for len(heal) > s.rng.IntN(3) {
			i := s.rng.IntN(len(heal))
			s.logger.Info("nemesis: heal")
			heal[i]()
			heal = slices.Delete(heal, i, i+1)
		}
	}
	for _, h := range heal {
		h()
	}
	during := s.total()
	s.whole()
	s.eventually("somebody's write is acknowledged", func() bool { return s.total() > during })
	stop()
	writers.Wait()
	s.eventually("who leads has taken over, and all know it", s.agreed)
	for i, m := range s.members() {
		s.nodes[i] = m.node
	}
	s.converge()
	s.check()
	_, epoch := s.nodes[0].Leader()
	s.t.Logf("%d nodes, begun in way %d: %d of %d writes acknowledged, epoch %d, %v", len(s.nodes), s.begins, s.acked, len(s.writes), epoch, s.done)
	for i := range s.nodes {
		s.bury(s.kill(i)...)
	}
	s.graves.Wait()
}

// goOn lets up to this much time pass.
func (s *storm) goOn(most time.Duration) { time.Sleep(time.Duration(s.rng.Int64N(int64(most)))) } // virtual

func (s *storm) eventually(what string, cond func() bool) {
	s.t.Helper()
	for range 6000 {
		if cond() {
			return
		}
		time.Sleep(50 * time.Millisecond) // virtual
	}
	for i, m := range s.members() {
		if m == nil {
			s.t.Logf("node %d is not up", i+1)
			continue
		}
		members, _ := m.membership()
		id, epoch := m.Leader()
		_, leads := m.Leading()
		s.t.Logf("node %d: leads %v, is told of %d in epoch %d, members %v", i+1, leads, id, epoch, members.Servers)
	}
	s.t.Fatalf("not within five minutes: %s", what)
}

// whole waits until every node is up and votes.
func (s *storm) whole() {
	s.t.Helper()
	s.eventually("every node is up and votes", func() bool {
		l := s.verified()
		return l != nil && !slices.Contains(s.members(), nil) && len(membersOf(l.node, raft.Voter)) == len(s.nodes)
	})
}

func (s *storm) members() []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.up)
}

func (s *storm) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// agreed has the leader take over, if it has not, and says whether all know it. There may be no writer any more who would.
func (s *storm) agreed() bool {
	l := s.verified()
	if l == nil {
		return false
	}
	id, epoch := l.Leader()
	if id != l.config.NodeID {
		_, _ = l.takeOver() // or else at the next look
		return false
	}
	return !slices.ContainsFunc(s.members(), func(m *member) bool {
		told, of := m.Leader()
		return told != id || of != epoch
	})
}

// leading is a node that believes that it leads; there may be several.
func (s *storm) leading(rng *rand.Rand) *member {
	all := slices.DeleteFunc(s.members(), func(m *member) bool {
		if m == nil {
			return true
		}
		_, leads := m.Leading()
		return !leads
	})
	if len(all) == 0 {
		return nil
	}
	return all[rng.IntN(len(all))]
}

// verified is the one that does lead.
func (s *storm) verified() *member {
	if m := s.leading(s.rng); m != nil && call(m.Verify) == nil {
		return m
	}
	return nil
}

// launch starts node i on what is on its disk. It is up when its log is open, which may need the others.
func (s *storm) launch(i int) {
	m := &member{pen: make(chan struct{}, 1), delay: &atomic.Int64{}}
	m.ctx, m.cancel = context.WithCancel(s.ctx)
	m.stale.Store(true)
	seed := s.rng.Uint64()
	s.logger.Info("nemesis: start", "node", i+1)
	s.net.revive(address(i))
	s.graves.Go(func() {
		n, err := s.open(i, func(c *Config) {
			c.SnapshotBytes, c.Context, c.Logger = 20_000, m.ctx, s.logger.With("node", i+1)
			dial := c.Dial
			c.Dial = func(ctx context.Context, to string) (net.Conn, error) {
				if m.killed.Load() { // its successor is at the same address
					return nil, net.ErrClosed
				}
				return dial(ctx, to)
			}
			c.slow = slowBy(m.delay, seed)
			s.beginAs(i, c)
		})
		if err != nil {
			if s.ctx.Err() == nil {
				s.t.Errorf("node %d does not start: %v", i+1, err)
			}
			return
		}
		m.node = n
		s.compare(n)
		s.mu.Lock()
		if _, epoch := n.Leader(); epoch < s.epochs[i] {
			s.t.Errorf("node %d starts with epoch %d and has been in %d", i+1, epoch, s.epochs[i])
		}
		s.up[i] = m
		s.mu.Unlock()
		s.observe(i, m)
	})
}

// beginAs says how node i begins if its disk is empty.
func (s *storm) beginAs(i int, c *Config) {
	var all, others []int
	for j := range s.nodes {
		if all = append(all, j); j != i {
			others = append(others, j)
		}
	}
	switch {
	case s.begins == 1:
		c.Voters = peersOf(all...)
	case s.emptied[i], s.begins == 2 && i > 0:
		c.Peers = peersOf(others...)
	case s.begins == 0:
		c.ClusterID, c.bootstrap, c.directory = records.UUID{9}.String(), s.ids, records.UUID{1, byte(i)}
	}
}

// slowBy makes raft's writes take up to delay, before the disk is asked or after it has answered. It sleeps between raft and
// its store, for in virtual time nobody may wait for a mutex that a sleeper holds, as some would below Pebble.
func slowBy(delay *atomic.Int64, seed uint64) func() {
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	return func() {
		if most := delay.Load(); most > 0 {
			mu.Lock()
			d := rng.Int64N(most)
			mu.Unlock()
			time.Sleep(time.Duration(d)) // virtual
		}
	}
}

// observe looks at one process until it is killed: neither the high watermark nor the epoch ever goes back.
func (s *storm) observe(i int, m *member) {
	var end int64
	var epoch int32
	for m.ctx.Err() == nil {
		nowEnd := m.EndOffset()
		leader, nowEpoch := m.Leader()
		if nowEnd < end || nowEpoch < epoch {
			s.t.Errorf("node %d went back from offset %d, epoch %d to %d, %d", i+1, end, epoch, nowEnd, nowEpoch)
		}
		end, epoch = nowEnd, nowEpoch
		_ = m.Wait(m.ctx, end, leader, epoch)
	}
}

// kill ends the processes of these nodes at one moment, as a loss of power does. What they acknowledge after it, nobody hears;
// what they have not synced may be lost.
func (s *storm) kill(nodes ...int) (dead []*member) {
	s.mu.Lock()
	for _, i := range nodes {
		m := s.up[i]
		if m == nil {
			continue
		}
		_, s.epochs[i] = m.Leader()
		m.killed.Store(true)
		s.up[i], dead = nil, append(dead, m)
	}
	s.mu.Unlock()
	for _, m := range dead {
		s.net.die(m.config.Advertise)
	}
	for _, m := range dead {
		lost := vfs.CrashCloneCfg{}
		if s.rng.IntN(2) == 0 {
			lost = vfs.CrashCloneCfg{UnsyncedDataPercent: s.rng.IntN(101), RNG: s.rng}
		}
		i := int(m.config.NodeID) - 1
		s.disks[i] = s.disks[i].CrashClone(lost)
	}
	return dead
}

// bury lets go of killed processes: they end when they do, on disks that nobody reads any more.
func (s *storm) bury(dead ...*member) {
	for _, m := range dead {
		m.delay.Store(0)
		m.cancel()
		s.graves.Go(func() {
			if err := m.Close(); err != nil {
				s.t.Errorf("close node %d: %v", m.config.NodeID, err)
			}
			if len(m.fatal) > 0 {
				s.t.Errorf("node %d failed: %v", m.config.NodeID, <-m.fatal)
			}
		})
	}
}

// write is one writer's life.
func (s *storm) write(ctx context.Context, w int, rng *rand.Rand) {
	for seq := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(20+rng.IntN(400)) * time.Millisecond): // virtual
		}
		m := s.leading(rng)
		if m == nil {
			continue
		}
		count := 1 + rng.IntN(4)
		outcomes := make(chan struct{}, count)
		m.pen <- struct{}{}
		if !m.ready() {
			<-m.pen
			continue
		}
		for range count {
			parts := 1
			if rng.IntN(4) == 0 {
				parts += 1 + rng.IntN(3) // a metadata transaction
			}
			s.propose(m, fmt.Sprintf("writer%d-%d", w, seq), parts, func() { outcomes <- struct{}{} })
			seq++
		}
		<-m.pen
		for range count {
			<-outcomes
		}
	}
}

// ready takes over if this node has been elected anew, or if something that it proposed did not count: what comes next is
// then known only after a barrier, which is in line behind the outcomes of all that was proposed before.
func (m *member) ready() bool {
	if term, leads := m.Leading(); !leads || term == m.term && !m.stale.Load() {
		return leads
	}
	m.stale.Store(false)
	term, err := m.takeOver()
	if m.term = term; err != nil {
		m.stale.Store(true)
	}
	return err == nil
}

// propose appends a batch that sets name to the offset it is planned for, or a metadata transaction of several that do so for names of
// its parts.
func (s *storm) propose(m *member, name string, parts int, settled func()) {
	s.mu.Lock()
	m.mu.Lock()
	w := &write{offset: m.next, after: s.end, parts: parts}
	m.mu.Unlock()
	s.writes[name] = w
	s.mu.Unlock()
	for i := range parts {
		var b records.Batch
		if parts == 1 {
			b = m.batch(name, fmt.Sprint(w.offset))
		} else {
			b = m.part(partName(name, i), i == 0, i == parts-1)
		}
		m.Append(b, nil, func(err error) {
			s.mu.Lock()
			if err != nil {
				m.stale.Store(true)
			} else if i == parts-1 && !m.killed.Load() {
				w.acked = true
				s.acked++
				s.end = max(s.end, w.offset+1)
			}
			s.mu.Unlock()
			if i == parts-1 {
				settled()
			}
		})
	}
}

// partName is the name that a part of a write sets.
func partName(name string, part int) string {
	if part == 0 {
		return name
	}
	return fmt.Sprint(name, ".", part)
}

// check holds what there is, on all nodes alike, against what was said.
func (s *storm) check() {
	there := s.nodes[0].machine.copy()
	for name, w := range s.writes {
		at, present := there[name]
		delete(there, name)
		for i := 1; i < w.parts; i++ {
			if _, too := there[partName(name, i)]; too != present {
				s.t.Errorf("%s at offset %d is there: %v; part %d of it: %v", name, w.offset, present, i, too)
			}
			delete(there, partName(name, i))
		}
		switch {
		case w.acked && !present:
			s.t.Errorf("%s was acknowledged at offset %d and is lost", name, w.offset)
		case present && at != fmt.Sprint(w.offset):
			s.t.Errorf("%s is at offset %s, not at %d", name, at, w.offset)
		case w.acked && w.offset < w.after:
			s.t.Errorf("%s is at offset %d and began when all below %d was acknowledged", name, w.offset, w.after)
		}
	}
	for name := range there {
		s.t.Errorf("%s was never written", name)
	}
	for _, n := range s.nodes {
		for _, b := range readAll(s.t, n.Log, 1<<20) {
			if b.Control() {
				continue
			}
			all, err := b.Decode()
			c, ok := all[0].(*records.Config)
			if _, begins := all[0].(*records.BeginTransaction); begins {
				c, ok = all[1].(*records.Config)
			}
			if err != nil || !ok || *c.Value != fmt.Sprint(b.BaseOffset()) {
				s.t.Fatalf("node %d has at offset %d: %v, %v", n.config.NodeID, b.BaseOffset(), all, err)
			}
		}
	}
}

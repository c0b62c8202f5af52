// Package sim runs the controller over a model of its log, one event after another on one goroutine, from one seed.
//
// Three nodes, and up to five, run the real controller. Beneath them lies a model of raft (quorum.go, membership.go) and of the
// metadata log on top of it (model.go); before them stand brokers (brokers.go, directories.go, lies.go) and administrators (admins.go,
// configs.go, reassign.go). Faults (faults.go, mishaps.go) are those that hashicorp/raft, processes, disks and networks have: a proposal
// is refused while later ones of its term go on, waits in a buffer into a later term, commits though its proposer was told otherwise, is
// lost with its leader; leaders are deposed without knowing it; signals are lost; contacts arrive late, or in one direction only;
// processes stall, stop and come back, with an empty directory too; clocks jump.
//
// An oracle replays what the quorum agreed on and judges everything else by it (invariants.go, elections.go, silence.go, answers.go).
// Histories of what clients were told are checked with porcupine (histories.go). Each rule has a name. When the faults are over,
// everything has to answer again within a bound (recovery.go). docs/simulation.md lists the rules.
//
// Rules: nothing happens but in an event; no event calls back into the one that runs; every choice comes from the seed.
// So a seed names a history, and a failure is repeated by naming it.
package sim

import (
	"container/heap"
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

// Options name a run.
type Options struct {
	Seed  uint64
	Steps int           // events before the faults stop
	Time  time.Duration // instead of Steps: simulated time before they do, at an everyday pace
	Trace bool          // note what happens; else a failure is run once more for its trace
}

// Report is what a run came to.
type Report struct {
	Options
	Hash    uint64 // of the whole trace, if there is one: equal for equal options
	Events  int
	Elapsed time.Duration // simulated
	Stats   map[string]int
	Failure *Failure // nil: every invariant held
}

// Failure is an invariant that did not hold.
type Failure struct {
	Invariant string
	Message   string
	Step      int
	Tail      []string // of the trace
}

func (f *Failure) Error() string { return fmt.Sprintf("invariant %s: %s", f.Invariant, f.Message) }

const (
	clusterID = "simulated-cluster-id-0"
	traceTail = 250
)

// epoch is when every simulation begins.
var epoch = time.Unix(1_760_000_000, 0).UTC()

// world is one simulation.
type world struct {
	rand     *rand.Rand
	seed     uint64
	settings plan.Settings
	maxBatch int // bytes that one operation may take in a batch; 0: as many as in real life
	pace     pace

	now       time.Duration
	events    eventQueue
	serial    uint64 // of the event scheduled last; also makes ids
	step      int
	calm      bool    // the faults are over
	roughness float64 // how far faults are apart, compared with their usual rate
	odds      odds

	trace trace
	stats map[string]int

	nodes   []*node // ids 1, 2, 3 …
	cut     map[link]bool
	canon   []*entry // what the quorum agreed on, in order
	leaders map[int32]int32
	voters  map[member]records.Voter // as announced by the nodes

	oracle  *oracle
	brokers []*broker
	admins  []*admin
	calls   []*call // sent and not answered yet
	past    *histories
	final   final
}

// violation is what a broken invariant panics with.
type violation struct{ name, message string }

// violate ends the run: the named invariant does not hold.
func violate(name, format string, args ...any) {
	panic(violation{name, fmt.Sprintf(format, args...)})
}

// Run runs one simulation to its end or to the first broken invariant.
func Run(o Options) Report {
	report := run(o)
	if report.Failure != nil && !o.Trace {
		o.Trace = true
		return run(o)
	}
	return report
}

func run(o Options) (report Report) {
	w := newWorld(o)
	defer func() {
		report = Report{Options: o, Hash: w.trace.sum(), Events: w.step, Elapsed: w.now, Stats: w.stats}
		if p := recover(); p != nil {
			name, message := nameOf(p)
			report.Failure = &Failure{Invariant: name, Message: message, Step: w.step, Tail: w.trace.tail()}
		}
	}()
	w.start()
	for w.step < o.Steps || w.now < o.Time {
		w.next()
	}
	w.heal()
	w.recoverWithin(20*w.pace.session, 40_000)
	w.past.finish()
	return
}

var namedInPanic = regexp.MustCompile(`invariant ([a-z-]+): `)

// nameOf says which invariant a panic breaks. Those of the controller name theirs in their text.
func nameOf(p any) (name, message string) {
	switch p := p.(type) {
	case violation:
		return p.name, p.message
	case *image.ReplayError:
		return "records-replayable", p.Error() + "\n" + stack()
	}
	text := fmt.Sprint(p)
	if m := namedInPanic.FindStringSubmatch(text); m != nil {
		return m[1], text
	}
	return "nothing-panics", text + "\n" + stack()
}

// stack is the stack of the panic that is being recovered, from the panic on.
func stack() string {
	_, s, _ := strings.Cut(string(debug.Stack()), "panic(")
	return s
}

func newWorld(o Options) *world {
	w := &world{
		rand:    rand.New(rand.NewPCG(o.Seed, 0x59414b74)),
		seed:    o.Seed,
		stats:   map[string]int{},
		cut:     map[link]bool{},
		leaders: map[int32]int32{},
		voters:  map[member]records.Voter{},
		pace:    brisk,
	}
	if o.Time > 0 {
		w.pace = everyday
	}
	w.trace.on, w.trace.hash = o.Trace, fnv.New64a()
	w.settings = plan.Settings{
		ClusterID:                clusterID,
		SessionTimeout:           w.pace.session,
		NumPartitions:            3,
		DefaultReplicationFactor: 1,
		MinISR:                   int32(1 + w.rand.IntN(2)),
		MetadataVersion:          records.LatestMetadataVersion,
	}
	w.settings.UncleanElection = w.chance(0.15)
	if w.chance(0.5) {
		w.settings.LeaderImbalanceInterval = w.between(w.pace.session/3, 3*w.pace.session)
	}
	if o.Seed%2 == 0 { // not drawn: the other seeds are what they were
		w.settings.StepRecords = 1 + int(o.Seed/2%3)
	}
	w.drawOdds()
	w.roughness = 0.05 + 0.9*w.rand.Float64()
	if w.chance(0.25) {
		w.settings.MetadataVersion = []records.MetadataVersion{20, 22, 25}[w.rand.IntN(3)]
	}
	if w.chance(0.3) {
		w.maxBatch = 60 + w.rand.IntN(400)
	}
	w.oracle = newOracle(w)
	w.past = newHistories(w)
	return w
}

// start boots the nodes, then the clients.
func (w *world) start() {
	w.tracef("seed %d, metadata.version %v, min.insync.replicas %d", w.seed, w.settings.MetadataVersion, w.settings.MinISR)
	for id := int32(1); id <= 3; id++ {
		n := newNode(w, id)
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes {
		n.boot()
	}
	for id := int32(101); id <= 105; id++ {
		w.brokers = append(w.brokers, newBroker(w, id))
	}
	for i := range 3 {
		w.admins = append(w.admins, newAdmin(w, i))
	}
	w.scheduleFaults()
}

// event is something that happens at a time. Equal times happen in the order of scheduling.
type event struct {
	at     time.Duration
	serial uint64
	run    func()
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].serial < q[j].serial
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *eventQueue) Push(e any) { *q = append(*q, e.(*event)) }

// Pop implements heap.Interface.
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}

// after schedules an event.
func (w *world) after(d time.Duration, run func()) {
	w.serial++
	w.schedule(w.now+d, w.serial, run)
}

func (w *world) schedule(at time.Duration, serial uint64, run func()) {
	heap.Push(&w.events, &event{at: at, serial: serial, run: run})
}

// next runs the next event.
func (w *world) next() {
	e := heap.Pop(&w.events).(*event)
	w.now = e.at
	w.step++
	e.run()
}

// between is a random time from lo to hi.
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rand.Int64N(int64(hi-lo)+1))
}

func (w *world) chance(p float64) bool { return w.rand.Float64() < p }

func (w *world) count(what string) { w.stats[what]++ }

// uuid draws an id.
func (w *world) uuid() records.UUID { return records.RandomUUID(randomBytes{w.rand}) }

type randomBytes struct{ *rand.Rand }

// Read implements io.Reader.
func (r randomBytes) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

// recoverWithin runs on without faults until everything is as it should be.
func (w *world) recoverWithin(limit time.Duration, events int) {
	deadline, last := w.now+limit, w.step+events
	for {
		missing := w.recovered()
		if missing == "" {
			return
		}
		if w.now > deadline || w.step > last {
			for _, n := range w.nodes {
				w.tracef("node %d: up %v, out %v, leads %v, members %v, term %d, log %d, committed %d", n.id, n.up, n.out, n.leading, *n.members(), n.term, len(n.log), n.commit)
			}
			violate("answers-within-bound", "%v and %d events after the last fault: %s", limit, events, missing)
		}
		for range 20 {
			w.next()
		}
	}
}

// trace is what happened, hashed as a whole and kept at its end.
type trace struct {
	on    bool
	hash  interface{ Sum64() uint64 }
	lines []string
	next  int
}

func (t *trace) sum() uint64 { return t.hash.Sum64() }

func (t *trace) add(line string) {
	_, _ = t.hash.(interface{ Write([]byte) (int, error) }).Write([]byte(line))
	if len(t.lines) < traceTail {
		t.lines = append(t.lines, line)
		return
	}
	t.lines[t.next] = line
	t.next = (t.next + 1) % traceTail
}

func (t *trace) tail() []string {
	return append(append([]string(nil), t.lines[t.next:]...), t.lines[:t.next]...)
}

func (w *world) tracef(format string, args ...any) {
	if !w.trace.on {
		return
	}
	w.trace.add(fmt.Sprintf("%6d %10.6f ", w.step, w.now.Seconds()) + fmt.Sprintf(format, args...))
}

// logTo is a slog handler that writes one node's log into the trace.
type logTo struct {
	w    *world
	node int32
}

func (l logTo) Enabled(context.Context, slog.Level) bool { return l.w.trace.on }

func (l logTo) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "node %d: %s", l.node, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	l.w.tracef("%s", b.String())
	return nil
}

func (l logTo) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l logTo) WithGroup(string) slog.Handler      { return l }

package raftlog

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"yakt/records"
)

// noSync names the variable of the environment that turns syncs off.
const noSync = "YAKT_NOSYNC"

func TestMain(m *testing.M) {
	if os.Getenv(noSync) != "" {
		syncWrites = pebble.NoSync
	}
	goleak.VerifyTestMain(m,
		// A log that failed leaves behind who waits for what raft never answers; the process ends then.
		goleak.IgnoreAnyFunction("yakt/raftlog.(*Log).wait.func1"),
	)
}

// machine is a state machine of Config records: the last value of each name, and every batch it was given.
type machine struct {
	mu      sync.Mutex
	state   map[string]string
	end     int64
	epoch   int32
	batches []records.Batch
	applied chan struct{} // gets a token, if there is room, after each Apply
	hold    chan struct{} // if not nil, Apply waits for it to be closed
	notNow  error         // if not nil, what Checkpoint answers
	asked   chan struct{} // gets a token, if there is room, after each Checkpoint
}

func newMachine() *machine {
	return &machine{state: map[string]string{}, applied: make(chan struct{}, 1), asked: make(chan struct{}, 1)}
}

func (m *machine) Apply(batches []records.Batch) {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range batches {
		if b.BaseOffset() != m.end {
			panic(fmt.Sprintf("batch at %d after %d", b.BaseOffset(), m.end))
		}
		m.end, m.epoch = b.EndOffset(), b.LeaderEpoch()
		m.batches = append(m.batches, b)
		if b.Control() {
			continue
		}
		all, err := b.Decode()
		if err != nil {
			panic(err)
		}
		m.load(all)
	}
	select {
	case m.applied <- struct{}{}:
	default:
	}
}

func (m *machine) load(all []records.Record) {
	for _, r := range all {
		if c, ok := r.(*records.Config); ok {
			m.state[c.Name] = *c.Value
		}
	}
}

func (m *machine) Checkpoint() (records.SnapshotID, func(io.Writer) error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := records.SnapshotID{EndOffset: m.end, Epoch: m.epoch}
	select {
	case m.asked <- struct{}{}:
	default:
	}
	if m.notNow != nil {
		return id, nil, m.notNow
	}
	state := maps.Clone(m.state)
	return id, func(to io.Writer) error {
		w := records.NewCheckpointWriter(to, id, 1, 2, nil, nil)
		for _, name := range slices.Sorted(maps.Keys(state)) {
			if err := w.Append([]records.Record{config(name, state[name])}, records.LatestMetadataVersion); err != nil {
				return err
			}
		}
		return w.Close()
	}, nil
}

func (m *machine) Restore(id records.SnapshotID, checkpoint io.Reader) error {
	r, err := records.ReadCheckpoint(checkpoint)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.batches = map[string]string{}, nil
	for {
		all, err := r.Next()
		if err == io.EOF {
			m.end, m.epoch = id.EndOffset, id.Epoch
			return nil
		}
		if err != nil {
			return err
		}
		m.load(all)
	}
}

func (m *machine) get(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state[name]
}

func (m *machine) copy() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.state)
}

func config(name, value string) *records.Config {
	return &records.Config{ResourceType: 4, Name: name, Value: &value}
}

// node is an open log with its machine and a writer that stamps batches as a controller does.
type node struct {
	*Log
	t       testing.TB
	machine *machine
	fatal   chan error

	mu    sync.Mutex
	next  int64
	epoch int32
	stamp int64
}

// timestamp is that of the next batch.
func (n *node) timestamp() int64 {
	n.stamp++
	return 1000 + n.stamp
}

func testConfig(t testing.TB, fs vfs.FS, dir string) (Config, *machine, chan error) {
	m, fatal := newMachine(), make(chan error, 8)
	return Config{
		NodeID: 1, Dir: dir, FS: fs, Advertise: "node1:9093", Machine: m, Logger: testLogger(t),
		Fatal: func(err error) { fatal <- err }, MinFreeBytes: -1,
	}, m, fatal
}

// testLogger logs to stderr when YAKT_TEST_LOG is set.
func testLogger(testing.TB) *slog.Logger {
	if os.Getenv("YAKT_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func openNode(t testing.TB, fs vfs.FS, dir string, change ...func(*Config)) *node {
	t.Helper()
	n, err := tryOpen(t, fs, dir, change...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func tryOpen(t testing.TB, fs vfs.FS, dir string, change ...func(*Config)) (*node, error) {
	c, m, fatal := testConfig(t, fs, dir)
	for _, f := range change {
		f(&c)
	}
	l, err := Open(c)
	if err != nil {
		return nil, err
	}
	n := &node{Log: l, t: t, machine: m, fatal: fatal}
	t.Cleanup(func() { n.Close() })
	return n, nil
}

// await fails the test unless cond becomes true; it looks whenever something changes.
func await(t testing.TB, n *node, what string, cond func() bool) {
	t.Helper()
	woken := make(chan struct{}, 1)
	n.Notify(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	defer n.Notify(nil)
	timeout := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond) // for what nobody is told of, such as another node's progress
	defer tick.Stop()
	for !cond() {
		select {
		case <-woken:
		case <-n.machine.applied:
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never: %s", what)
		}
	}
}

func call(f func(func(error))) error {
	done := make(chan error, 1)
	f(func(err error) { done <- err })
	return <-done
}

// lead waits until the node leads and takes over: Barrier, then LeaderChange.
func (n *node) lead() int32 {
	n.t.Helper()
	await(n.t, n, "this node leads", func() bool { _, ok := n.Leading(); return ok })
	term, err := n.takeOver()
	if err != nil {
		n.t.Fatal(err)
	}
	return term
}

// takeOver is lead of one that has just been elected and may have lost it again.
func (n *node) takeOver() (int32, error) {
	term, _ := n.Leading()
	if err := call(n.Barrier); err != nil {
		return term, fmt.Errorf("barrier: %w", err)
	}
	n.mu.Lock()
	n.next, n.epoch = n.EndOffset(), term
	n.mu.Unlock()
	if err := n.append(n.leaderChange()); err != nil {
		return term, fmt.Errorf("leader change: %w", err)
	}
	return term, nil
}

func (n *node) leaderChange() records.Batch {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := records.NewBatchBuilder(n.next, n.epoch, n.timestamp())
	id := n.config.NodeID
	if err := b.AddControl(&records.LeaderChange{LeaderID: id, Voters: []int32{id}, GrantingVoters: []int32{id}}); err != nil {
		n.t.Fatal(err)
	}
	n.next++
	return b.Batch()
}

// batch stamps a batch that sets name to value, as the next one.
func (n *node) batch(name, value string, more ...records.Record) records.Batch {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.build(name, value, more...)
	n.next = b.EndOffset()
	return b
}

func (n *node) build(name, value string, more ...records.Record) records.Batch {
	b := records.NewBatchBuilder(n.next, n.epoch, n.timestamp())
	for _, r := range append([]records.Record{config(name, value)}, more...) {
		if err := b.Add(r, 0); err != nil {
			n.t.Fatal(err)
		}
	}
	return b.Batch()
}

func (n *node) append(b records.Batch) error {
	return call(func(done func(error)) { n.Append(b, []byte("test"), done) })
}

// set appends a batch and waits for it.
func (n *node) set(name, value string) {
	n.t.Helper()
	if err := n.append(n.batch(name, value)); err != nil {
		n.t.Fatalf("set %s: %v", name, err)
	}
}

// readAll reads the log from its start to its end in pieces and checks that they join.
func readAll(t testing.TB, l *Log, maxBytes int) []records.Batch {
	t.Helper()
	var all []records.Batch
	offset := l.StartOffset()
	for end := l.EndOffset(); offset < end; {
		data, err := l.Read(offset, maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			t.Fatalf("nothing at %d, the end is %d", offset, end)
		}
		for len(data) > 0 {
			b, rest, err := records.ParseBatch(data)
			if err != nil {
				t.Fatal(err)
			}
			if b.BaseOffset() != offset {
				t.Fatalf("batch at %d, expected %d", b.BaseOffset(), offset)
			}
			all, data, offset = append(all, b), rest, b.EndOffset()
		}
	}
	return all
}

func sameBatches(a, b []records.Batch) bool {
	return slices.EqualFunc(a, b, func(x, y records.Batch) bool { return bytes.Equal(x, y) })
}

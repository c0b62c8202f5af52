package raftlog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"yakt/records"
)

// What hashicorp/raft 1.8 does that this package must know, each as a test (architecture.md §2).

// TestStableStoreSaysNotFound in exactly the words that raft compares.
func TestStableStoreSaysNotFound(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	for _, get := range []func([]byte) error{
		func(k []byte) error { _, err := n.store.Get(k); return err },
		func(k []byte) error { _, err := n.store.GetUint64(k); return err },
	} {
		if err := get([]byte("nothing")); err == nil || err.Error() != "not found" {
			t.Fatal(err)
		}
	}
	if err := n.store.GetLog(999, new(raft.Log)); err != raft.ErrLogNotFound { // raft compares it, unwrapped
		t.Fatal(err)
	}
}

// TestSoleVoterLeadsAtOnce: not after the second or two of silence that raft waits for. The clock here is virtual and
// moves only when everybody waits for it.
func TestSoleVoterLeadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		disk := vfs.NewMem()
		for range 2 { // a new directory, and one that is known
			n := openNode(t, disk, "d")
			n.lead()
			n.Close()
		}
		if waited := time.Since(start); waited > 0 {
			t.Fatalf("waited for %v", waited)
		}
	})
}

// TestRestoreCommittedLogsStaysOff: with it a restart forgets configuration entries.
func TestRestoreCommittedLogsStaysOff(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	if n.raftConfig().RestoreCommittedLogs {
		t.Fatal("RestoreCommittedLogs is on")
	}
	n.lead()
	n.set("a", "1")
	n.Close()
	n = openNode(t, disk, "d")
	if !n.soleVoter() {
		t.Fatal("a restart forgot the configuration")
	}
	n.lead()
	await(t, n, "the voters are known", func() bool { return len(n.Voters()) == 1 })
}

// TestNoChangeOfLeadershipIsMissed: raft's own channel keeps one signal and drops the rest.
func TestNoChangeOfLeadershipIsMissed(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	last := n.lead()
	for range 50 {
		n.transport.electSelf()
		await(t, n, "a later term", func() bool { term, ok := n.Leading(); return ok && term > last })
		last, _ = n.Leading()
	}
}

// TestReadyIsWhatBarrierSays: neither Open's return nor raft's applied index means that anything was applied.
func TestReadyIsWhatBarrierSays(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	n.lead()
	for i := range 100 {
		n.set("a", fmt.Sprint(i))
	}
	n.Close()
	n = openNode(t, disk, "d")
	await(t, n, "this node leads", func() bool { _, ok := n.Leading(); return ok })
	if id, _ := n.Leader(); id != -1 {
		t.Fatal("it says that it leads before its LeaderChange")
	}
	if err := call(n.Barrier); err != nil {
		t.Fatal(err)
	}
	if n.EndOffset() != 101 || n.machine.get("a") != "99" {
		t.Fatal(n.EndOffset())
	}
}

// TestBarrierAndConfigurationAdvanceTheSnapshot: raft refuses a snapshot that is behind a configuration entry, and for an
// FSM that takes no batches such entries do not count as applied.
func TestBarrierAndConfigurationAdvanceTheSnapshot(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	n.set("a", "1")
	if err := n.raft.AddNonvoter("7:"+raft.ServerID(records.UUID{7}.String()), "node7:9093", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	if err := call(n.Barrier); err != nil {
		t.Fatal(err)
	}
	last, _ := n.store.LastIndex()
	n.snapshot()
	if c, _ := n.snapshots.newest(); c.row.Index != last || len(c.row.Configuration.Servers) != 2 {
		t.Fatalf("the snapshot ends at entry %d of %d", c.row.Index, last)
	}
	if len(n.Voters()) != 1 {
		t.Fatal("a non-voter is no voter")
	}
}

// TestOnlyWhatComesNextCounts: whatever raft commits, a batch with another offset, another epoch, or before the term's
// LeaderChange is dropped, and the log goes on.
func TestOnlyWhatComesNextCounts(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	await(t, n, "this node leads", func() bool { _, ok := n.Leading(); return ok })
	n.epoch, _ = n.Leading()
	want := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrDropped) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	want("data before the LeaderChange", n.append(n.build("a", "1")))
	if err := n.append(n.leaderChange()); err != nil {
		t.Fatal(err)
	}
	good := n.build("a", "1")
	n.next += 5
	want("a later offset", n.append(n.build("a", "2")))
	n.next -= 6
	want("an earlier offset", n.append(n.build("a", "2")))
	n.next++
	n.epoch++
	want("another epoch", n.append(n.build("a", "2")))
	n.epoch -= 2
	want("another epoch", n.append(n.build("a", "2")))
	n.epoch++
	want("half a batch", n.append(good[:len(good)-3]))
	want("a batch and more", n.append(append(slices.Clone(good), 1, 2, 3)))
	want("no batch", n.append(records.Batch("hello, this is not a batch at all, but it is long enough to be one")))
	if err := n.append(good); err != nil {
		t.Fatal(err)
	}
	if n.EndOffset() != 2 || len(readAll(t, n.Log, 1<<20)) != 2 {
		t.Fatal(n.EndOffset())
	}
	n.Close()
}

// TestWhatDoesNotCountNeverDoes: not for who indexes the log at a start, nor for who reads it offline.
func TestWhatDoesNotCountNeverDoes(t *testing.T) {
	fs := vfs.NewMem()
	n := openNode(t, fs, "d")
	n.lead()
	two := n.build("a", "1", config("b", "1")) // if they counted, the log would end further than by what comes in their place
	if err := n.append(append(slices.Clone(two), 1, 2, 3)); !errors.Is(err, ErrDropped) {
		t.Fatal(err)
	}
	n.set("a", "2")
	id := n.snapshot()
	n.Close()
	s, err := openStopped(fs, "d")
	if err != nil {
		t.Fatal(err)
	}
	if s.EndOffset() != id.EndOffset || s.Dropped() != 1 {
		t.Error(s.EndOffset(), s.Dropped())
	}
	s.Close()
	if n = openNode(t, fs, "d"); n.EndOffset() != id.EndOffset {
		t.Error(n.EndOffset())
	}
}

// TestOutcomesComeInOrder: also those of batches that are refused on the spot, and of barriers among them; and never
// inside the call.
func TestOutcomesComeInOrder(t *testing.T) {
	// The test says when the disk is full, and nobody else looks.
	n := openNode(t, vfs.NewMem(), "d", func(c *Config) { c.MinFreeBytes = -1 })
	n.lead()
	var order []int
	var wrong []string
	var inside atomic.Bool
	done := make(chan struct{})
	const last = 300
	for i := range last + 1 {
		refused, barrier := i%7 == 3, i%11 == 5
		n.diskFull.Store(refused)
		f := func(err error) {
			if inside.Load() {
				wrong = append(wrong, "inside the call")
			}
			if refused && !barrier != errors.Is(err, ErrDiskFull) || (barrier || !refused) && err != nil {
				wrong = append(wrong, fmt.Sprint(i, ": ", err))
			}
			if order = append(order, i); i == last {
				close(done)
			}
		}
		switch {
		case barrier:
			n.Barrier(f)
		case refused:
			n.Append(n.build("a", "refused"), nil, f)
		default:
			n.Append(n.batch("a", fmt.Sprint(i)), nil, f)
		}
	}
	<-done
	if !slices.IsSorted(order) || len(order) != last+1 || len(wrong) > 0 {
		t.Fatal(len(order), wrong)
	}
	inside.Store(true)
	n.Close()
	inside.Store(false)
	for _, f := range []func(func(error)){n.Barrier, n.Verify,
		func(done func(error)) { n.Append(n.build("a", "late"), nil, done) }} {
		if err := call(f); !errors.Is(err, ErrClosed) {
			t.Fatal("after Close:", err)
		}
	}
}

// TestManyAppendsOneSync: what comes while a sync runs shares the next one.
func TestManyAppendsOneSync(t *testing.T) {
	var hold atomic.Pointer[chan struct{}]
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if gate := hold.Load(); gate != nil && strings.HasSuffix(op.Path, ".log") {
				<-*gate
			}
		}
		return nil
	}))
	n := openNode(t, fs, "d")
	n.lead()
	gate := make(chan struct{})
	hold.Store(&gate)
	before := n.Metrics()
	var all sync.WaitGroup
	for i := range 65 {
		all.Add(1)
		n.Append(n.batch("a", fmt.Sprint(i)), nil, func(err error) {
			if err != nil {
				t.Error(err)
			}
			all.Done()
		})
	}
	hold.Store(nil)
	close(gate)
	all.Wait()
	after := n.Metrics()
	if got := after.Syncs - before.Syncs; got > 6 || after.Entries-before.Entries != 65 {
		t.Fatalf("%d syncs for %d entries", got, after.Entries-before.Entries)
	}
}

// TestVoteIsOneWrite: raft stores a vote's term and then its candidate. Half a vote must not be found after a crash.
func TestVoteIsOneWrite(t *testing.T) {
	disk := vfs.NewCrashableMem()
	n := openNode(t, disk, "d")
	n.lead()
	term, candidate := []byte("LastVoteTerm"), []byte("LastVoteCand")
	voted, err := n.store.GetUint64(term)
	if err != nil {
		t.Fatal(err)
	}
	before := n.Metrics().Syncs
	must(n.store.SetUint64(term, voted+5))
	if got, _ := n.store.GetUint64(term); got != voted+5 {
		t.Fatal(got)
	}
	half := disk.CrashClone(vfs.CrashCloneCfg{})
	must(n.store.Set(candidate, []byte("somebody")))
	if syncs := n.Metrics().Syncs - before; syncs != 1 {
		t.Fatalf("%d writes", syncs)
	}
	whole := disk.CrashClone(vfs.CrashCloneCfg{})
	n.Close()
	for disk, want := range map[*vfs.MemFS]uint64{half: voted, whole: voted + 5} {
		edit(t, disk, "d", func(db *pebble.DB) {
			s := &store{db: db}
			if got, err := s.GetUint64(term); err != nil || got != want {
				t.Fatal(got, want, err)
			}
		})
	}
}

func TestPublishedPairNeverContradictsItself(t *testing.T) {
	p := &leaders{id: -1}
	for i, c := range []struct {
		id, epoch int32
		news, bad bool
	}{
		{-1, 0, false, false},
		{-1, 1, true, false},
		{3, 1, true, false},
		{3, 1, false, false},
		{-1, 1, false, false},
		{2, 1, false, true}, // two leaders of one epoch
		{2, 0, false, false},
		{2, 5, true, false},
		{3, 4, false, false},
		{-1, 6, true, false},
		{-1, 5, false, false},
	} {
		if news, err := p.publish(c.id, c.epoch); news != c.news || (err != nil) != c.bad {
			t.Fatal(i, news, err)
		}
	}
	if id, epoch := p.get(); id != -1 || epoch != 6 {
		t.Fatal(id, epoch)
	}
}

// TestLeaderIsTakenFromAcceptedTermsOnly.
func TestLeaderIsTakenFromAcceptedTermsOnly(t *testing.T) {
	header := raft.RPCHeader{ID: []byte("2:x")}
	for _, c := range []struct {
		request, response any
		ok                bool
	}{
		{&raft.AppendEntriesRequest{RPCHeader: header, Term: 4}, &raft.AppendEntriesResponse{Term: 4}, true},
		{&raft.AppendEntriesRequest{RPCHeader: header, Term: 4}, &raft.AppendEntriesResponse{Term: 5}, false},
		{&raft.InstallSnapshotRequest{RPCHeader: header, Term: 4}, &raft.InstallSnapshotResponse{Term: 4}, true},
		{&raft.InstallSnapshotRequest{RPCHeader: header, Term: 4}, &raft.InstallSnapshotResponse{Term: 5}, false},
		{&raft.RequestVoteRequest{RPCHeader: header, Term: 4}, &raft.RequestVoteResponse{Term: 4}, false},
		{&raft.AppendEntriesRequest{RPCHeader: header, Term: 4}, nil, false},
	} {
		leader, term, ok := leaderOf(c.request, c.response)
		if ok != c.ok || ok && (string(leader.ID) != "2:x" || term != 4) {
			t.Fatalf("%T %+v: %v %v %v", c.request, c.response, leader, term, ok)
		}
	}
}

func TestHandshakeRefusesAMismatch(t *testing.T) {
	self := hello{cluster: "c", from: "1:a"}
	for _, c := range []struct {
		what       string
		dial       hello
		want, why  string
		version    byte
		firstBytes string
	}{
		{what: "good", dial: hello{"c", "2:b", "1:a"}},
		{what: "another cluster", dial: hello{"d", "2:b", "1:a"}, want: "refused: this node belongs to cluster c", why: "not d"},
		{what: "an emptied node", dial: hello{"c", "2:b", "1:z"}, want: "refused: this is node 1:a, not 1:z", why: "not 1:z"},
		{what: "itself", dial: hello{"c", "1:a", "1:a"}, want: "yourself", why: "yourself"},
		{what: "another version", version: 7, why: "version 7"},
		{what: "no raft connection", firstBytes: "GET / HTTP/1.1\r\n", why: "not a raft connection"},
	} {
		t.Run(c.what, func(t *testing.T) {
			a, b := net.Pipe()
			defer a.Close()
			defer b.Close()
			accepted := make(chan error, 1)
			go func() {
				_, err := acceptHandshake(b, self)
				accepted <- err
			}()
			var dialed error
			switch {
			case c.firstBytes != "":
				go a.Write([]byte(c.firstBytes)) // it is not read to its end
			case c.version != 0:
				bad := appendHello(nil, "c", "2:b", "1:a")
				bad[len(handshakeMagic)] = c.version
				go a.Write(bad)
			default:
				dialed = dialHandshake(a, c.dial)
			}
			for err, want := range map[error]string{dialed: c.want, <-accepted: c.why} {
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Fatalf("%q is not in: %v", want, err)
				}
			}
		})
	}
	// Whoever answers must be who was wanted, too.
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		readHello(b)
		b.Write(appendHello(nil, "c", "9:x", ""))
		b.Close()
	}()
	if err := dialHandshake(a, hello{"c", "2:b", "1:a"}); err == nil || !strings.Contains(err.Error(), "node 9:x answers there") {
		t.Fatal(err)
	}
}

// TestSilentConnectionHoldsUpNobody: a handshake that does not come is waited for beside the accept loop.
func TestSilentConnectionHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork()
		l := net.listen("here")
		s := newStreams(l, nil, hello{cluster: "c", from: "1:a"}, nil, func(raft.ServerID) {}, testLogger(t))
		dial := net.dialer("there")
		silent, err := dial(context.Background(), "here")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		good, err := dial(context.Background(), "here")
		if err != nil {
			t.Fatal(err)
		}
		if err := dialHandshake(good, hello{"c", "2:b", "1:a"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Accept(); err != nil || time.Since(start) > 0 {
			t.Fatal(err, time.Since(start))
		}
		if _, err := silent.Read(make([]byte, 1)); err == nil {
			t.Fatal("it was answered")
		}
		if waited := time.Since(start); waited != handshakeTimeout {
			t.Fatal(waited)
		}
		s.Close()
		good.Close()
		silent.Close()
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNode(t, vfs.NewMem(), "d")
		n.lead()
		returned := make(chan string, 8)
		wait := func(what string, ctx context.Context, offset int64, want error) {
			leader, epoch := n.Leader()
			go func() {
				if err := n.Wait(ctx, offset, leader, epoch); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
				returned <- what
			}()
			synctest.Wait()
		}
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			select {
			case got := <-returned:
				if got != want {
					t.Fatal(got)
				}
			default:
				t.Fatal("still waiting: ", want)
			}
		}
		wait("at once", context.Background(), 0, nil)
		expect("at once")
		wait("an append", context.Background(), 1, nil)
		n.set("a", "1")
		expect("an append")
		ctx, cancel := context.WithCancel(context.Background())
		wait("the context", ctx, 100, context.Canceled)
		n.set("a", "2")
		cancel()
		expect("the context")
		wait("another leader", context.Background(), 100, nil)
		n.publish(7, 1000)
		expect("another leader")
		if err := n.Wait(context.Background(), 100, -1, 0); err != nil {
			t.Error("a leader that was another one before the call:", err)
		}
		wait("close", context.Background(), 100, ErrClosed)
		n.Close()
		expect("close")
	})
}

// TestAddressFollowsTheFlags: a node that comes back under another address tells raft's configuration.
func TestAddressFollowsTheFlags(t *testing.T) {
	disk := vfs.NewMem()
	n := openNode(t, disk, "d")
	n.lead()
	n.Close()
	n = openNode(t, disk, "d", func(c *Config) { c.Advertise, c.ListenerName = "elsewhere:19093", "CTL" })
	n.lead()
	await(t, n, "the configuration has the new address", func() bool {
		n.Log.mu.Lock()
		defer n.Log.mu.Unlock()
		return len(n.members.Servers) == 1 && n.members.Servers[0].Address == "elsewhere:19093"
	})
	want := records.VoterEndpoint{Name: "CTL", Host: "elsewhere", Port: 19093}
	if v := n.Voters(); len(v) != 1 || v[0].Endpoints[0] != want || v[0].DirectoryID != n.DirectoryID() || v[0].ID != 1 || v[0].MaxKRaft != 1 {
		t.Fatal(v)
	}
}

// TestCloseLeavesNothingRunning, with proposals in every queue; each of them gets its outcome.
func TestCloseLeavesNothingRunning(t *testing.T) {
	running := goleak.IgnoreCurrent()
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	var outcomes atomic.Int64
	for i := range 500 {
		n.Append(n.batch("a", fmt.Sprint(i)), nil, func(error) { outcomes.Add(1) })
		n.Verify(func(error) { outcomes.Add(1) })
		n.Barrier(func(error) { outcomes.Add(1) })
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if got := outcomes.Load(); got != 1500 {
		t.Fatalf("%d outcomes", got)
	}
	goleak.VerifyNone(t, running)
}

// TestMetricsMayReadAfterTheEnd: raft's goroutine for them is not waited for when raft ends, and Pebble panics when it is closed.
func TestMetricsMayReadAfterTheEnd(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	n.set("a", "1")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	var entry raft.Log
	if err := n.store.GetLog(1, &entry); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatal(err)
	}
}

package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"sync"
	"time"

	"yakt/records"
)

// fakeLog is a log of one node that commits everything at once, on a goroutine of its own.
type fakeLog struct {
	machine *Controller

	mu        sync.Mutex
	leader    int32
	epoch     int32
	leading   bool
	sequence  records.Sequence
	held      []records.Batch // what sequence holds back
	batches   []records.Batch
	start     int64
	snapshots map[records.SnapshotID][]byte
	order     []records.SnapshotID
	changed   chan struct{}
	reading   func() // called by Read before it looks
	work      chan func()
	done      chan struct{}
	others    []fakeMember // members beside this node
	notify    func()

	refuse  func(records.Batch) error // asked before a batch is appended; nil: nothing is refused
	applied func(records.Batch)       // told after one was taken, and applied unless it is held back, before anybody else is

	denied error // what changes of the quorum come to; nil: they are made
	late   bool  // who is added does not vote yet
}

// fakeMember is another member of the quorum and how far it is.
type fakeMember struct {
	voter            records.Voter
	votes            bool
	end              int64
	answered, caught time.Time
}

func newFakeLog(machine *Controller) *fakeLog {
	l := &fakeLog{
		machine: machine, leader: -1, epoch: 1, leading: true,
		snapshots: map[records.SnapshotID][]byte{}, changed: make(chan struct{}),
		work: make(chan func(), 1000), done: make(chan struct{}),
	}
	go func() {
		defer close(l.done)
		for f := range l.work {
			f()
		}
	}()
	return l
}

func (l *fakeLog) close() {
	close(l.work)
	<-l.done
}

func (l *fakeLog) ClusterID() string { return "AAAAAAAAAAAAAAAAAAAABQ" }

func (l *fakeLog) Append(b records.Batch, _ []byte, done func(error)) {
	l.work <- func() {
		l.mu.Lock()
		refuse, applied := l.refuse, l.applied
		l.mu.Unlock()
		var err error
		if refuse != nil {
			err = refuse(b)
		}
		l.mu.Lock()
		var counts []records.Batch
		if err == nil {
			counts, err = l.sequenced(b)
			l.batches = append(l.batches, counts...)
		}
		l.mu.Unlock()
		if len(counts) > 0 {
			l.machine.Apply(counts)
			l.mu.Lock()
			l.leader = l.machine.nodeID
			close(l.changed)
			l.changed = make(chan struct{})
			l.mu.Unlock()
		}
		if err == nil && applied != nil {
			applied(b)
		}
		done(err)
	}
}

// sequenced returns what counts from b on.
func (l *fakeLog) sequenced(b records.Batch) ([]records.Batch, error) {
	n, err := l.sequence.Next(b, l.epoch)
	if err != nil {
		return nil, err
	}
	var counts []records.Batch
	l.held, counts = records.Hold(l.held, b, n)
	return counts, nil
}

func (l *fakeLog) Barrier(done func(error)) { l.work <- func() { done(nil) } }
func (l *fakeLog) Verify(done func(error))  { l.work <- func() { done(nil) } }

func (l *fakeLog) Leading() (int32, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch, l.leading
}

func (l *fakeLog) Leader() (int32, int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader, l.epoch
}

func (l *fakeLog) Notify(f func()) {
	l.mu.Lock()
	l.notify = f
	l.mu.Unlock()
	l.work <- f
}

// setOthers changes the quorum, as a committed configuration entry does.
func (l *fakeLog) setOthers(others ...fakeMember) {
	l.mu.Lock()
	l.others = others
	l.mu.Unlock()
	l.work <- l.notify
}

// AddVoter makes a member of a node, which votes at once unless it is to be late.
func (l *fakeLog) AddVoter(_ context.Context, id int32, directory records.UUID, address string) error {
	l.mu.Lock()
	others, late, denied := slices.Clone(l.others), l.late, l.denied
	l.mu.Unlock()
	if denied != nil {
		return denied
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	v := fakeVoter(id, host)
	v.DirectoryID = directory
	l.setOthers(append(others, fakeMember{voter: v, votes: !late})...)
	return nil
}

// RemoveVoter removes a member other than this node, which lets go of leadership.
func (l *fakeLog) RemoveVoter(_ context.Context, id int32, directory records.UUID) error {
	l.mu.Lock()
	others, denied := slices.Clone(l.others), l.denied
	l.mu.Unlock()
	if denied != nil {
		return denied
	}
	if id == l.machine.nodeID {
		l.mu.Lock()
		l.leading = false
		l.mu.Unlock()
		return errors.New("no longer the leader")
	}
	l.setOthers(slices.DeleteFunc(others, func(m fakeMember) bool { return m.voter.ID == id && m.voter.DirectoryID == directory })...)
	return nil
}

func (l *fakeLog) Progress(tell func(int32, records.UUID, bool, int64, time.Time, time.Time)) {
	l.mu.Lock()
	others := l.others
	l.mu.Unlock()
	self := l.self()
	tell(self.ID, self.DirectoryID, true, l.EndOffset(), time.Now(), time.Now())
	for _, m := range others {
		tell(m.voter.ID, m.voter.DirectoryID, m.votes, m.end, m.answered, m.caught)
	}
}

func (l *fakeLog) StartOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start
}

func (l *fakeLog) EndOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sequence.End
}

func (l *fakeLog) Read(offset int64, maxBytes int) ([]byte, error) {
	l.mu.Lock()
	reading := l.reading
	l.mu.Unlock()
	if reading != nil {
		reading()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.start || offset > l.sequence.End {
		return nil, fmt.Errorf("offset %d is outside", offset)
	}
	var out []byte
	for _, b := range l.batches {
		if b.EndOffset() <= offset {
			continue
		}
		if len(out) > 0 && len(out)+len(b) > maxBytes {
			break
		}
		out = append(out, b...)
	}
	return out, nil
}

func (l *fakeLog) Wait(ctx context.Context, offset int64, leader, epoch int32) error {
	for {
		l.mu.Lock()
		changed, end := l.changed, l.sequence.End
		l.mu.Unlock()
		if nowLeader, nowEpoch := l.Leader(); end > offset || nowLeader != leader || nowEpoch != epoch {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// elect has another node lead, or none (-1).
func (l *fakeLog) elect(id int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader, l.leading = id, false
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *fakeLog) EpochEnd(epoch int32) (found int32, end int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		if b.LeaderEpoch() <= epoch && b.BaseOffset() >= l.start {
			found, end, ok = b.LeaderEpoch(), b.EndOffset(), true
		}
	}
	return found, end, ok
}

// snapshot takes a checkpoint, forgets the one before, and moves the log start to it.
func (l *fakeLog) snapshot() (records.SnapshotID, error) {
	id, write, err := l.machine.Checkpoint()
	if err != nil {
		return id, err
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return id, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.snapshots, l.order, l.start = map[records.SnapshotID][]byte{id: b.Bytes()}, []records.SnapshotID{id}, id.EndOffset
	return id, nil
}

func (l *fakeLog) LatestSnapshot() (records.SnapshotID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.order) == 0 {
		return records.SnapshotID{}, false
	}
	return l.order[len(l.order)-1], true
}

func (l *fakeLog) OldestSnapshot() (records.SnapshotID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.order) == 0 {
		return records.SnapshotID{}, false
	}
	return l.order[0], true
}

type memorySnapshot struct{ *bytes.Reader }

func (memorySnapshot) Close() error { return nil }

func (l *fakeLog) OpenSnapshot(id records.SnapshotID) (interface {
	io.ReaderAt
	io.Closer
	Size() int64
}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.snapshots[id]
	if !ok {
		return nil, errors.Join(fs.ErrNotExist)
	}
	return memorySnapshot{bytes.NewReader(b)}, nil
}

func (l *fakeLog) self() records.Voter { return fakeVoter(l.machine.nodeID, "controller.example") }

func fakeVoter(id int32, host string) records.Voter {
	return records.Voter{
		ID: id, DirectoryID: records.UUID{0: 7, 14: byte(id - 1), 15: 200}, MaxKRaft: 1,
		Endpoints: []records.VoterEndpoint{{Name: "CONTROLLER", Host: host, Port: 5010}},
	}
}

func (l *fakeLog) Voters() []records.Voter {
	l.mu.Lock()
	defer l.mu.Unlock()
	voters := []records.Voter{l.self()}
	for _, m := range l.others {
		if m.votes {
			voters = append(voters, m.voter)
		}
	}
	return voters
}

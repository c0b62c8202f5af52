package controller

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

const (
	sealBytes   = 512 << 10 // a batch that has grown so far takes no further operation, nor further records of a metadata transaction
	maxInFlight = 4         // batches waiting for their commit; while they wait, operations gather for the next
	maxQueue    = 10_000    // operations waiting to be planned; more are told to try again

	// Room is made at once for this many records of this length, about that of a change of a partition: growing makes twice as much.
	manyRecords = 1000
	recordBytes = 48
)

// operation is one thing to decide: a request, or something the controller does by itself.
type operation struct {
	caller  Caller
	request kmsg.Request // nil for the controller's own
	name    string       // of the controller's own, for logs
	plan    func(*plan.View) plan.Result
	control []records.ControlRecord // instead of plan: control records
	respond func(kmsg.Response)     // nil for the controller's own; called exactly once otherwise
	settled func(err error)         // of the controller's own: what came of it; may be nil

	response   kmsg.Response
	end        int64         // end offset of the first image that has what it did
	unwritable *plan.Refusal // why its records were not taken; nil: they were
	ahead      int           // steps of it that have not settled, while what is left of it waits or is in flight behind them
	failed     error         // why one of them came to nothing; nil: none has
}

// flight is a point in the order of events that responses wait for: a batch's commit, or a confirmation of leadership
// for answers that wrote nothing.
type flight struct {
	operations []*operation
	batch      bool
	settled    bool
	err        error
}

// writer is the single writer. It owns head, the image with everything proposed so far, and plans one operation after
// another on it; what a round decided becomes one batch, and the writer goes on without waiting for its commit.
//
//	submit ─► queue ─► round: plan, plan, plan … ─► seal ─► Log.Append
//	                     │ head moves with each              │
//	                     └──────────── flights ◄─────────────┘ settle in order: responses leave
//
// An operation that is too large for one batch becomes a metadata transaction of several (transactions.go); until the last of them is
// appended nothing else is planned.
//
// When one flight fails (refused, dropped, leadership lost) everything planned after it was planned on a state that will
// not come: the writer abandons the head, plans nothing until every flight has settled, and starts over from what is applied.
//
// It has no goroutine, clock or lock of its own but the mailbox's: step does all there is to do, on the goroutine that calls it. Only
// post and submit may be called from elsewhere.
type writer struct {
	log      Log
	logger   *slog.Logger
	clock    func() time.Time
	rand     *rand.Rand
	settings *plan.Settings
	sessions *sessions
	commit   *committed
	mail     mailbox
	maxBatch int // bytes that one operation may take in a batch

	active     bool  // this node is the active controller: operations are planned
	term       int32 // of the leadership that is held or being taken over; 0 when standing by
	head       *image.Image
	abandoning bool
	queue      []*operation
	pieces     []piece // of a metadata transaction, still to be appended
	stamp      int64   // the latest timestamp that a batch was proposed with, whatever came of it
	flights    []*flight
}

// mailbox is how other goroutines reach the writer.
type mailbox struct {
	mu         sync.Mutex
	events     []func()
	operations []*operation
	queued     int           // operations that the writer had taken and not planned when it last looked; it looks until there is nothing to do
	wake       chan struct{} // holds one token while there is something
}

func (m *mailbox) post(event func()) {
	m.mu.Lock()
	m.events = append(m.events, event)
	m.mu.Unlock()
	m.signal()
}

// submit queues an operation; false when too many are waiting.
func (m *mailbox) submit(op *operation) bool {
	m.mu.Lock()
	if m.queued+len(m.operations) >= maxQueue {
		m.mu.Unlock()
		return false
	}
	m.operations = append(m.operations, op)
	m.mu.Unlock()
	m.signal()
	return true
}

func (m *mailbox) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox; so many of the operations that were taken before are still waiting.
func (m *mailbox) take(waiting int) ([]func(), []*operation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events, operations := m.events, m.operations
	m.events, m.operations = nil, nil
	m.queued = waiting + len(operations)
	return events, operations
}

// step does everything there is to do right now; false when there was nothing.
func (w *writer) step() bool {
	events, operations := w.mail.take(len(w.queue))
	for _, event := range events {
		event()
	}
	if w.active {
		w.queue = append(w.queue, operations...)
	} else {
		w.refuse(operations)
	}
	did := len(events)+len(operations) > 0
	for w.active && !w.abandoning && len(w.flights) < maxInFlight && w.proceed() {
		did = true
	}
	return did
}

// proceed appends the batch that comes next; false when there is nothing to append.
func (w *writer) proceed() bool {
	switch {
	case len(w.pieces) > 0:
		w.appendPiece()
	case len(w.queue) > 0:
		w.round()
	default:
		return false
	}
	return true
}

// round plans what is waiting, up to one batch, and appends it. An operation that no longer fits begins the next round, where it is
// planned again; one that has a round to itself and does not fit becomes a metadata transaction.
func (w *writer) round() {
	var (
		now     = w.clock()
		parent  = w.head
		f       = &flight{}
		b       *records.BatchBuilder
		authors []author
		edit    = w.head.Edit() // plans look at its view, which costs nothing, and are done with it when they return
		taken   = 0
	)
	for _, op := range w.queue {
		if op.control != nil && b != nil {
			break // control records have a batch of their own
		}
		if op.control != nil {
			taken++
			b = w.newBatch(now)
			for _, c := range op.control {
				if err := b.AddControl(c); err != nil {
					panic(err)
				}
			}
			f.operations = append(f.operations, op)
			break
		}
		head := edit.View()
		next := head.EndOffset()
		result := op.plan(&plan.View{Image: head, Now: now, NextOffset: next, Sessions: w.sessions, Rand: w.rand, Settings: w.settings})
		op.response = result.Response
		if result.Refusal != nil {
			w.logger.Info("refused", "who", op.who(), "err", result.Refusal)
		}
		if n := len(result.Records); n > 0 {
			if b == nil {
				b = w.newBatch(now)
			}
			err := w.add(b, head.MetadataVersion(), result.Records, w.maxBatch)
			if errors.Is(err, records.ErrBatchFull) {
				if len(f.operations) > 0 {
					break
				}
				if err = w.transact(op, result, now); err == nil {
					w.queue = append(w.queue[:0:0], w.queue[1:]...)
					w.goOn(op, result)
					return
				}
			}
			if err != nil {
				w.logger.Error("operation refused: its records cannot be written", "records", n, "who", op.who(), "err", err)
				op.unwritable = unwritable(err)
			} else {
				for i, r := range result.Records {
					edit.Replay(r, next+int64(i))
				}
				authors = append(authors, op.author(n))
				if result.Session != nil {
					w.sessions.change(result.Session, next+int64(n))
				}
			}
		} else if result.Session != nil {
			w.sessions.change(result.Session, next)
		}
		taken++
		w.goOn(op, result)
		op.end = edit.View().EndOffset()
		f.operations = append(f.operations, op)
		if b != nil && b.Size() >= sealBytes {
			break
		}
	}
	w.queue = append(w.queue[:0:0], w.queue[taken:]...)
	w.flights = append(w.flights, f)
	if b == nil || b.Len() == 0 {
		w.log.Verify(w.verified(f))
		return
	}
	f.batch = true
	w.head = edit.Image()
	w.append(b.Batch(), parent, encodeAuthors(authors), w.settler(f))
}

// goOn queues what is left of an operation of which a step was taken, behind those who wait. It does not wait for the step's
// commit: should that fail, what is left finds what the step did not do.
func (w *writer) goOn(op *operation, step plan.Result) {
	if step.Rest != nil && op.unwritable == nil {
		op.plan, op.ahead = step.Rest, op.ahead+1
		w.queue = append(w.queue, op)
	}
}

// add puts one operation's records into the batch, all of them or none; ErrBatchFull says that they are more than limit bytes or do not fit. A record that cannot be written is a plan's
// mistake; it is refused all the same, since nothing has changed yet and somebody's odd input must not end the process.
func (w *writer) add(b *records.BatchBuilder, level records.MetadataVersion, rs []records.Record, limit int) error {
	mark, before := b.Mark(), b.Size()
	if len(rs) >= manyRecords {
		b.Reserve(len(rs) * recordBytes)
	}
	for _, r := range rs {
		level = levelFor(r, level)
		err := b.Add(r, records.VersionOf(r, level))
		if err == nil && b.Size()-before > limit {
			err = records.ErrBatchFull
		}
		if err != nil {
			b.Rollback(mark)
			return err
		}
	}
	return nil
}

// levelFor is the metadata.version at which the record is written, given that of the record before it.
func levelFor(r records.Record, level records.MetadataVersion) records.MetadataVersion {
	if f, ok := r.(*records.FeatureLevel); ok && f.Name == records.FeatureMetadataVersion {
		return records.MetadataVersion(f.Level)
	}
	return level
}

// write appends records that nobody asked for, as a batch of their own.
func (w *writer) write(op *operation, rs []records.Record) {
	parent := w.head
	b := w.newBatch(w.clock())
	if err := w.add(b, parent.MetadataVersion(), rs, records.MaxBatchBytes); err != nil {
		panic(fmt.Sprintf("controller: records of %s: %v", op.who(), err))
	}
	edit := parent.Edit()
	for i, r := range rs {
		edit.Replay(r, parent.EndOffset()+int64(i))
	}
	w.head = edit.Image()
	f := &flight{batch: true, operations: []*operation{op}}
	w.flights = append(w.flights, f)
	w.append(b.Batch(), parent, encodeAuthors([]author{op.author(len(rs))}), w.settler(f))
}

// newBatch opens the batch that comes next. Its timestamp is later than that of the one before: it names a position. It is also later
// than that of any which was lost, so that parts of two attempts are not taken for one transaction (records.Sequence).
func (w *writer) newBatch(now time.Time) *records.BatchBuilder {
	return records.NewBatchBuilder(w.head.EndOffset(), w.term, max(now.UnixMilli(), w.head.Timestamp()+1, w.stamp+1))
}

// append proposes a batch planned on parent; head already holds its records.
func (w *writer) append(b records.Batch, parent *image.Image, who []byte, done func(error)) {
	if b.Control() {
		w.head = replay(parent, b)
	} else {
		edit := w.head.Edit()
		edit.Advance(b.EndOffset(), b.LeaderEpoch(), b.Timestamp())
		w.head = edit.Image()
	}
	w.propose(b, parent, w.head, who, done)
}

// propose hands a batch to the log.
func (w *writer) propose(b records.Batch, parent, result *image.Image, who []byte, done func(error)) {
	w.stamp = b.Timestamp()
	w.commit.propose(proposal{base: b.BaseOffset(), epoch: b.LeaderEpoch(), length: len(b), crc: b.CRC(), parent: parent, result: result})
	w.log.Append(b, who, done)
}

// settler is the callback by which the log tells what came of a flight.
func (w *writer) settler(f *flight) func(error) {
	return func(err error) {
		w.mail.post(func() { w.settle(f, err) })
	}
}

// verified is the settler of a flight that waits for nothing but a confirmation of leadership. That is worth something
// only in the term in which its answers were planned: when leadership was lost and won again before the writer
// noticed, others may have written in between.
func (w *writer) verified(f *flight) func(error) {
	settle, planned := w.settler(f), w.term
	return func(err error) {
		if term, leading := w.log.Leading(); err == nil && (!leading || term != planned) {
			err = errNotActive
		}
		settle(err)
	}
}

// settle notes what came of a flight and releases every response that may leave.
func (w *writer) settle(f *flight, err error) {
	f.settled, f.err = true, err
	if err != nil && !w.abandoning {
		w.abandon()
		w.logger.Info("planned work abandoned", "epoch", w.term, "offset", w.commit.last().EndOffset(), "flights", len(w.flights), "err", err)
	}
	for len(w.flights) > 0 && w.flights[0].settled {
		first := w.flights[0]
		w.flights = w.flights[1:]
		if first.err == nil && w.abandoning && !first.batch {
			first.err = errAbandoned // it was read from a head that will not come
		}
		for _, op := range first.operations {
			op.finish(first.err)
		}
	}
	if w.abandoning && len(w.flights) == 0 {
		w.abandoning = false
		w.head = w.commit.last()
	}
}

// abandon gives up everything that is planned and not committed.
func (w *writer) abandon() {
	w.dropPieces()
	w.abandoning = len(w.flights) > 0
	w.commit.abandon()
	w.head = w.commit.last()
}

// refuse answers operations that cannot be planned here.
func (w *writer) refuse(operations []*operation) {
	for _, op := range operations {
		op.finish(errNotActive)
	}
}

// finish sends the operation's response, or says that it came to nothing. It is called for each step, in their order or, when
// leadership is lost, for what was still waiting before those in flight: the last one tells of them all.
func (op *operation) finish(err error) {
	if op.failed == nil {
		op.failed = err
	}
	if op.ahead > 0 {
		op.ahead--
		return
	}
	err = op.failed
	if err == nil && op.unwritable != nil {
		err = op.unwritable
	}
	if op.settled != nil {
		op.settled(err)
	}
	if op.respond == nil {
		return
	}
	if err != nil {
		op.response = refusal(op.request, refusalFor(err))
	}
	op.respond(op.response)
}

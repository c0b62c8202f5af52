package raftlog

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"yakt/records"
)

var (
	// ErrClosed means that the log was closed, or has failed.
	ErrClosed = errors.New("raftlog: closed")
	// ErrDiskFull means that a batch was refused because the disk is nearly full. Nothing was written.
	ErrDiskFull = fmt.Errorf("raftlog: the disk is nearly full: %w", syscall.ENOSPC)
)

// Append, Barrier: a proposal waits in line for raft, which takes it when its own goroutine comes round, and then in the
// next line for its outcome. Two goroutines walk the lines: the proposer may block in raft, which may be in an fsync; the
// settler blocks until the first outcome in line is known. So Append never blocks, and done is called in its order.
//
//	Append ──► to propose ──► raft.ApplyLog ──► to settle ──► future ──► done
type proposal struct {
	data, who []byte // data nil: a barrier
	future    raft.Future
	err       error // refused before raft saw it
	done      func(error)
}

// Append proposes a batch and returns at once; b must not change any more. done is called exactly once, in the order of
// Append and Barrier, on a goroutine of the log's: with nil after the batch was committed, counted and applied here, or
// is held back until the end of its metadata transaction counts;
// with an error when it was refused or dropped, or when its outcome is unknown.
func (l *Log) Append(b records.Batch, who []byte, done func(error)) {
	p := &proposal{data: b, who: who, done: done}
	if l.diskFull.Load() && !b.Control() {
		p.err = fmt.Errorf("%w: %s has less than %d bytes left; nothing is written until there is more room",
			ErrDiskFull, l.config.Dir, l.config.MinFreeBytes)
	}
	l.propose(p)
}

// Barrier calls done(nil) when everything that was committed before the call has been applied here and this node still
// leads. It stays in line with Append.
func (l *Log) Barrier(done func(error)) { l.propose(&proposal{done: done}) }

func (l *Log) propose(p *proposal) {
	if !l.toPropose.push(p) {
		go p.done(ErrClosed) // the settler has gone, and done must not run inside the call
	}
}

func (l *Log) proposer() {
	for {
		p, ok := l.toPropose.pop()
		if !ok {
			l.toSettle.close()
			return
		}
		switch {
		case p.err != nil:
		case l.stopped():
			p.err = ErrClosed
		case p.data == nil:
			p.future = l.raft.Barrier(0)
		default:
			p.future = l.raft.ApplyLog(raft.Log{Data: p.data, Extensions: p.who}, 0)
		}
		l.toSettle.push(p)
	}
}

func (l *Log) settler() {
	for {
		p, ok := l.toSettle.pop()
		if !ok {
			return
		}
		err := p.err
		if p.future != nil {
			if err = l.wait(p.future); errors.Is(err, syscall.ENOSPC) {
				err = ErrClosed // the disk is full indeed, and what came of it is not known
			}
			if f, ok := p.future.(raft.ApplyFuture); ok && err == nil && p.data != nil {
				err, _ = f.Response().(error)
			}
		}
		p.done(err)
	}
}

// wait returns the outcome of a future, or ErrClosed when the log has failed: raft leaves what is in its queues when it
// shuts down without an answer, for ever.
func (l *Log) wait(f raft.Future) error {
	answer := make(chan error, 1)
	l.asked.Add(1)
	go func() {
		answer <- f.Error()
		l.asked.Add(-1)
	}()
	select {
	case err := <-answer:
		if err != nil {
			return fmt.Errorf("raftlog: %w", err)
		}
		return nil
	case <-l.dead:
		return ErrClosed
	}
}

// answered returns when raft has answered everything that it was asked, or when the log has failed.
func (l *Log) answered() {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for l.asked.Load() > 0 {
		select {
		case <-ticker.C:
		case <-l.dead:
			return
		}
	}
}

// Verify calls done(nil) when a quorum has confirmed, after the call, that this node still leads. Calls that come while
// one question is out share the next.
func (l *Log) Verify(done func(error)) {
	if !l.toVerify.push(done) {
		go done(ErrClosed)
	}
}

func (l *Log) verifier() {
	for {
		waiting, ok := l.toVerify.popAll()
		if !ok {
			return
		}
		err := ErrClosed
		if !l.stopped() {
			err = l.wait(l.raft.VerifyLeader())
		}
		for _, done := range waiting {
			done(err)
		}
	}
}

// A line is an unbounded queue: push never blocks, pop waits.
type line[T any] struct {
	mu     sync.Mutex
	more   sync.Cond
	items  []T
	closed bool
}

func newLine[T any]() *line[T] {
	q := &line[T]{}
	q.more.L = &q.mu
	return q
}

// push returns false when the line is closed.
func (q *line[T]) push(item T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, item)
	q.more.Signal()
	return true
}

// pop returns false when the line is closed and empty.
func (q *line[T]) pop() (item T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		if q.closed {
			return item, false
		}
		q.more.Wait()
	}
	var none T
	item, q.items[0] = q.items[0], none
	q.items = q.items[1:]
	return item, true
}

func (q *line[T]) popAll() (items []T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		if q.closed {
			return nil, false
		}
		q.more.Wait()
	}
	items, q.items = q.items, nil
	return items, true
}

// close lets what is in the line be taken and refuses more.
func (q *line[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.more.Broadcast()
	q.mu.Unlock()
}

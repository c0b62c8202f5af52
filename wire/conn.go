package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	readBuffer = 4 << 10
	// writePiece is what is handed to the network at once: answers are gathered up to it, longer ones cut.
	writePiece = 64 << 10
	// answersAhead is how many bytes of a connection's answers may be waiting for its peer when a Beginner's next answer is
	// made. It is room for many small ones, and far below the longest times MaxInFlight.
	answersAhead = 1 << 20
)

// Ends that are nobody's fault.
var (
	errDrained = errors.New("drained")
	errIdle    = errors.New("idle")
)

// errNoRoom is for frames that the limits did not admit in time.
var errNoRoom = errors.New("no room")

// handlerError is the Handler's reason to end a connection.
type handlerError struct {
	header
	err error
}

func (e *handlerError) Error() string {
	return fmt.Sprintf("%s version %d: %v", kmsg.NameForKey(e.key), e.version, e.err)
}

func (e *handlerError) Unwrap() error { return e.err }

// conn is one connection. Its reader goroutine puts calls into a queue and its writer goroutine takes them out
// in order. In between, each is completed: in a goroutine of its own, or, if the Handler is a Beginner, in one
// for all.
//
//	reader ──► calls ─────────────► writer
//	   ├─ go complete ─────────────┘ call.done
//	   └─ begun ──► completeLoop ──┘
//	                     ▲──────────── room
type conn struct {
	server *Server
	nc     net.Conn
	in     *bufio.Reader
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	slots    chan struct{} // holds one for each request in progress
	calls    chan *call    // closed by the reader; never blocks it, as there are as many slots
	begun    chan *call    // the same calls; nil without a Beginner
	room     chan struct{} // the writer has made some, for completeLoop to look at unwritten again
	draining atomic.Bool   // the reader takes no further request

	unwritten atomic.Int64 // bytes of answers that the writer has not yet written or given up

	mu     sync.Mutex
	reason error // why the connection ended or is about to
	closed bool
}

// call is one request in progress.
type call struct {
	header
	finish  func() (kmsg.Response, error)
	release func()        // gives back the memory the request was allowed
	done    chan struct{} // closed when answer or err is there
	answer  *[]byte       // a whole frame, from frames
	last    bool          // no further request is taken once it is written
	err     error
}

// frames holds buffers for answers.
var frames = sync.Pool{New: func() any { return new([]byte) }}

func recycle(b *[]byte) {
	if cap(*b) <= writePiece {
		*b = (*b)[:0]
		frames.Put(b)
	}
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		server: s,
		nc:     nc,
		in:     bufio.NewReaderSize(nc, readBuffer),
		slots:  make(chan struct{}, s.config.MaxInFlight),
		calls:  make(chan *call, s.config.MaxInFlight),
		room:   make(chan struct{}, 1),
	}
	if s.beginner != nil {
		c.begun = make(chan *call, s.config.MaxInFlight)
	}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// serve runs the connection to its end.
func (c *conn) serve() {
	var others sync.WaitGroup
	others.Go(c.writeLoop)
	if c.begun != nil {
		others.Go(c.completeLoop)
	}
	err := c.readLoop()
	var m malformed
	switch {
	case err == errDrained: // answers what came before, which may still fail
	case errors.As(err, &m): // answers what came before, and that is it
		c.note(err)
	default:
		c.fail(err)
	}
	close(c.calls)
	if c.begun != nil {
		close(c.begun)
	}
	others.Wait()
	c.fail(err)
	c.logEnd()
}

// note remembers the first reason there was to end the connection.
func (c *conn) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		c.reason = err
	}
}

// fail ends the connection: its requests' contexts, its reads and its writes.
func (c *conn) fail(err error) {
	c.note(err)
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if !closed {
		c.cancel()
		c.nc.Close()
	}
}

// drain has the reader stop before the next request, also when it is in the middle of receiving one.
func (c *conn) drain() {
	c.draining.Store(true)
	c.nc.SetReadDeadline(time.Unix(1, 0))
}

// logEnd writes the connection's one line. By now the reason does not change any more.
func (c *conn) logEnd() {
	var (
		s = c.server
		m malformed
		h *handlerError
	)
	switch {
	case errors.As(c.reason, &m):
		s.counters.malformed.Add(1)
		s.log.warn("connection closed: the request cannot be served", "peer", c.nc.RemoteAddr(), "err", c.reason)
	case errors.Is(c.reason, errNoRoom):
		s.log.warn("connection closed: too much is arriving at once", "peer", c.nc.RemoteAddr(), "err", c.reason)
	case errors.As(c.reason, &h):
		s.counters.failed.Add(1)
		s.log.warn("connection closed: the handler gave up", "peer", c.nc.RemoteAddr(), "err", c.reason)
	default:
		s.log.Debug("connection closed", "peer", c.nc.RemoteAddr(), "err", c.reason)
	}
}

// readLoop takes requests until something ends it.
func (c *conn) readLoop() error {
	for {
		if err := c.awaitFrame(); err != nil {
			return err
		}
		select {
		case c.slots <- struct{}{}:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		if err := c.takeRequest(); err != nil {
			return err
		}
	}
}

// awaitFrame returns when the first byte of a request is there.
func (c *conn) awaitFrame() error {
	for c.in.Buffered() == 0 {
		if err := c.readWithin(c.server.config.IdleTimeout); err != nil {
			return err
		}
		_, err := c.in.Peek(1)
		switch {
		case err == nil:
		case c.draining.Load():
			return errDrained
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case len(c.slots) == 0:
			return errIdle
		}
	}
	if c.draining.Load() {
		return errDrained
	}
	return nil
}

// readWithin sets the read deadline, unless drain has set it for good.
func (c *conn) readWithin(d time.Duration) error {
	err := c.nc.SetReadDeadline(time.Now().Add(d))
	if c.draining.Load() { // looked at after setting: drain stores before it sets
		return errDrained
	}
	return err
}

// takeRequest receives one request and has it handled.
func (c *conn) takeRequest() error {
	if err := c.readWithin(c.server.config.FrameTimeout); err != nil {
		return err
	}
	reserved := 0
	defer func() { c.server.receive.Release(int64(reserved)) }() // once the request has its own memory, or has none
	frame, err := c.readFrame(func(n int) error {
		err := c.reserve(n)
		if err == nil {
			reserved = n
		}
		return err
	})
	switch {
	case err == nil:
	case c.draining.Load():
		return errDrained
	case errors.Is(err, os.ErrDeadlineExceeded):
		return malformed(fmt.Sprintf("frame has not arrived within %v", c.server.config.FrameTimeout))
	default:
		return err
	}
	c.server.counters.bytesIn.Add(uint64(len(frame) + 4))
	return c.dispatch(frame)
}

func (c *conn) readFrame(reserve func(n int) error) ([]byte, error) {
	n, err := readLength(c.in, c.server.config.MaxFrameBytes)
	if err != nil {
		return nil, err
	}
	return readFrame(c.in, n, reserve)
}

// reserve waits until there is room for a frame of n bytes, and not for longer than the frame may take to
// arrive; which then begins anew.
func (c *conn) reserve(n int) error {
	timeout := c.server.config.FrameTimeout
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	if err := c.server.receive.Acquire(ctx, int64(n)); err != nil {
		if c.ctx.Err() == nil {
			err = fmt.Errorf("%w for a frame of %d bytes within %v", errNoRoom, n, timeout)
		}
		return err
	}
	if err := c.readWithin(timeout); err != nil {
		c.server.receive.Release(int64(n))
		return err
	}
	return nil
}

// dispatch decodes a frame and starts its call.
func (c *conn) dispatch(frame []byte) error {
	s := c.server
	h, rest := parseHeader(frame)
	served := s.versions.find(h.key)
	switch {
	case served == nil:
		return malformed(fmt.Sprintf("%s is not served", apiName(h.key)))
	case h.version >= served.Min && h.version <= served.Max:
	case h.key == keyAPIVersions:
		c.answerUnknownVersion(h)
		return nil
	default:
		return malformed(fmt.Sprintf("%s version %d is not served, only %d to %d", apiName(h.key), h.version, served.Min, served.Max))
	}
	req, release, err := s.decode(c.ctx, &h, served, rest)
	if err != nil {
		return err
	}
	s.counters.requests[h.key].Add(1)
	from := Caller{Principal: Anonymous, Listener: s.config.ListenerName, ClientID: h.clientID, Addr: c.nc.RemoteAddr()}
	call := &call{header: h, release: release, done: make(chan struct{})}
	c.calls <- call
	if s.beginner != nil {
		call.finish = s.beginner.Begin(c.ctx, from, req)
		c.begun <- call
		return nil
	}
	call.finish = func() (kmsg.Response, error) { return s.config.Handler.Handle(c.ctx, from, req) }
	go c.complete(call)
	return nil
}

// apiName is for people who look for the API that somebody asked for.
func apiName(key int16) string {
	if name := kmsg.NameForKey(key); name != "" && name != "Unknown" {
		return name
	}
	return fmt.Sprintf("API %d", key)
}

// completeLoop completes what has been begun, no faster than the peer takes the answers in. The writer writes whatever it
// has before it waits, so there is always room again, or an end.
func (c *conn) completeLoop() {
	for call := range c.begun {
		for c.unwritten.Load() > answersAhead {
			<-c.room
		}
		c.complete(call)
	}
}

// complete waits for what the Handler says and encodes it. The request is not held any longer.
func (c *conn) complete(call *call) {
	defer close(call.done)
	defer call.release()
	resp, err := call.finish()
	call.finish = nil // which knows the request
	switch {
	case resp != nil && err != nil:
		call.last, err = true, nil
	case resp == nil && err == nil:
		err = errors.New("no answer")
	}
	if err == nil {
		call.answer = frames.Get().(*[]byte)
		*call.answer, err = appendAnswer(*call.answer, call.header, resp)
	}
	if err != nil {
		call.err = &handlerError{call.header, err}
		return
	}
	c.unwritten.Add(int64(len(*call.answer)))
}

// wrote takes n bytes of answers off those that are unwritten.
func (c *conn) wrote(n int) {
	c.unwritten.Add(-int64(n))
	select {
	case c.room <- struct{}{}:
	default: // completeLoop has not looked since the last time
	}
}

// answerUnknownVersion answers an ApiVersions request that nobody can decode.
func (c *conn) answerUnknownVersion(h header) {
	call := &call{header: h, done: make(chan struct{}), answer: frames.Get().(*[]byte)}
	b := c.server.versions.unknownVersionAnswer(beginAnswer(*call.answer, h.correlation, false))
	*call.answer, call.err = endAnswer(b)
	c.unwritten.Add(int64(len(*call.answer)))
	close(call.done)
	c.calls <- call
}

// writeLoop writes answers in the order of their requests. Answers that are ready together go out
// together. After a failure it still waits for every call, so that none outlives the connection.
func (c *conn) writeLoop() {
	var (
		out     *[]byte // answers to be written
		waiting int     // how many
		broken  bool
	)
	flush := func() {
		if out == nil {
			return
		}
		if err := c.write(*out); err != nil {
			c.fail(err)
			broken = true
		}
		c.wrote(len(*out))
		recycle(out)
		for out = nil; waiting > 0; waiting-- {
			<-c.slots
		}
	}
	for call := range c.calls {
		select {
		case <-call.done:
		default:
			flush()
			<-call.done
		}
		switch {
		case broken:
			if call.err == nil {
				c.wrote(len(*call.answer))
			}
			continue
		case call.err != nil:
			flush()
			c.fail(call.err)
			broken = true
			continue
		case out != nil && len(*call.answer) > writePiece:
			flush()
		}
		if waiting++; out == nil {
			out = call.answer
		} else {
			*out = append(*out, *call.answer...)
			recycle(call.answer)
		}
		if call.last || len(c.calls) == 0 || len(*out) > writePiece {
			flush()
		}
		if call.last {
			c.drain()
		}
	}
	flush()
}

// write sends b. A peer that takes in nothing for the write timeout has failed, however long b is.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.server.config.WriteTimeout)); err != nil {
			return err
		}
		n, err := c.nc.Write(b[:min(len(b), writePiece)])
		c.server.counters.bytesOut.Add(uint64(n))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return malformed(fmt.Sprintf("peer has taken nothing of an answer within %v", c.server.config.WriteTimeout))
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

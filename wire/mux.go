package wire

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// RaftMagic is what a raft connection starts with.
const RaftMagic = "YAKtraft"

// maxWaiting is how many connections may be waiting at a time, unless a Mux is made with another limit.
const maxWaiting = 1024

// Mux tells apart the protocols that share a port, by what a connection's peer sends first:
//
//	00              Kafka: the length of a frame below 16 MiB
//	"YAKtraft"      raft
//	'A' to 'Z'      HTTP: a method
//
// Whoever accepts a connection reads these bytes again. Anything else is closed, and so is who says too
// little until the deadline. All methods may be called from any goroutine.
type Mux struct {
	listener          net.Listener
	deadline          time.Duration
	maxWaiting        int
	log               *sparseLogger
	kafka, raft, http *subListener
	ctx               context.Context
	cancel            context.CancelFunc
	ended             sync.WaitGroup

	mu      sync.Mutex
	waiting *list.List // of *muxConn, oldest first: everything that nobody has accepted yet
	closed  bool
}

// NewMux starts accepting from l, which now belongs to the Mux. So many connections may be waiting at a time, for their first
// bytes or for somebody to accept them; one more closes the one that has waited longest, so that silent ones cannot shut anybody
// out. The default deadline, for 0, is 10 s, that of the limit 1024; without a logger nothing is logged.
func NewMux(l net.Listener, deadline time.Duration, waiting int, logger *slog.Logger) *Mux {
	if waiting <= 0 {
		waiting = maxWaiting
	}
	if deadline <= 0 {
		deadline = 10 * time.Second
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	m := &Mux{listener: l, deadline: deadline, maxWaiting: waiting, log: newSparseLogger(logger), waiting: list.New()}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.kafka, m.raft, m.http = newSubListener(m), newSubListener(m), newSubListener(m)
	m.ended.Go(func() {
		if err := acceptLoop(l, m.ctx.Done(), m.log, m.start); m.ctx.Err() == nil {
			for _, sub := range []*subListener{m.kafka, m.raft, m.http} {
				sub.end(fmt.Errorf("wire: accept on %s: %w", l.Addr(), err))
			}
		}
	})
	return m
}

// Kafka is where connections of Kafka's protocol arrive.
func (m *Mux) Kafka() net.Listener { return m.kafka }

// Raft is where connections of raft's transport arrive, with RaftMagic still to be read.
func (m *Mux) Raft() net.Listener { return m.raft }

// HTTP is where connections of HTTP arrive.
func (m *Mux) HTTP() net.Listener { return m.http }

// Close closes the port, the three listeners, and every connection that none of them has handed out.
// Closing one of the three instead closes that protocol's new connections only.
func (m *Mux) Close() error {
	m.mu.Lock()
	m.closed = true
	m.cancel()
	err := m.listener.Close()
	for m.waiting.Len() > 0 {
		m.drop(m.waiting.Front().Value.(*muxConn))
	}
	m.mu.Unlock()
	for _, sub := range []*subListener{m.kafka, m.raft, m.http} {
		sub.end(net.ErrClosed)
	}
	m.ended.Wait()
	return err
}

// start waits for a connection's first bytes in a goroutine of its own.
func (m *Mux) start(nc net.Conn) {
	if oldest := m.admit(nc); oldest != nil {
		m.log.warn("connection closed: too many are waiting, and this one has waited longest", "peer", oldest.RemoteAddr(), "limit", m.maxWaiting)
	}
}

// admit is start, and returns the connection that had to make room.
func (m *Mux) admit(nc net.Conn) (oldest *muxConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		nc.Close()
		return nil
	}
	if m.waiting.Len() >= m.maxWaiting {
		oldest = m.waiting.Front().Value.(*muxConn)
		m.drop(oldest)
	}
	c := &muxConn{Conn: nc}
	c.waiting = m.waiting.PushBack(c)
	m.ended.Go(func() { m.sortOut(c) })
	return oldest
}

// drop closes a connection that waits. The caller holds m.mu.
func (m *Mux) drop(c *muxConn) {
	m.waiting.Remove(c.waiting)
	c.waiting = nil
	c.Close()
}

// handOut says whether a connection still waits. If so it does no more, and is the caller's.
func (m *Mux) handOut(c *muxConn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.waiting == nil {
		return false
	}
	m.waiting.Remove(c.waiting)
	c.waiting = nil
	return true
}

// sortOut brings a connection to its listener, or to its end.
func (m *Mux) sortOut(c *muxConn) {
	sub, first, err := m.decide(c.Conn)
	if err == nil {
		c.first = first
		select {
		case sub.conns <- c:
			return
		case <-sub.done:
			err = net.ErrClosed
		}
	}
	if !m.handOut(c) {
		return // dropped meanwhile
	}
	c.Close()
	var unknown malformed
	if errors.As(err, &unknown) {
		m.log.warn("connection closed: no protocol here starts like this", "peer", c.RemoteAddr(), "err", err)
	} else {
		m.log.Debug("connection closed before anybody took it", "peer", c.RemoteAddr(), "err", err)
	}
}

// decide reads as many bytes as it takes to know the protocol.
func (m *Mux) decide(nc net.Conn) (*subListener, []byte, error) {
	if err := nc.SetReadDeadline(time.Now().Add(m.deadline)); err != nil {
		return nil, nil, err
	}
	buf := make([]byte, 0, len(RaftMagic))
	for {
		n, err := nc.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if sub, more, bad := m.protocol(buf); bad != nil {
			return nil, nil, bad
		} else if !more {
			nc.SetReadDeadline(time.Time{}) // fails if it is closed already, which whoever reads will see
			return sub, buf, nil
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && len(buf) > 0:
			return nil, nil, malformed(fmt.Sprintf("only %q within %v", buf, m.deadline))
		case errors.Is(err, io.EOF) && len(buf) > 0:
			return nil, nil, io.ErrUnexpectedEOF
		default:
			return nil, nil, err
		}
	}
}

// protocol looks at the first bytes of a connection. more asks for further ones.
func (m *Mux) protocol(b []byte) (sub *subListener, more bool, err error) {
	switch {
	case len(b) == 0:
		return nil, true, nil
	case b[0] == 0:
		return m.kafka, false, nil
	case b[0] == RaftMagic[0]: // no HTTP method starts with it
		if len(b) < len(RaftMagic) && bytes.HasPrefix([]byte(RaftMagic), b) {
			return nil, true, nil
		}
		if string(b) == RaftMagic {
			return m.raft, false, nil
		}
	case b[0] >= 'A' && b[0] <= 'Z':
		return m.http, false, nil
	case b[0] == 0x16:
		return nil, false, malformed("first byte 0x16 begins a TLS handshake, and this port does not speak TLS")
	}
	return nil, false, malformed(fmt.Sprintf("first bytes %q", b))
}

// subListener is a net.Listener for one protocol.
type subListener struct {
	mux   *Mux
	conns chan *muxConn
	done  chan struct{}
	once  sync.Once
	err   error // what Accept says after done
}

func newSubListener(m *Mux) *subListener {
	return &subListener{mux: m, conns: make(chan *muxConn), done: make(chan struct{})}
}

func (l *subListener) end(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
	})
}

// Accept returns the next connection of this protocol, and net.ErrClosed after Close.
func (l *subListener) Accept() (net.Conn, error) {
	for {
		select {
		case <-l.done:
			return nil, l.err
		default:
		}
		select {
		case c := <-l.conns:
			if l.mux.handOut(c) {
				return c, nil
			}
		case <-l.done:
			return nil, l.err
		}
	}
}

// Close ends Accept. The port stays open for the other protocols.
func (l *subListener) Close() error {
	l.end(net.ErrClosed)
	return nil
}

// Addr is the address of the shared port.
func (l *subListener) Addr() net.Addr { return l.mux.listener.Addr() }

// muxConn is a connection that gives back the bytes which were read to tell its protocol.
type muxConn struct {
	net.Conn
	first   []byte
	waiting *list.Element // in Mux.waiting, nil when it no longer is; guarded by Mux.mu
}

// Read reads the first bytes again, then goes on. As with any net.Conn, one goroutine may read at a time.
func (c *muxConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		if c.first = c.first[n:]; len(c.first) == 0 {
			c.first = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

package raftlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// streams is raft's StreamLayer over a given listener and dialer. Every connection opens with the handshake, done beside
// the accept loop; who wants to join is served there, too. Whoever connects and stays silent holds up nobody, however many they are (crowd.go).
type streams struct {
	listener net.Listener // nil: nobody can connect
	dial     func(ctx context.Context, addr string) (net.Conn, error)
	self     atomic.Pointer[hello]
	join     func(ctx context.Context, c net.Conn, who hello) // serves a connection that wants to join
	ended    func(from raft.ServerID)                         // told when a connection that another node opened has ended
	logger   *slog.Logger

	ready   chan net.Conn
	ctx     context.Context
	cancel  context.CancelFunc
	stopped sync.WaitGroup

	opening crowd // whose handshake is not done, or raft has not taken them yet
	joining crowd // who wants to join

	mu         sync.Mutex
	complained time.Time // when a line was last written about a stranger
	unsaid     int       // how many have not been since

	moved map[raft.ServerID]string // where to reach those who have said so, before the configuration has it
	open  map[net.Conn]struct{}
}

var _ raft.StreamLayer = (*streams)(nil)

const (
	handshakeTimeout = 5 * time.Second
	maxOpening       = 64
	maxJoining       = 64
)

func newStreams(l net.Listener, dial func(context.Context, string) (net.Conn, error), self hello,
	join func(context.Context, net.Conn, hello), ended func(raft.ServerID), logger *slog.Logger) *streams {
	s := &streams{listener: l, dial: dial, join: join, ended: ended, logger: logger, ready: make(chan net.Conn),
		moved: map[raft.ServerID]string{}, open: map[net.Conn]struct{}{},
		opening: crowd{most: maxOpening}, joining: crowd{most: maxJoining}}
	s.become(self)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if l != nil {
		s.stopped.Go(s.accept)
	}
	return s
}

// become changes what this node says about itself from now on.
func (s *streams) become(self hello) { s.self.Store(&self) }

func (s *streams) accept() {
	for delay := time.Duration(0); ; {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.logger.Warn("raftlog: accept a connection", "err", err)
			select {
			case <-time.After(delay):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		delay = 0
		c := s.track(conn)
		s.stopped.Go(func() { s.serve(c) })
	}
}

// serve does the handshake with who has connected, and hands it to raft unless it only wants to join.
func (s *streams) serve(c *trackedConn) {
	leave := s.opening.enter(func() { c.Close() })
	defer leave()
	peer, err := acceptHandshake(c, *s.self.Load())
	if err != nil {
		s.complain("raftlog: refused a connection", "from", c.RemoteAddr(), "peer", string(peer.from), "err", err)
		c.Close()
		return
	}
	if peer.joins() {
		leave()
		s.serveJoin(c, peer)
		return
	}
	s.mu.Lock()
	c.peer = peer.from
	s.mu.Unlock()
	select {
	case s.ready <- c:
	case <-s.ctx.Done():
		c.Close()
	}
}

// complain logs what strangers do, a line a second at most: how often they do it is up to them.
func (s *streams) complain(what string, args ...any) {
	s.mu.Lock()
	now := time.Now()
	if now.Sub(s.complained) < time.Second {
		s.unsaid++
		s.mu.Unlock()
		return
	}
	unsaid := s.unsaid
	s.complained, s.unsaid = now, 0
	s.mu.Unlock()
	if unsaid > 0 {
		args = append(args, "more", unsaid)
	}
	s.logger.Warn(what, args...)
}

func (s *streams) serveJoin(c *trackedConn, who hello) {
	defer c.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer s.joining.enter(func() {
		cancel()
		c.Close()
	})()
	s.join(ctx, c, who)
}

// Accept implements net.Listener.
func (s *streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.ready:
		return c, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial implements raft.StreamLayer. address is a target.
func (s *streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.connect(context.Background(), address, timeout)
}

// connect is Dial that ends with ctx, too.
func (s *streams) connect(ctx context.Context, address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(s.ctx, end)()
	id, addr, ok := splitTarget(address)
	if !ok {
		return nil, fmt.Errorf("raftlog: %q names no server", address)
	}
	if s.dial == nil {
		return nil, fmt.Errorf("raftlog: dial %s: this node was given no dialer", addr)
	}
	at := s.where(id, addr)
	dialing, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := s.dial(dialing, at)
	if err != nil {
		s.forget(id, at)
		return nil, fmt.Errorf("raftlog: dial node %s: %w", id, err)
	}
	c := s.track(conn)
	defer context.AfterFunc(ctx, func() { c.Close() })()
	hi := *s.self.Load()
	hi.to = id
	if err := dialHandshake(c, hi); err != nil {
		c.Close()
		s.forget(id, at)
		return nil, fmt.Errorf("raftlog: node %s at %s: %w", id, at, err)
	}
	return c, nil
}

// remember notes that a server has moved from where the configuration has it, and says whether that is news.
func (s *streams) remember(id raft.ServerID, at, from string) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.moved[id]
	if at == from {
		delete(s.moved, id)
		return false
	}
	s.moved[id] = at
	return !known || was != at
}

// where is the address at which a server is reached that the configuration has at addr.
func (s *streams) where(id raft.ServerID, addr string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.moved[id]
	if !ok || at == addr {
		delete(s.moved, id)
		return addr
	}
	return at
}

// forget drops an address at which a server was not found. It tells again, if it is there.
func (s *streams) forget(id raft.ServerID, at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved[id] == at {
		delete(s.moved, id)
	}
}

// hangUp ends the connections that a server has opened to this one.
func (s *streams) hangUp(id raft.ServerID) {
	s.mu.Lock()
	var conns []net.Conn
	for c := range s.open {
		if c, ok := c.(*trackedConn); ok && c.peer == id {
			conns = append(conns, c)
		}
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// track wraps conn so that Close ends it too; one that comes too late is closed here.
func (s *streams) track(conn net.Conn) *trackedConn {
	c := &trackedConn{Conn: conn, from: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		conn.Close()
	} else {
		s.open[c] = struct{}{}
	}
	return c
}

// Close implements net.Listener: it ends the listener and every connection, incoming and outgoing.
func (s *streams) Close() error {
	s.cancel()
	var err error
	if s.listener != nil {
		err = s.listener.Close()
	}
	s.mu.Lock()
	conns := s.open
	s.open = map[net.Conn]struct{}{}
	s.mu.Unlock()
	for c := range conns {
		c.Close()
	}
	s.stopped.Wait()
	return err
}

// Addr implements net.Listener.
func (s *streams) Addr() net.Addr {
	if s.listener != nil {
		return s.listener.Addr()
	}
	return &net.TCPAddr{}
}

type trackedConn struct {
	net.Conn
	from *streams
	peer raft.ServerID // who opened it and speaks raft on it, empty otherwise; under from's lock
}

// Close implements net.Conn. raft closes what another node opened only when reading from it has failed.
func (c *trackedConn) Close() error {
	c.from.mu.Lock()
	_, was := c.from.open[c]
	delete(c.from.open, c)
	peer := c.peer
	c.from.mu.Unlock()
	err := c.Conn.Close()
	if was && peer != "" {
		c.from.ended(peer)
	}
	return err
}

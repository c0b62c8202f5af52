package raftlog

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// A network of pipes: listeners by address, and links between addresses that can be cut or paused.
type network struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
	cut       map[[2]string]bool
	paused    map[string]chan struct{} // who hears nothing until the channel is closed
	frozen    map[string]chan struct{} // whose connections stand still until then
	conns     map[*pipeConn]bool
	budget    map[string]int // bytes that a node may still send, for those that are to fall silent
}

func newNetwork() *network {
	return &network{listeners: map[string]*pipeListener{}, cut: map[[2]string]bool{},
		paused: map[string]chan struct{}{}, frozen: map[string]chan struct{}{}, conns: map[*pipeConn]bool{}, budget: map[string]int{}}
}

type pipeListener struct {
	addr string
	on   *network
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

func (n *network) listen(addr string) *pipeListener {
	l := &pipeListener{addr: addr, on: n, in: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	n.listeners[addr] = l
	n.mu.Unlock()
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

type pipeConn struct {
	net.Conn
	on       *network
	me, peer string
	accepted bool
	closed   chan struct{}
	once     sync.Once
}

// Read hands out what has arrived, unless the node is paused: then what it was asked arrives when it goes on.
func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.on.mu.Lock()
	gate := c.on.frozen[c.me]
	if c.accepted && gate == nil {
		gate = c.on.paused[c.me]
	}
	c.on.mu.Unlock()
	if !c.wait(gate) {
		return 0, net.ErrClosed // and what had arrived is lost
	}
	return n, err
}

// Write sends, unless the node is frozen: then it does when that is over. If it has fallen silent, that is the end of the connection.
func (c *pipeConn) Write(p []byte) (int, error) {
	c.on.mu.Lock()
	gate := c.on.frozen[c.me]
	left, limited := c.on.budget[c.me]
	if limited {
		c.on.budget[c.me] = left - len(p)
	}
	c.on.mu.Unlock()
	if limited && left < len(p) {
		<-c.closed
		return 0, net.ErrClosed
	}
	if !c.wait(gate) {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// wait returns true when the gate, if there is one, is opened; false when the connection is closed before.
func (c *pipeConn) wait(gate chan struct{}) bool {
	if gate == nil {
		return true
	}
	select {
	case <-gate:
		return true
	case <-c.closed:
		return false
	}
}

func (c *pipeConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.on.mu.Lock()
		delete(c.on.conns, c)
		c.on.mu.Unlock()
	})
	return c.Conn.Close()
}

func (n *network) dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		n.mu.Lock()
		if gate := n.frozen[from]; gate != nil {
			n.mu.Unlock()
			select {
			case <-gate:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			n.mu.Lock()
		}
		l := n.listeners[to]
		if l == nil || n.cut[[2]string{from, to}] {
			n.mu.Unlock()
			return nil, fmt.Errorf("no route from %s to %s", from, to)
		}
		a, b := net.Pipe()
		mine := &pipeConn{Conn: a, on: n, me: from, peer: to, closed: make(chan struct{})}
		theirs := &pipeConn{Conn: b, on: n, me: to, peer: from, accepted: true, closed: make(chan struct{})}
		n.conns[mine], n.conns[theirs] = true, true
		n.mu.Unlock()
		select {
		case l.in <- theirs:
			return mine, nil
		case <-l.done:
		case <-ctx.Done():
		}
		mine.Close()
		theirs.Close()
		return nil, fmt.Errorf("nobody listens at %s: %w", to, syscall.ECONNREFUSED)
	}
}

// isolate cuts addr off from everybody, or brings it back.
func (n *network) isolate(addr string, off bool) {
	n.mu.Lock()
	for other := range n.listeners {
		n.cut[[2]string{addr, other}], n.cut[[2]string{other, addr}] = off, off
	}
	n.mu.Unlock()
	if off {
		n.hangUp(addr)
	}
}

// hangUp ends all connections of addr's.
func (n *network) hangUp(addr string) {
	n.mu.Lock()
	var broken []*pipeConn
	for c := range n.conns {
		if c.me == addr || c.peer == addr {
			broken = append(broken, c)
		}
	}
	n.mu.Unlock()
	for _, c := range broken {
		c.Close()
	}
}

// die is what others see of a process at addr that ends: its connections do, and its port refuses new ones.
func (n *network) die(addr string) {
	n.mu.Lock()
	l := n.listeners[addr]
	for other := range n.listeners {
		n.cut[[2]string{addr, other}] = true
	}
	n.mu.Unlock()
	l.Close()
	n.hangUp(addr)
}

// revive lets addr dial again; whoever starts there listens anew.
func (n *network) revive(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.listeners {
		delete(n.cut, [2]string{addr, other})
	}
}

// pause keeps from addr what others ask it, until the returned function is called.
func (n *network) pause(addr string) (resume func()) {
	gate := make(chan struct{})
	n.mu.Lock()
	n.paused[addr] = gate
	n.mu.Unlock()
	return func() {
		n.mu.Lock()
		delete(n.paused, addr)
		n.mu.Unlock()
		close(gate)
	}
}

// silence lets addr send so many bytes more, and then it neither sends nor ends anything. A negative number lifts it.
func (n *network) silence(addr string, after int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if after < 0 {
		delete(n.budget, addr)
		return
	}
	n.budget[addr] = after
}

// silent reports whether addr has sent all that silence allows.
func (n *network) silent(addr string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	left, limited := n.budget[addr]
	return limited && left < 0
}

// freeze stops all that goes in and out of addr, as of a process that is not given the processor, until the returned function
// is called. Its clocks and its disk go on.
func (n *network) freeze(addr string) (thaw func()) {
	gate := make(chan struct{})
	n.mu.Lock()
	n.frozen[addr] = gate
	n.mu.Unlock()
	return func() {
		n.mu.Lock()
		if n.frozen[addr] == gate {
			delete(n.frozen, addr)
		}
		n.mu.Unlock()
		close(gate)
	}
}

// sever cuts off what one node dials at another; the other way goes on.
func (n *network) sever(from, to string) {
	n.mu.Lock()
	n.cut[[2]string{from, to}] = true
	var broken []*pipeConn
	for c := range n.conns {
		if !c.accepted && c.me == from && c.peer == to {
			broken = append(broken, c)
		}
	}
	n.mu.Unlock()
	for _, c := range broken {
		c.Close()
	}
}

// mend takes back what isolate and sever did to one direction.
func (n *network) mend(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cut, [2]string{from, to})
}

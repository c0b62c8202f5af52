package harness

import (
	"net"
	"sync"
)

// PipeListener is a listener for the bubbles of testing/synctest, where sockets cannot be.
type PipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// NewPipeListener makes one that accepts who calls Dial.
func NewPipeListener() *PipeListener {
	return &PipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *PipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *PipeListener) Close() error { l.once.Do(func() { close(l.done) }); return nil }

// Addr implements net.Listener.
func (l *PipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// Dial is the other end of a connection, once it is accepted.
func (l *PipeListener) Dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yakt/controller"
	"yakt/controller/plan"
)

// pipes is a listener for synctest bubbles, where sockets cannot be.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if nc, ok := <-p; ok {
		return nc, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error { close(p); return nil }

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial opens a connection, and returns when the server waits for what comes on it.
func (p pipes) dial() net.Conn {
	client, server := net.Pipe()
	p <- server
	synctest.Wait()
	return client
}

// serveInBubble runs a server for the length of a bubble.
func serveInBubble(t *testing.T, s *Server) pipes {
	p := make(pipes)
	done := make(chan error, 1)
	go func() { done <- s.Serve(p) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

// answered says whether a request on a connection has an answer, and returns when the connection is idle again.
func answered(nc net.Conn, request string) bool {
	_, err := io.WriteString(nc, request)
	return err == nil && succeeded(nc)
}

// succeeded reads an answer.
func succeeded(nc net.Conn) bool {
	buf := make([]byte, 4<<10)
	n, err := nc.Read(buf)
	synctest.Wait()
	return err == nil && strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200")
}

const livez = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

func TestIdleConnectionsMakeRoomForNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		l := serveInBubble(t, testServer(func(c *Config) {
			c.MaxConnections = 2
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		}))
		a, b := l.dial(), l.dial()
		for _, nc := range []net.Conn{a, b, a} { // b has been idle longest now
			if !answered(nc, livez) {
				t.Fatal("no answer")
			}
		}
		c := l.dial()
		if answered(b, livez) || !answered(a, livez) || !answered(c, livez) {
			t.Error("not the one that was idle longest made room")
		}
		a.Close()
		synctest.Wait()
		if d := l.dial(); !answered(d, livez) || !answered(c, livez) {
			t.Error("one that was closed still counts")
		}
		for range 10 {
			l.dial()
		}
		if n := strings.Count(log.String(), "too many"); n != 1 {
			t.Errorf("logged %d times: %s", n, log.String())
		}
	})
}

// held is a Controller whose changes take until they are let go, or given up.
type held struct {
	fakeController
	letGo chan struct{}
}

func (h *held) UnregisterByHand(ctx context.Context, _ controller.Caller, _ int32) (plan.HandAnswer, error) {
	select {
	case <-h.letGo:
		return plan.HandAnswer{}, nil
	case <-ctx.Done():
		return plan.HandAnswer{}, ctx.Err()
	}
}

func TestConnectionsAtWorkAreNotClosedForNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &held{letGo: make(chan struct{})}
		l := serveInBubble(t, testServer(func(c *Config) { c.MaxConnections, c.Controller = 1, h }))
		first := l.dial()
		if _, err := io.WriteString(first, "PUT /delete_broker/1 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if second := l.dial(); answered(second, livez) {
			t.Error("one more than the limit is served")
		}
		close(h.letGo)
		if !succeeded(first) {
			t.Error("no answer to what was under way")
		}
		if third := l.dial(); !answered(third, livez) {
			t.Error("the first is idle, and has made no room")
		}
	})
}

// answerOf reads an answer and returns its status.
func answerOf(t *testing.T, nc net.Conn) int {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// large sends a request whose body is as large as it may be, but for the last byte.
func (p pipes) large() net.Conn {
	nc := p.dial()
	go fmt.Fprintf(nc, "POST /register_producer/1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{%s", maxBodyBytes, strings.Repeat(" ", maxBodyBytes-2))
	synctest.Wait()
	return nc
}

// Bodies that are held back keep other large ones waiting, and small ones not at all.
func TestLargeBodiesShareABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testServer(func(c *Config) { c.MaxBodiesBytes = 2 * maxBodyBytes })
		l := serveInBubble(t, s)
		a, b := l.large(), l.large()
		time.Sleep(s.config.BodyTimeout * 3 / 4)
		c, d := l.large(), l.large()
		if !answered(l.dial(), "POST /register_producer/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}") {
			t.Error("a small one is shut out")
		}
		for _, nc := range []net.Conn{a, c} {
			go io.WriteString(nc, "}")
			if got := answerOf(t, nc); got != 200 {
				t.Errorf("one that is whole after all is answered with %d", got)
			}
		}
		for _, nc := range []net.Conn{b, d} {
			if got := answerOf(t, nc); got != 408 {
				t.Errorf("one that is never whole is answered with %d", got)
			}
		}
		time.Sleep(time.Second) // the server lingers over connections that it closes
	})
}

// Bodies have their share of the bound until their requests are answered.
func TestLargeBodyThatGetsNoRoomIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &held{letGo: make(chan struct{})}
		s := testServer(func(c *Config) { c.MaxBodiesBytes, c.Controller = maxBodyBytes, h })
		l := serveInBubble(t, s)
		first := l.dial()
		go fmt.Fprintf(first, "PUT /delete_broker/1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{%s}", maxBodyBytes, strings.Repeat(" ", maxBodyBytes-2))
		synctest.Wait()
		if got := answerOf(t, l.large()); got != 503 {
			t.Errorf("one for which there is no room is answered with %d", got)
		}
		late := l.large()
		time.Sleep(s.config.BodyTimeout - time.Second)
		close(h.letGo)
		if got := answerOf(t, first); got != 200 {
			t.Errorf("the first one is answered with %d", got)
		}
		time.Sleep(s.config.BodyTimeout - time.Second)
		go io.WriteString(late, "}")
		if got := answerOf(t, late); got != 200 { // the time that it waited is not its own
			t.Errorf("one that had to wait is answered with %d", got)
		}
		time.Sleep(time.Second) // as above
	})
}

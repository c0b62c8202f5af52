package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler is a Handler made of a function.
type handler struct {
	versions []APIVersions
	handle   func(ctx context.Context, from Caller, req kmsg.Request) (kmsg.Response, error)
}

func (h *handler) Versions() []APIVersions { return h.versions }
func (h *handler) Handle(ctx context.Context, from Caller, req kmsg.Request) (kmsg.Response, error) {
	return h.handle(ctx, from, req)
}

var testVersions = []APIVersions{
	{Key: 1, Min: 4, Max: 18}, {Key: 3, Min: 0, Max: 13}, {Key: 18, Min: 0, Max: 4}, {Key: 19, Min: 2, Max: 7},
	{Key: 56, Min: 2, Max: 3}, {Key: 58, Min: 0, Max: 0}, {Key: 59, Min: 0, Max: 1}, {Key: 60, Min: 0, Max: 2},
	{Key: 62, Min: 0, Max: 4}, {Key: 63, Min: 0, Max: 2}, {Key: 64, Min: 0, Max: 0}, {Key: 67, Min: 0, Max: 0},
	{Key: 73, Min: 0, Max: 0}, {Key: 20, Min: 1, Max: 6}, {Key: 43, Min: 0, Max: 2},
}

// answers is a handler that answers everything with an empty response, and ApiVersions with its table.
func answers() *handler {
	return &handler{testVersions, func(_ context.Context, _ Caller, req kmsg.Request) (kmsg.Response, error) {
		return emptyAnswer(req), nil
	}}
}

func emptyAnswer(req kmsg.Request) kmsg.Response {
	resp := req.ResponseKind()
	if r, ok := resp.(*kmsg.ApiVersionsResponse); ok {
		for _, v := range testVersions {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MinVersion, k.MaxVersion = v.Key, v.Min, v.Max
			r.ApiKeys = append(r.ApiKeys, k)
		}
	}
	return resp
}

// logBuffer is what a Server logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs a server on loopback until the test ends, and returns it with its address.
func start(t testing.TB, config Config) (*Server, string) {
	t.Helper()
	l := listen(t)
	s := NewServer(config)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(30 * time.Second)) // a failing test ends, too
	return nc
}

// request encodes a request with its frame.
func request(req kmsg.Request, version int16, correlation int32) []byte {
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, correlation)
}

func send(t testing.TB, nc net.Conn, b []byte) {
	t.Helper()
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
}

// receiveFrame reads one answer with its length.
func receiveFrame(t testing.TB, r io.Reader) []byte {
	t.Helper()
	frame := make([]byte, 4)
	if _, err := io.ReadFull(r, frame); err != nil {
		t.Fatalf("no answer: %v", err)
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	if _, err := io.ReadFull(r, frame[4:]); err != nil {
		t.Fatalf("half an answer: %v", err)
	}
	return frame
}

// receive reads one answer: the correlation id and what follows it.
func receive(t testing.TB, r io.Reader) (correlation int32, rest []byte) {
	t.Helper()
	frame := receiveFrame(t, r)
	return int32(binary.BigEndian.Uint32(frame[4:])), frame[8:]
}

// expectClosed reads until the peer has closed the connection without another answer.
func expectClosed(t testing.TB, nc net.Conn) {
	t.Helper()
	b, err := io.ReadAll(nc)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("connection is still open")
	}
	if len(b) > 0 {
		t.Fatalf("got %x instead of the end", b)
	}
}

func TestRequestsAreAnswered(t *testing.T) {
	_, addr := start(t, Config{Handler: answers()})
	nc := dial(t, addr)
	send(t, nc, request(kmsg.NewPtrApiVersionsRequest(), 4, 77))
	correlation, rest := receive(t, nc)
	if correlation != 77 {
		t.Errorf("correlation id %d", correlation)
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = 4
	if err := resp.ReadFrom(rest); err != nil || len(resp.ApiKeys) != len(testVersions) {
		t.Errorf("answer %x: %v", rest, err)
	}
}

func shutdown(t testing.TB, s *Server) {
	t.Helper()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"yakt/controller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer has everything in place; edit changes what the test is about.
func testServer(edit func(*Config)) *Server {
	config := Config{
		NodeID:     1,
		ClusterID:  "MkU3OEVBNTcwNTJENDM2Qk",
		Controller: new(fakeController),
		Ready:      func() error { return nil },
		Logger:     slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&config)
	}
	return New(config)
}

func get(s *Server, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// checkProblem sees that an answer is problem JSON of this status and returns its sentence.
func checkProblem(t *testing.T, w *httptest.ResponseRecorder, status int) string {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if p.Status != status || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("problem %+v", p)
	}
	return p.Detail
}

func TestUnknownPathIsAProblemThatNamesThePath(t *testing.T) {
	if detail := checkProblem(t, get(testServer(nil), "GET", "/nowhere"), 404); !strings.Contains(detail, "/nowhere") {
		t.Errorf("the sentence %q does not name the path", detail)
	}
}

func TestWrongMethodIsAProblemThatNamesTheRightOne(t *testing.T) {
	w := get(testServer(nil), "POST", "/livez")
	checkProblem(t, w, 405)
	if got := w.Header().Get("Allow"); got != "GET" {
		t.Errorf("Allow: %q", got)
	}
}

func TestUnknownMethodIsNoReasonToOfferNone(t *testing.T) {
	if detail := checkProblem(t, get(testServer(nil), "BREW", "/nowhere"), 404); !strings.Contains(detail, "/nowhere") {
		t.Errorf("detail %q", detail)
	}
	w := get(testServer(nil), "BREW", "/get_metadata")
	if checkProblem(t, w, 405); w.Header().Get("Allow") != "GET" {
		t.Errorf("Allow: %q", w.Header().Get("Allow"))
	}
	addr := serving(t, testServer(nil))
	conn := dialTo(t, addr, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "HTTP/1.1 505") || !strings.Contains(string(answer), "use HTTP/1.1") {
		t.Errorf("%v %s", err, answer)
	}
}

func TestLiveWithoutBeingReady(t *testing.T) {
	s := testServer(func(c *Config) { c.Ready = func() error { return errors.New("no leader is known") } })
	if w := get(s, "GET", "/livez"); w.Code != 200 {
		t.Errorf("/livez answered %d", w.Code)
	}
	if detail := checkProblem(t, get(s, "GET", "/readyz"), 503); detail != "no leader is known" {
		t.Errorf("/readyz gives %q as the reason", detail)
	}
}

func TestReadyOnceThereIsNothingToWaitFor(t *testing.T) {
	if w := get(testServer(nil), "GET", "/readyz"); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("/readyz answered %d %q", w.Code, w.Body)
	}
}

// serving runs a server on a free port for the length of the test.
func serving(t *testing.T, s *Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestSlowClientIsCutOff(t *testing.T) {
	addr := serving(t, testServer(func(c *Config) { c.HeaderTimeout = 20 * time.Millisecond }))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: "); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
}

func TestEndlessHeaderIsRefused(t *testing.T) {
	addr := serving(t, testServer(nil))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // fails when the server has had enough
		conn.Write([]byte("GET /livez HTTP/1.1\r\nHost: x\r\nX-Filler: "))
		conn.Write(bytes.Repeat([]byte{'x'}, 64<<10))
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	addr := serving(t, testServer(nil))
	for _, path := range []string{"/get_metadata", "/get_all_brokers", "/livez"} {
		response, body := request(t, "HEAD", "http://"+addr+path, "")
		if response.StatusCode != 200 || body != "" || response.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %d %q %v", path, response.StatusCode, body, response.Header)
		}
	}
}

// slowReader is a Controller whose log takes a moment to be read, whoever waits for it.
type slowReader struct {
	fakeController
	running atomic.Bool
}

func (r *slowReader) ChangesSince(ctx context.Context, _ int64, _ int) (controller.Changes, error) {
	r.running.Store(true)
	<-ctx.Done()
	time.Sleep(time.Second) // in virtual time: it is in the middle of something when it is given up
	r.running.Store(false)
	return controller.Changes{}, ctx.Err()
}

// TestNothingIsAskedOfTheControllerAfterShutdown: the log is closed next, and must not be closed under a reader.
func TestNothingIsAskedOfTheControllerAfterShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(slowReader)
		s := testServer(func(c *Config) { c.Controller = r })
		l := serveInBubble(t, s)
		nc := l.dial()
		defer nc.Close()
		if _, err := io.WriteString(nc, "GET /broker_mgmt/0 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !r.running.Load() {
			t.Fatal("nothing is under way")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing was cut off: %v", err)
		}
		if r.running.Load() {
			t.Error("the log is still being read")
		}
	})
}

func TestALoggerNeedNotBeGiven(t *testing.T) {
	if w := get(testServer(func(c *Config) { c.Logger = nil }), "GET", "/livez"); w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
}

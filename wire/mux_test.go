package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// openMux makes a Mux on loopback that is closed when the test ends.
func openMux(t testing.TB, log *logBuffer) (m *Mux, addr string) {
	t.Helper()
	l := listen(t)
	m = NewMux(l, 0, 0, log.logger())
	t.Cleanup(func() { m.Close() })
	return m, l.Addr().String()
}

func TestTheFirstBytesDecide(t *testing.T) {
	m, addr := openMux(t, new(logBuffer))
	for _, test := range []struct {
		name, bytes string
		listener    net.Listener
	}{
		{"Kafka", "\x00\x00\x00\x10\x00\x12", m.Kafka()},
		{"a zero", "\x00", m.Kafka()},
		{"raft", "YAKtraft", m.Raft()},
		{"raft with more", "YAKtraft and what it says", m.Raft()},
		{"HTTP", "GET /health HTTP/1.1\r\n\r\n", m.HTTP()},
		{"HTTP 2", "PRI * HTTP/2.0\r\n\r\n", m.HTTP()},
		{"a letter", "P", m.HTTP()},
	} {
		t.Run(test.name, func(t *testing.T) {
			nc := dial(t, addr)
			send(t, nc, []byte(test.bytes))
			got, err := test.listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			nc.Close()
			if b, err := io.ReadAll(got); string(b) != test.bytes || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
			if test.listener.Addr().String() != addr {
				t.Errorf("address %v, want %v", test.listener.Addr(), addr)
			}
		})
	}
}

func TestUnknownFirstBytesAreClosedWithAReason(t *testing.T) {
	for _, test := range []struct{ name, bytes, reason string }{
		{"TLS", "\x16\x03\x01\x02\x00\x01", "begins a TLS handshake"},
		{"a long frame", "\x7f\xff\xff\xff", `first bytes \"\\x7f\\xff\\xff\\xff\"`},
		{"small letters", "get / HTTP/1.1", `first bytes \"get / HT\"`},
		{"nearly raft", "YAKtrafo", "YAKtrafo"},
		{"not at all raft", "YES", "YES"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log logBuffer
			m, addr := openMux(t, &log)
			nc := dial(t, addr)
			send(t, nc, []byte(test.bytes))
			io.Copy(io.Discard, nc) // until closed, or reset for what was not read
			m.Close()
			if got := log.String(); !strings.Contains(got, test.reason) || strings.Count(got, "\n") != 1 {
				t.Errorf("logged %q", got)
			}
		})
	}
}

func TestSilentConnectionsHinderNobodyAndEndAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		l := harness.NewPipeListener()
		m := NewMux(l, 7*time.Second, 0, log.logger())
		silent, hesitant, talker := l.Dial(), l.Dial(), l.Dial()
		begin := time.Now()
		send(t, hesitant, []byte("YAKt"))
		send(t, talker, []byte{0})
		nc, err := m.Kafka().Accept()
		if err != nil || time.Since(begin) != 0 {
			t.Fatal(err, time.Since(begin))
		}
		expectClosed(t, silent)
		expectClosed(t, hesitant)
		if d := time.Since(begin); d != 7*time.Second {
			t.Errorf("closed after %v", d)
		}
		time.Sleep(time.Hour)
		go talker.Write([]byte{1, 2, 3}) // the deadline was for the first bytes only
		got := make([]byte, 4)
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, []byte{0, 1, 2, 3}) {
			t.Errorf("read %v, %v", got, err)
		}
		nc.Close()
		m.Close()
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "YAKt") {
			t.Errorf("logged %q", got)
		}
	})
}

func TestOneSilentConnectionTooManyEndsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := harness.NewPipeListener()
		m := NewMux(l, 0, 10, nil)
		oldest := l.Dial()
		for range 9 {
			defer l.Dial().Close()
		}
		begin := time.Now()
		talker := l.Dial()
		expectClosed(t, oldest)
		if d := time.Since(begin); d != 0 {
			t.Errorf("closed after %v", d)
		}
		send(t, talker, []byte("GET"))
		nc, err := m.HTTP().Accept()
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		m.Close()
	})
}

func TestClosingTheMuxClosesEverythingNotHandedOut(t *testing.T) {
	m, addr := openMux(t, new(logBuffer))
	silent, undelivered, kept := dial(t, addr), dial(t, addr), dial(t, addr)
	send(t, kept, []byte("GET"))
	nc, err := m.HTTP().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	send(t, undelivered, []byte("YAKtraft"))
	accepted := make(chan error)
	go func() {
		_, err := m.Kafka().Accept()
		accepted <- err
	}()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	for _, l := range []net.Listener{m.Kafka(), m.Raft(), m.HTTP()} {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	io.Copy(io.Discard, silent)
	io.Copy(io.Discard, undelivered)
	send(t, nc, []byte("still here"))
	if _, err := io.ReadFull(kept, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("the port is still open")
	}
}

func TestClosingOneListenerLeavesTheOthers(t *testing.T) {
	m, addr := openMux(t, new(logBuffer))
	m.Raft().Close()
	nc := dial(t, addr)
	send(t, nc, []byte("YAKtraft"))
	expectClosed(t, nc)
	if _, err := m.Raft().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	nc = dial(t, addr)
	send(t, nc, []byte{0})
	got, err := m.Kafka().Accept()
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
}

func TestAFailingPortIsReportedToAllListeners(t *testing.T) {
	l := listen(t)
	m := NewMux(l, 0, 0, nil)
	defer m.Close()
	l.Close() // not by the Mux
	for _, l := range []net.Listener{m.Kafka(), m.Raft(), m.HTTP()} {
		if _, err := l.Accept(); err == nil || !strings.Contains(err.Error(), "wire: accept on") {
			t.Error(err)
		}
	}
}

func TestKafkaAndHTTPShareAPort(t *testing.T) {
	m, addr := openMux(t, new(logBuffer))
	s := NewServer(Config{Handler: answers()})
	served := make(chan error, 2)
	go func() { served <- s.Serve(m.Kafka()) }()
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "well") })}
	go func() { served <- web.Serve(m.HTTP()) }()

	nc := dial(t, addr)
	send(t, nc, request(kmsg.NewPtrApiVersionsRequest(), 4, 3))
	if correlation, _ := receive(t, nc); correlation != 3 {
		t.Errorf("answer to %d", correlation)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "well" {
		t.Errorf("%q", b)
	}
	resp.Body.Close()
	web.Close()
	shutdown(t, s)
	for range 2 {
		if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

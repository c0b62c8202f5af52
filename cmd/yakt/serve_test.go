package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// TestASignalExcusesOnlyWaiting: a node that is stopped while it waits to be let in has not failed, one with a damaged
// directory has, whatever else was going on.
func TestASignalExcusesOnlyWaiting(t *testing.T) {
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "meta.properties"), []byte("version=1\nnode.id=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dir    string
		peers  []peer
		failed bool
	}{
		"waiting": {t.TempDir(), []peer{{2, "127.0.0.1:1"}}, false},
		"damaged": {damaged, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := defaultSettings()
			s.Addr, s.DataDir, s.Peers = "127.0.0.1:0", test.dir, test.peers
			if err := serve(stopped, s, slog.New(slog.DiscardHandler), io.Discard); (err != nil) != test.failed {
				t.Error(err)
			}
		})
	}
}

// TestHTTPStopsWhenKafkaDoes: somebody who does not take an answer of Kafka's protocol takes up all the time that there is
// for finishing, and meanwhile HTTP begins nothing more that would be cut off at the end of it.
func TestHTTPStopsWhenKafkaDoes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := harness.NewPipeListener()
		s := defaultSettings()
		s.DataDir = dir
		n, err := startNode(t.Context(), s, l, "node.example:5010", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		kafka, web := l.Dial(), l.Dial()
		defer kafka.Close()
		defer web.Close()
		frame := kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
		if _, err := kafka.Write(frame); err != nil {
			t.Fatal(err)
		}
		if err := binary.Read(kafka, binary.BigEndian, new(int32)); err != nil { // the rest is not taken
			t.Fatal(err)
		}
		if _, err := io.WriteString(web, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4<<10)
		if k, err := web.Read(answer); err != nil || !bytes.HasPrefix(answer[:k], []byte("HTTP/1.1 200")) {
			t.Fatalf("%q, %v", answer[:k], err)
		}
		synctest.Wait()
		begin := time.Now()
		stopped := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
			defer cancel()
			stopped <- n.stop(ctx)
		}()
		if rest, err := io.ReadAll(web); err != nil || strings.Contains(string(rest), "HTTP") {
			t.Errorf("%q, %v", rest, err)
		}
		if d := time.Since(begin); d >= shutdownTimeout {
			t.Errorf("the idle connection of HTTP was closed after %v", d)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d < shutdownTimeout {
			t.Errorf("stopped after %v: nothing was in progress", d)
		}
	})
}

// TestAskingForAnotherMetadataVersionIsToldToBeInVain, and asking for the same is not.
func TestAskingForAnotherMetadataVersionIsToldToBeInVain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			asked string
			says  int
		}{{"4.0-IV3", 0}, {"4.3-IV0", 1}, {"4.0-IV3", 0}} {
			var out bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&out, nil)) // takes one line at a time
			s := mustSettings(t, "", "-d", dir, "--metadata-version", test.asked)
			n, err := startNode(t.Context(), s, harness.NewPipeListener(), "node.example:5010", logger)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second) // in virtual time: it leads now, and has all of its log
			if err := n.stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(out.String(), "asked=4.3-IV0 metadata.version=4.0-IV3"); got != test.says || strings.Count(out.String(), "--metadata-version has no effect") != test.says {
				t.Errorf("asked for %s: told %d times\n%s", test.asked, got, out.String())
			}
		}
	})
}

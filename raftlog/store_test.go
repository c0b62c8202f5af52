package raftlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// armer is a logger's handler that sets a flag when a message begins with a text.
type armer struct {
	slog.Handler
	text  string
	armed *atomic.Bool
}

func (a armer) Enabled(context.Context, slog.Level) bool { return true }

func (a armer) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, a.text) {
		a.armed.Store(true)
	}
	return nil
}

// TestOpenReturnsTheErrorOfADiskThatFailsLate: when a node has just been let in, or the quorum that it began has just become one, raft runs
// already. The disk that fails then ends raft, and not the goroutine that opens the log.
func TestOpenReturnsTheErrorOfADiskThatFailsLate(t *testing.T) {
	for _, c := range []struct {
		what, when string
		node       int
		config     func(*Config)
	}{
		{"a joiner", "raftlog: let into the quorum", 1, func(c *Config) { c.Peers = peersOf(0) }},
		{"the first of a list", "raftlog: a majority of the listed voters votes", 0, func(c *Config) { c.Voters = peersOf(0, 1) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := noCluster(t, 2)
				ctx, stop := context.WithCancel(t.Context())
				var other sync.WaitGroup
				if c.node == 0 {
					other.Go(func() {
						_, _ = cl.enterWith(1, func(config *Config) { // it may be told that it was let in, or not any more
							c.config(config)
							config.Context = ctx
						})
					})
				} else {
					cl.mustEnter(0).lead()
				}
				var armed atomic.Bool
				fs, _ := failing(cl.disks[c.node], ".log", &armed, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo)
				opened := make(chan error, 1)
				go func() {
					err := errors.New("the goroutine has ended")
					defer func() { opened <- err }()
					_, err = cl.open(c.node, func(config *Config) {
						c.config(config)
						config.FS, config.Logger = fs, slog.New(armer{slog.DiscardHandler, c.when, &armed})
					})
				}()
				err := <-opened
				if err == nil || !strings.Contains(err.Error(), "the database failed") && !strings.Contains(err.Error(), "an earlier write failed") {
					t.Error(err)
				}
				stop()
				other.Wait()
			})
		})
	}
}

// TestDamageFoundForACandidateEndsNobodyElse: raft is not the one that reads there, but what passes all requests to raft.
func TestDamageFoundForACandidateEndsNobodyElse(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	n.set("a", "1")
	last := n.raft.LastIndex()
	must(n.store.db.Set(entryKey(last), make([]byte, 100), pebble.Sync))
	term := make(chan uint64, 1)
	go func() {
		defer close(term)
		_, t := n.lastEntry()
		term <- t
	}()
	if got := <-term; got != math.MaxUint64 {
		t.Fatal(got)
	}
	if err := <-n.fatal; !strings.Contains(err.Error(), fmt.Sprint("entry ", last)) {
		t.Fatal(err)
	}
}

// TestWhoReadsAfterTheEndIsTold: whoever serves a request is not waited for.
func TestWhoReadsAfterTheEndIsTold(t *testing.T) {
	n := openNode(t, vfs.NewMem(), "d")
	n.lead()
	n.set("a", "1")
	n.set("a", "2")
	n.Close()
	for _, max := range []int{1, 1 << 20} {
		if _, err := n.Read(0, max); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	if _, err := n.store.get(keyBegun); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if len(n.fatal) > 0 {
		t.Error(<-n.fatal)
	}
}

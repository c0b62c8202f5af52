package raftlog

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// While a follower is sent a snapshot, raft's main goroutine reads it from the connection, without a deadline. If the
// leader falls silent in the middle (it is stopped, or cut off), that goroutine votes for nobody and hears of no other
// leader until TCP gives up, and in a quorum of three nobody leads meanwhile. So the reading is watched: when nothing
// comes for as long as a silent leader is given, the connections from that leader are ended, and raft goes on.

// stallTicks is how many times in a row the same read has to be found waiting. Ticks and not a time: to a process that
// was stopped itself, everybody seems silent.
const stallTicks = 8

// watchedReader counts its reads, and knows whether it is in one.
type watchedReader struct {
	io.Reader
	reads  atomic.Int64
	inside atomic.Bool
}

// Read implements io.Reader.
func (r *watchedReader) Read(p []byte) (int, error) {
	r.reads.Add(1)
	r.inside.Store(true)
	defer r.inside.Store(false)
	return r.Reader.Read(p)
}

// watch calls stalled, once, when a read has been waiting for patience, and returns when done is closed.
func (r *watchedReader) watch(patience time.Duration, done <-chan struct{}, stalled func()) {
	ticker := time.NewTicker(patience / stallTicks)
	defer ticker.Stop()
	var last int64
	for same := 0; ; {
		select {
		case <-ticker.C:
		case <-done:
			return
		}
		if now := r.reads.Load(); now != last || !r.inside.Load() {
			last, same = now, 0
			continue
		}
		if same++; same == stallTicks {
			stalled()
			return
		}
	}
}

// watchInstall gives raft a watched reader for a snapshot that it is about to be sent. The returned function ends the watch.
func (t *transport) watchInstall(rpc *raft.RPC) (end func()) {
	req, ok := rpc.Command.(*raft.InstallSnapshotRequest)
	if !ok {
		return func() {}
	}
	r := &watchedReader{Reader: rpc.Reader}
	rpc.Reader = r
	done := make(chan struct{})
	t.stopped.Go(func() {
		r.watch(t.patience, done, func() {
			from := raft.ServerID(req.ID)
			t.logger.Warn("raftlog: a snapshot has stopped coming: its sender's connections are ended", "from", string(from))
			t.streams.hangUp(from)
		})
	})
	return func() { close(done) }
}

package raftlog

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// grown counts applied bytes; enough of them make a snapshot, or a look at the disk.
func (l *Log) grown(bytes int) {
	l.advanced()
	if l.unsnapped.Add(int64(bytes)) >= l.config.SnapshotBytes {
		signal(l.snapshotDue)
	}
	if l.config.MinFreeBytes > 0 && l.unlooked.Add(int64(bytes)) >= l.config.MinFreeBytes/4 {
		signal(l.diskDue)
	}
}

// signal leaves a token in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// chores takes snapshots by size and age, and watches the disk.
func (l *Log) chores() {
	age := time.NewTimer(l.untilDue())
	defer age.Stop()
	disk := time.NewTicker(l.config.DiskInterval)
	defer disk.Stop()
	var failed time.Time // do not try again with every batch
	l.checkDisk()
	for {
		select {
		case <-l.snapshotDue:
			if time.Since(failed) < snapshotPause {
				continue
			}
			if !l.snapshotNow("size") {
				failed = time.Now()
			}
			age.Reset(l.untilDue())
		case <-age.C:
			if l.unsnapped.Load() > 0 {
				l.snapshotNow("age")
			}
			age.Reset(l.untilDue())
		case <-disk.C:
			l.checkDisk()
		case <-l.diskDue:
			l.checkDisk()
		case <-l.closing:
			return
		}
	}
}

// snapshotPause is after how long a snapshot by size is tried again when one failed, for want of disk or because the state
// cannot be captured just then, inside a metadata transaction.
const snapshotPause = time.Second

// untilDue is how long the state may go on without a snapshot. One that is due by size and failed is tried again though nothing more
// be written.
func (l *Log) untilDue() time.Duration {
	if l.unsnapped.Load() >= l.config.SnapshotBytes {
		return snapshotPause
	}
	return max(time.Until(time.Unix(0, l.snappedAt.Load()).Add(l.config.SnapshotInterval)), l.config.SnapshotInterval/100, time.Millisecond)
}

func (l *Log) snapshotNow(why string) bool {
	err := l.Snapshot()
	if err != nil && !errors.Is(err, ErrClosed) {
		l.logger.Warn("raftlog: no snapshot was taken", "due", why, "err", err)
	}
	return err == nil
}

// Snapshot takes a snapshot of what is applied now and trims the log below the older of the two that are kept.
func (l *Log) Snapshot() error {
	if l.stopped() {
		return ErrClosed
	}
	l.snapMu.Lock()
	defer l.snapMu.Unlock()
	start, before := time.Now(), l.unsnapped.Load()
	err := l.wait(l.raft.Snapshot())
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("raftlog: snapshot: %w", err)
	}
	l.unsnapped.Add(-before)
	l.snappedAt.Store(time.Now().UnixNano())
	if c, ok := l.snapshots.newest(); ok {
		l.logger.Info("raftlog: took a snapshot", "offset", c.id.EndOffset, "epoch", c.id.Epoch, "bytes", c.row.Size,
			"took", time.Since(start).Round(time.Millisecond))
	}
	return nil
}

// Full says whether the disk has so little room that this node writes nothing for clients (Config.MinFreeBytes).
func (l *Log) Full() bool { return l.diskFull.Load() }

// checkDisk refuses writes, and hands leadership over if there is somebody, while the disk still works.
func (l *Log) checkDisk() {
	if l.config.MinFreeBytes <= 0 {
		return
	}
	l.unlooked.Store(0)
	usage, err := l.config.FS.GetDiskUsage(l.config.Dir)
	if err != nil {
		if !errors.Is(err, vfs.ErrUnsupported) {
			l.logger.Warn("raftlog: cannot see how full the disk is", "dir", l.config.Dir, "err", err)
		}
		return
	}
	free, need, was := usage.AvailBytes, uint64(l.config.MinFreeBytes), l.diskFull.Load()
	if was {
		need += need / 8 // do not go back and forth over one line
	}
	full := free < need
	l.diskFull.Store(full)
	switch {
	case full && !was:
		l.logger.Error("raftlog: the disk is nearly full: writes are refused", "dir", l.config.Dir, "free", free, "need", need)
	case !full && was:
		l.logger.Info("raftlog: the disk has room again: writes are taken", "dir", l.config.Dir, "free", free)
	}
	if _, leads := l.Leading(); full && leads && !l.soleVoter() {
		if err := l.transfer(); err != nil {
			l.logger.Warn("raftlog: hand leadership over because of the full disk", "err", err)
		}
	}
}

// diskHangs reports whether raft has been waiting for one write for longer than a follower waits for its leader. A leader keeps
// silent then: raft's heartbeats come from beside the goroutine that waits, and would keep the others, for as long as the disk
// hangs, from electing one that can write.
func (l *Log) diskHangs() bool {
	waited := l.store.waited()
	hangs := waited > l.config.LeaderTimeout
	if was := l.silent.Swap(hangs); hangs && !was {
		l.logger.Warn("raftlog: the disk hangs: if this node leads, it keeps silent so that another can be elected", "dir", l.config.Dir, "for", waited)
	}
	return hangs
}

package harness

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Observer follows the metadata log with the requests of a 4.0 broker's raft client (Fetch v17) and notes every answer
// that would end a broker's process or send it round in circles. It lives through restarts of the controller.
type Observer struct {
	id    int32
	yakt  *Yakt
	stop  context.CancelFunc
	ended chan struct{}

	mu            sync.Mutex
	offset        int64 // next to fetch
	lastEpoch     int32 // of the last batch
	epoch         int32 // highest seen
	highWatermark int64
	leaders       map[int32]int32 // epoch → leader
	violations    []string
	latest        error
}

// StartObserver starts following from offset 0. id must be no broker's.
func StartObserver(t testing.TB, y *Yakt, id int32) *Observer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := &Observer{id: id, yakt: y, stop: cancel, ended: make(chan struct{}), highWatermark: -1, leaders: map[int32]int32{}}
	go func() {
		defer close(o.ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			err := o.session(ctx)
			o.mu.Lock()
			o.latest = err
			o.mu.Unlock()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(o.Stop)
	return o
}

// Stop ends the observer; what it noted stays.
func (o *Observer) Stop() {
	o.stop()
	<-o.ended
}

// Violations are the answers that a broker would not have survived.
func (o *Observer) Violations() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.violations...)
}

// Position is how far the observer has come: the next offset, the high watermark and the highest epoch it was told.
func (o *Observer) Position() (offset, highWatermark int64, epoch int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offset, o.highWatermark, o.epoch
}

// WaitFor returns when the observer has read up to an offset.
func (o *Observer) WaitFor(t testing.TB, offset int64) {
	t.Helper()
	Eventually(t, startTimeout, fmt.Sprintf("the observer at offset %d", offset), func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.offset < offset {
			return fmt.Errorf("it is at %d (epoch %d, high watermark %d, last trouble: %w)", o.offset, o.epoch, o.highWatermark, o.latest)
		}
		return nil
	})
}

func (o *Observer) session(ctx context.Context) error {
	conn, err := DialKafka(ctx, o.yakt.Addr, fmt.Sprintf("raft-client-%d", o.id))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for ctx.Err() == nil {
		answered, err := conn.Request(o.request())
		if err != nil {
			return err
		}
		if err := o.take(answered.(*kmsg.FetchResponse)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (o *Observer) request() kmsg.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fetchRequest(o.yakt.ClusterID, o.id, o.epoch, o.offset, o.lastEpoch)
}

// fetchRequest is how an observer that has the log up to offset, the last of it of lastEpoch, asks the leader of epoch for more.
func fetchRequest(cluster string, id, epoch int32, offset int64, lastEpoch int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(17)
	req.ClusterID = &cluster
	req.ReplicaState.ID = id
	req.MaxWaitMillis, req.MaxBytes = 500, 1<<20
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.CurrentLeaderEpoch, partition.FetchOffset, partition.LastFetchedEpoch = epoch, offset, lastEpoch
	partition.ReplicaDirectoryID = [16]byte{15: 200}
	topic := kmsg.NewFetchRequestTopic()
	topic.TopicID = [16]byte{15: 1}
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	return req
}

// take looks at one answer. An error means: try again on a new connection.
func (o *Observer) take(resp *kmsg.FetchResponse) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return o.violation("top-level error %v", err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return o.violation("an answer without the metadata partition")
	}
	p := resp.Topics[0].Partitions[0]

	leader := p.CurrentLeader
	switch known, ok := o.leaders[leader.LeaderEpoch]; {
	case leader.LeaderEpoch < o.epoch:
		return o.violation("epoch %d after epoch %d", leader.LeaderEpoch, o.epoch)
	case leader.LeaderID >= 0 && ok && known != leader.LeaderID:
		return o.violation("leaders %d and %d in epoch %d", known, leader.LeaderID, leader.LeaderEpoch)
	case leader.LeaderID >= 0:
		o.leaders[leader.LeaderEpoch] = leader.LeaderID
		if len(resp.Brokers) == 0 {
			return o.violation("leader %d of epoch %d without an endpoint", leader.LeaderID, leader.LeaderEpoch)
		}
	}
	o.epoch = leader.LeaderEpoch

	if p.HighWatermark != -1 {
		if p.HighWatermark < o.highWatermark {
			return o.violation("high watermark %d after %d", p.HighWatermark, o.highWatermark)
		}
		o.highWatermark = p.HighWatermark
	}
	switch err := kerr.ErrorForCode(p.ErrorCode); {
	case errors.Is(err, kerr.FencedLeaderEpoch), errors.Is(err, kerr.UnknownLeaderEpoch), errors.Is(err, kerr.NotLeaderForPartition), errors.Is(err, kerr.BrokerNotAvailable):
		if len(p.RecordBatches) > 0 {
			return o.violation("records beside %v", err)
		}
		return nil // the next request carries the epoch just learned
	case err != nil:
		return o.violation("partition error %v", err)
	}
	if p.DivergingEpoch.EndOffset >= 0 {
		return o.violation("sent back to offset %d of epoch %d; only committed records were sent", p.DivergingEpoch.EndOffset, p.DivergingEpoch.Epoch)
	}
	if p.SnapshotID.EndOffset >= 0 {
		if p.SnapshotID.EndOffset < o.offset {
			return o.violation("a snapshot at %d for an observer at %d", p.SnapshotID.EndOffset, o.offset)
		}
		o.offset, o.lastEpoch = p.SnapshotID.EndOffset, p.SnapshotID.Epoch
		return nil
	}
	return o.batches(p.RecordBatches)
}

// batches checks that the log goes on where it stopped, in whole batches of known epochs.
func (o *Observer) batches(b []byte) error {
	for len(b) > 0 {
		if len(b) < 61 {
			return o.violation("%d bytes are no batch", len(b))
		}
		base, length := int64(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint32(b[8:]))+12
		epoch, last := int32(binary.BigEndian.Uint32(b[12:])), int64(binary.BigEndian.Uint32(b[23:]))
		switch {
		case length < 61 || length > len(b):
			return o.violation("a batch of %d bytes in %d", length, len(b))
		case base > o.offset || base+last < o.offset:
			return o.violation("offsets %d to %d where %d was asked for", base, base+last, o.offset)
		case epoch < o.lastEpoch || epoch > o.epoch:
			return o.violation("a batch of epoch %d after one of %d, in epoch %d", epoch, o.lastEpoch, o.epoch)
		case base+last >= o.highWatermark:
			return o.violation("a batch up to %d above the high watermark %d", base+last, o.highWatermark)
		}
		o.offset, o.lastEpoch = base+last+1, epoch
		b = b[length:]
	}
	return nil
}

// violation notes one and gives it back as an error.
func (o *Observer) violation(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	o.violations = append(o.violations, fmt.Sprintf("at offset %d, epoch %d: %v", o.offset, o.epoch, err))
	return err
}

// LogStart asks where the log begins of which this server is the leader: above 0 once a snapshot has taken the place of what was before.
func (y *Yakt) LogStart(t testing.TB) int64 {
	t.Helper()
	conn, err := DialKafka(t.Context(), y.Addr, "log-start")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, err := conn.Request(fetchRequest(y.ClusterID, 901, y.MustMetadata(t).Epoch, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		t.Fatal("fetch from offset 0: ", err)
	}
	return p.LogStartOffset
}

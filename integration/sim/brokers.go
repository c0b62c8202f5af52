package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
	"yakt/controller/image"
	"yakt/records"
)

// broker behaves as a Kafka broker does towards its controllers: it follows the metadata log, registers, sends
// heartbeats, changes the ISRs of the partitions it leads, takes blocks of producer ids.
type broker struct {
	w  *world
	id int32

	// On disk.
	dirs          directories
	follower      follower
	previousEpoch int64 // of the registration it stopped cleanly in; -1

	// Of the process; life counts its starts.
	life      int
	state     brokerState
	process   records.UUID
	epoch     int64
	caughtUp  bool
	fenced    bool
	stopping  bool
	silent    time.Duration // until then it sends nothing
	beats     *conn
	changes   *conn
	target    int32
	altering  bool
	allocated int
}

type brokerState int8

const (
	brokerDown brokerState = iota
	brokerRegistering
	brokerRunning
)

// follower is how far a broker has followed the metadata log.
type follower struct {
	offset    int64
	epoch     int32 // of the last batch
	known     pair  // who leads
	watermark int64
	snapshot  *records.SnapshotID // that it is loading
	content   []byte
}

// newFollower has nothing of the log.
func newFollower() follower { return follower{known: pair{-1, 0}, watermark: -1} }

func newBroker(w *world, id int32) *broker {
	b := &broker{w: w, id: id, dirs: newDirectories(w), previousEpoch: -1, follower: newFollower()}
	b.after(w.between(0, 500*time.Millisecond), b.start)
	return b
}

// after schedules an event of the process that runs now.
func (b *broker) after(d time.Duration, run func()) {
	life := b.life
	b.w.after(d, func() {
		if b.life == life {
			run()
		}
	})
}

func (b *broker) start() {
	w := b.w
	b.life++
	b.state, b.process, b.epoch = brokerRegistering, w.uuid(), -1
	b.dirs.found(w)
	b.caughtUp, b.fenced, b.stopping, b.altering, b.silent = false, true, false, false, 0
	b.beats = newConn(w, fmt.Sprintf("broker-%d.%d", b.id, b.life))
	b.changes = newConn(w, fmt.Sprintf("changes-%d.%d", b.id, b.life))
	b.target = int32(1 + w.rand.IntN(3))
	w.tracef("broker %d: starts, process %x", b.id, b.process[:4])
	b.register()
	b.fetchLoop()
	b.changeLoop()
}

// stop ends the process; it starts again later.
func (b *broker) stop(clean bool, down time.Duration) {
	b.w.tracef("broker %d: stops, cleanly: %v", b.id, clean)
	b.previousEpoch = -1
	if clean {
		b.previousEpoch = b.epoch
	}
	b.life++
	b.state = brokerDown
	b.after(down, b.start)
}

// alive wraps what an answer does: nothing if the process is gone by then.
func (b *broker) alive(f func(kmsg.Response)) func(kmsg.Response) {
	life := b.life
	return func(resp kmsg.Response) {
		if b.life == life {
			f(resp)
		}
	}
}

// registration is how the process that runs introduces itself.
func (b *broker) registration() *kmsg.BrokerRegistrationRequest {
	req := kmsg.NewBrokerRegistrationRequest()
	req.Version = 4
	req.BrokerID, req.ClusterID, req.IncarnationID = b.id, clusterID, b.process
	req.LogDirs = wire(b.dirs.registered)
	req.PreviousBrokerEpoch = b.previousEpoch
	req.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: fmt.Sprintf("broker%d", b.id), Port: 9092}}
	for _, f := range []struct {
		name string
		max  int16
	}{{"metadata.version", 31}, {"kraft.version", 1}, {"transaction.version", 2}, {"group.version", 1}, {"share.version", 1}, {"streams.version", 1}, {"eligible.leader.replicas.version", 1}} {
		feature := kmsg.NewBrokerRegistrationRequestFeature()
		feature.Name, feature.MaxSupportedVersion = f.name, f.max
		if f.name == "metadata.version" {
			feature.MinSupportedVersion = 7
		}
		req.Features = append(req.Features, feature)
	}
	return &req
}

func (b *broker) register() {
	w := b.w
	ask := &ask{conn: b.beats, target: &b.target, timeout: 2 * w.pace.patience, tries: 1, request: func() kmsg.Request { return b.registration() }}
	ask.done = b.alive(func(resp kmsg.Response) {
		if r, ok := resp.(*kmsg.BrokerRegistrationResponse); ok && r.ErrorCode == 0 {
			b.epoch, b.state = r.BrokerEpoch, brokerRunning
			b.heartbeat()
			return
		}
		b.after(w.around(3*w.pace.hurry), b.register)
	})
	ask.run()
}

func (b *broker) heartbeat() {
	w := b.w
	if w.now < b.silent {
		b.after(b.silent-w.now, b.heartbeat)
		return
	}
	request := func() kmsg.Request {
		req := kmsg.NewBrokerHeartbeatRequest()
		req.Version = 2
		req.BrokerID, req.BrokerEpoch = b.id, b.saidEpoch()
		req.CurrentMetadataOffset = b.image().EndOffset() - 1
		req.WantFence, req.WantShutdown = !b.caughtUp, b.stopping
		req.OfflineLogDirs = wire(b.dirs.failed)
		if b.caughtUp {
			req.CordonedLogDirs = wire(b.dirs.cordoned)
		}
		return &req
	}
	ask := &ask{conn: b.beats, target: &b.target, timeout: w.pace.patience * 7 / 10, tries: 1, request: request}
	ask.done = b.alive(func(resp kmsg.Response) {
		pause := w.around(w.pace.heartbeat)
		if r, ok := resp.(*kmsg.BrokerHeartbeatResponse); ok {
			switch {
			case r.ErrorCode == kerr.StaleBrokerEpoch.Code:
				b.stop(false, w.between(0, 500*time.Millisecond)) // somebody unregistered it: only a new process registers
				return
			case r.ShouldShutdown:
				w.count("controlled shutdowns")
				b.stop(true, w.between(100*time.Millisecond, 2*time.Second))
				return
			}
			b.caughtUp, b.fenced = b.caughtUp || r.IsCaughtUp, r.IsFenced
			if b.fenced || b.stopping {
				pause = w.around(w.pace.hurry)
			}
		} else {
			pause = w.around(w.pace.hurry) // another node may know better
		}
		b.after(pause, b.heartbeat)
	})
	ask.run()
}

// image is the metadata the broker knows: what belongs to an open transaction it keeps to itself, and one that begins anew
// shows nothing before it has loaded what everybody has known for long.
func (b *broker) image() *image.Image {
	img, ok := b.w.oracle.ends[b.follower.offset]
	if !ok {
		return new(image.Image)
	}
	return img.Stable()
}

// changeLoop does what brokers write: ISR changes and producer ids.
func (b *broker) changeLoop() {
	b.after(b.w.around(b.w.pace.change), func() {
		if b.state == brokerRunning && !b.fenced && b.w.now >= b.silent && !b.altering {
			switch p := b.w.rand.Float64(); {
			case p < 0.15:
				b.allocate()
			case p < 0.3:
				b.assign()
			default:
				b.alter()
			}
		}
		b.changeLoop()
	})
}

func (b *broker) allocate() {
	b.altering = true
	ask := &ask{conn: b.changes, target: &b.target, timeout: b.w.pace.patience, tries: 2, request: func() kmsg.Request {
		req := kmsg.NewAllocateProducerIDsRequest()
		req.BrokerID, req.BrokerEpoch = b.id, b.saidEpoch()
		return &req
	}}
	ask.done = b.alive(func(resp kmsg.Response) {
		b.altering = false
		if r, ok := resp.(*kmsg.AllocateProducerIDsResponse); ok && r.ErrorCode == 0 {
			b.allocated++
		}
	})
	ask.run()
}

// alter changes the ISR of a partition that the broker leads, as far as it knows.
func (b *broker) alter() {
	w, img := b.w, b.image()
	type led struct {
		topic records.UUID
		id    int32
		p     image.Partition
	}
	var all []led
	img.EachPartitionOf(b.id, func(t *image.Topic, id int32, p *image.Partition) bool {
		if p.Leader == b.id && (len(p.Replicas) > 1 || p.RecoveryState != image.Recovered) {
			all = append(all, led{t.ID, id, *p})
		}
		return true
	})
	if len(all) == 0 {
		return
	}
	l := all[w.rand.IntN(len(all))]
	var isr []int32
	for _, r := range l.p.Replicas {
		other, ok := img.Broker(r)
		switch {
		case r == b.id:
		case slices.Contains(l.p.ISR, r) && (w.calm || w.chance(0.8)):
		case !slices.Contains(l.p.ISR, r) && ok && other.Active() && (w.calm || w.chance(0.8)):
		default:
			continue
		}
		isr = append(isr, r)
	}
	w.rand.Shuffle(len(isr), func(i, j int) { isr[i], isr[j] = isr[j], isr[i] })
	version := int16(2 + w.rand.IntN(2))
	b.altering = true
	ask := &ask{conn: b.changes, target: &b.target, timeout: w.pace.patience, tries: 3, request: func() kmsg.Request {
		req := kmsg.NewAlterPartitionRequest()
		req.Version, req.BrokerID, req.BrokerEpoch = version, b.id, b.saidEpoch()
		p := kmsg.NewAlterPartitionRequestTopicPartition()
		p.Partition, p.LeaderEpoch, p.PartitionEpoch = l.id, l.p.LeaderEpoch, l.p.PartitionEpoch
		for _, id := range isr {
			if version < 3 {
				p.NewISR = append(p.NewISR, id)
				continue
			}
			m := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
			m.BrokerID, m.BrokerEpoch = id, -1
			if other, ok := img.Broker(id); ok {
				m.BrokerEpoch = other.Epoch
			}
			p.NewEpochISR = append(p.NewEpochISR, m)
		}
		t := kmsg.NewAlterPartitionRequestTopic()
		t.TopicID, t.Partitions = l.topic, []kmsg.AlterPartitionRequestTopicPartition{p}
		req.Topics = []kmsg.AlterPartitionRequestTopic{t}
		return &req
	}}
	ask.done = b.alive(func(kmsg.Response) { b.altering = false })
	ask.run()
}

// fetchLoop follows the metadata log.
func (b *broker) fetchLoop() {
	b.after(b.w.around(b.w.pace.fetch), func() {
		if b.w.now >= b.silent || b.w.chance(0.3) {
			b.fetch()
		}
		b.fetchLoop()
	})
}

// fetch asks the leader it knows, or anybody, for what comes next.
func (b *broker) fetch() {
	w, f := b.w, &b.follower
	n := w.nodes[w.rand.IntN(len(w.nodes))]
	if f.known.id > 0 && !w.happens(wrongNode) {
		n = w.nodes[f.known.id-1]
	}
	if !n.up || n.paused() {
		if !w.chance(0.5) {
			f.known.id = -1 // looks for another, in the same epoch
		}
		return
	}
	if f.snapshot != nil {
		b.fetchSnapshot(n)
		return
	}
	req := kmsg.NewFetchRequest()
	req.Version = 18
	cluster := clusterID
	req.ClusterID, req.ReplicaState.ID, req.ReplicaState.Epoch = &cluster, b.id, -1
	req.MaxBytes = int32(200 + w.rand.IntN(20_000))
	p := kmsg.NewFetchRequestTopicPartition()
	p.CurrentLeaderEpoch, p.FetchOffset, p.LastFetchedEpoch = f.known.epoch, f.offset, f.epoch
	p.HighWatermark, p.ReplicaDirectoryID = f.watermark, b.dirs.registered[0]
	t := kmsg.NewFetchRequestTopic()
	t.TopicID, t.Partitions = records.MetadataTopicID, []kmsg.FetchRequestTopicPartition{p}
	req.Topics = []kmsg.FetchRequestTopic{t}
	answer, err := n.ctl.Handle(context.Background(), controller.Caller{Principal: "User:broker"}, &req)
	if err != nil {
		violate("observers-read-the-log", "broker %d, fetching from node %d: %v", b.id, n.id, err)
	}
	resp := answer.(*kmsg.FetchResponse)
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		violate("observers-read-the-log", "broker %d, fetching from node %d: error %d", b.id, n.id, resp.ErrorCode)
	}
	b.fetched(n, &resp.Topics[0].Partitions[0])
}

func (b *broker) fetched(n *node, p *kmsg.FetchResponseTopicPartition) {
	w, f := b.w, &b.follower
	leader := pair{p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch}
	if leader.id >= 0 {
		if elected := w.leaders[leader.epoch]; elected != leader.id {
			violate("one-leader-per-epoch", "node %d names %d for epoch %d; elected was %d", n.id, leader.id, leader.epoch, elected)
		}
	}
	switch {
	case leader.epoch < f.known.epoch:
		return // from before what it knows
	case leader.epoch > f.known.epoch || f.known.id < 0:
		f.known = leader
	}
	if p.HighWatermark >= 0 {
		if p.HighWatermark < f.watermark {
			violate("high-watermark-never-falls", "broker %d was told %d, and now %d by node %d", b.id, f.watermark, p.HighWatermark, n.id)
		}
		if p.HighWatermark > w.oracle.head.EndOffset() {
			violate("published-is-committed", "node %d tells broker %d of %d; %d is committed", n.id, b.id, p.HighWatermark, w.oracle.head.EndOffset())
		}
		f.watermark = p.HighWatermark
	}
	switch code := p.ErrorCode; {
	case code == kerr.FencedLeaderEpoch.Code, code == kerr.UnknownLeaderEpoch.Code, code == kerr.NotLeaderForPartition.Code:
		return
	case code != 0:
		violate("observers-read-the-log", "node %d answers broker %d at %d with error %d", n.id, b.id, f.offset, code)
	case p.DivergingEpoch.EndOffset >= 0:
		violate("observers-read-the-log", "node %d tells broker %d at %d, epoch %d, to go back to %d, epoch %d", n.id, b.id, f.offset, f.epoch, p.DivergingEpoch.EndOffset, p.DivergingEpoch.Epoch)
	case p.SnapshotID.EndOffset >= 0:
		f.snapshot, f.content = &records.SnapshotID{EndOffset: p.SnapshotID.EndOffset, Epoch: p.SnapshotID.Epoch}, nil
		return
	}
	for rest := p.RecordBatches; len(rest) > 0; {
		batch, more, err := records.ParseBatch(rest)
		if err != nil {
			violate("observers-read-the-log", "node %d sends broker %d at %d: %v", n.id, b.id, f.offset, err)
		}
		i := w.oracle.after(f.offset)
		if batch.BaseOffset() != f.offset || i == len(w.oracle.batches) || !slices.Equal(w.oracle.batches[i], batch) {
			violate("observers-read-the-log", "node %d sends broker %d at %d a batch at %d that was not committed there", n.id, b.id, f.offset, batch.BaseOffset())
		}
		f.offset, f.epoch = batch.EndOffset(), batch.LeaderEpoch()
		rest = more
	}
	if f.offset > f.watermark {
		violate("observers-read-the-log", "node %d sends broker %d batches up to %d, and %d as the high watermark", n.id, b.id, f.offset, f.watermark)
	}
}

// fetchSnapshot loads the next piece of a checkpoint.
func (b *broker) fetchSnapshot(n *node) {
	w, f := b.w, &b.follower
	req := kmsg.NewFetchSnapshotRequest()
	req.Version = 1
	req.ReplicaID, req.MaxBytes = b.id, int32(500+w.rand.IntN(8000))
	p := kmsg.NewFetchSnapshotRequestTopicPartition()
	p.CurrentLeaderEpoch, p.Position = f.known.epoch, int64(len(f.content))
	p.SnapshotID.EndOffset, p.SnapshotID.Epoch = f.snapshot.EndOffset, f.snapshot.Epoch
	t := kmsg.NewFetchSnapshotRequestTopic()
	t.Topic, t.Partitions = "__cluster_metadata", []kmsg.FetchSnapshotRequestTopicPartition{p}
	req.Topics = []kmsg.FetchSnapshotRequestTopic{t}
	answer, err := n.ctl.Handle(context.Background(), controller.Caller{Principal: "User:broker"}, &req)
	if err != nil {
		violate("observers-read-the-log", "broker %d, fetching a checkpoint from node %d: %v", b.id, n.id, err)
	}
	out := &answer.(*kmsg.FetchSnapshotResponse).Topics[0].Partitions[0]
	if out.CurrentLeader.LeaderEpoch > f.known.epoch {
		f.known = pair{out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch}
	}
	switch code := out.ErrorCode; {
	case code == kerr.SnapshotNotFound.Code:
		f.snapshot = nil
		return
	case code == kerr.PositionOutOfRange.Code: // another node's file of the same state may be shorter
		f.snapshot = nil
		return
	case code != 0:
		f.known.id = -1
		return
	}
	f.content = append(f.content, out.Bytes...)
	if int64(len(f.content)) < out.Size {
		return
	}
	id := *f.snapshot
	f.snapshot = nil
	if _, ok := w.oracle.ends[id.EndOffset]; !ok && id.EndOffset >= w.oracle.forgotten || id.EndOffset < f.offset {
		violate("observers-read-the-log", "node %d sends broker %d at %d the checkpoint %s", n.id, b.id, f.offset, id.FileName())
	}
	w.count("checkpoints fetched")
	w.tracef("broker %d: loads %s from node %d", b.id, id.FileName(), n.id)
	f.offset, f.epoch = id.EndOffset, id.Epoch
}

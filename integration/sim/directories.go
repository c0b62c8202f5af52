package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// Brokers have several log directories (KIP-858). They say which replica lies in which, which have failed and which take no more
// (KIP-1066); between two lives a directory may come back empty, under another id.

// directories are a broker's log directories.
type directories struct {
	disks      []records.UUID // what is mounted, by the id that is written there
	registered []records.UUID // what this process found when it started
	failed     []records.UUID // of those, what has failed since
	cordoned   []records.UUID // of those, what takes no more replicas
}

func newDirectories(w *world) directories {
	var d directories
	for range 1 + w.rand.IntN(3) {
		d.disks = append(d.disks, w.uuid())
	}
	return d
}

// found is what a process does first. A disk that has failed was replaced.
func (d *directories) found(w *world) {
	for i, dir := range d.disks {
		if slices.Contains(d.failed, dir) {
			d.disks[i] = w.uuid()
		}
	}
	d.registered, d.failed, d.cordoned = slices.Clone(d.disks), nil, nil
}

// online are those that work.
func (d *directories) online() []records.UUID {
	return slices.DeleteFunc(slices.Clone(d.registered), func(dir records.UUID) bool { return slices.Contains(d.failed, dir) })
}

// wire is the list as requests have it.
func wire(dirs []records.UUID) [][16]byte {
	out := [][16]byte{}
	for _, dir := range dirs {
		out = append(out, dir)
	}
	return out
}

var directoryFaults = []fault{
	{"a directory fails", 4 * time.Second, func(w *world) {
		b := w.someBroker()
		if b.state != brokerRunning {
			return
		}
		online := b.dirs.online()
		dir := online[w.rand.IntN(len(online))]
		w.tracef("broker %d: directory %v fails", b.id, dir)
		w.count("directories failed")
		b.dirs.failed = append(b.dirs.failed, dir)
		if len(online) == 1 {
			b.stop(false, w.between(0, 2*w.pace.session)) // Kafka's brokers end with their last directory
		}
	}},
	{"directories are cordoned", 3 * time.Second, func(w *world) {
		b := w.someBroker()
		b.dirs.cordoned = nil
		for _, dir := range b.dirs.registered {
			if w.chance(0.4) {
				b.dirs.cordoned = append(b.dirs.cordoned, dir)
			}
		}
	}},
	{"a broker is wiped", 12 * time.Second, func(w *world) {
		b := w.someBroker()
		if b.state == brokerDown {
			return
		}
		w.tracef("broker %d: is wiped", b.id)
		w.count("brokers wiped")
		b.stop(false, w.between(0, 2*w.pace.session))
		b.dirs = newDirectories(w)
		b.follower = newFollower()
	}},
}

// assign says where some of the broker's replicas lie, those first of which the controllers do not know it.
func (b *broker) assign() {
	w, img := b.w, b.image()
	type key struct {
		topic records.UUID
		id    int32
	}
	var all []key
	online := b.dirs.online()
	moves := w.chance(0.1)
	img.EachPartitionOf(b.id, func(t *image.Topic, id int32, p *image.Partition) bool {
		if dir, _ := p.Directory(b.id); !slices.Contains(online, dir) || moves && w.chance(0.1) {
			all = append(all, key{t.ID, id})
		}
		return len(all) < 10
	})
	if len(all) == 0 {
		return
	}
	dir := online[w.rand.IntN(len(online))]
	switch p := w.rand.Float64(); {
	case w.calm:
	case p < 0.05 && len(b.dirs.failed) > 0:
		dir = b.dirs.failed[0]
	case p < 0.1:
		dir = w.uuid()
	}
	b.altering = true
	ask := &ask{conn: b.changes, target: &b.target, timeout: w.pace.patience, tries: 2, request: func() kmsg.Request {
		req := kmsg.NewAssignReplicasToDirsRequest()
		req.BrokerID, req.BrokerEpoch = b.id, b.saidEpoch()
		d := kmsg.NewAssignReplicasToDirsRequestDirectory()
		d.ID = dir
		for _, k := range all {
			if n := len(d.Topics); n == 0 || d.Topics[n-1].TopicID != k.topic {
				t := kmsg.NewAssignReplicasToDirsRequestDirectoryTopic()
				t.TopicID = k.topic
				d.Topics = append(d.Topics, t)
			}
			p := kmsg.NewAssignReplicasToDirsRequestDirectoryTopicPartition()
			p.Partition = k.id
			t := &d.Topics[len(d.Topics)-1]
			t.Partitions = append(t.Partitions, p)
		}
		req.Directories = []kmsg.AssignReplicasToDirsRequestDirectory{d}
		return &req
	}}
	ask.done = b.alive(func(kmsg.Response) { b.altering = false })
	ask.run()
}

func (o *oracle) judgeAssignment(k *call, req *kmsg.AssignReplicasToDirsRequest, resp *kmsg.AssignReplicasToDirsResponse) {
	switch resp.ErrorCode {
	case 0:
	case kerr.StaleBrokerEpoch.Code:
		o.must(k, truth, staleEpoch(req.BrokerID, req.BrokerEpoch), "its epoch is stale")
		return
	default:
		o.unexpected(k, resp.ErrorCode)
	}
	for _, d := range resp.Directories {
		for _, t := range d.Topics {
			for _, told := range t.Partitions {
				is := func(so func(s state, p *image.Partition) bool) func(s state) bool {
					return func(s state) bool {
						topic, ok := s.Topic(t.TopicID)
						if !ok {
							return false
						}
						p, ok := topic.Partition(told.Partition)
						return ok && so(s, &p)
					}
				}
				switch told.ErrorCode {
				case 0:
					o.must(k, acknowledged, is(func(s state, p *image.Partition) bool {
						at, ok := p.Directory(req.BrokerID)
						return at == d.ID || !ok && s.api == "AssignReplicasToDirs" // the change ended a reassignment that removes it
					}), "it lies there")
				case kerr.UnknownTopicID.Code:
					o.must(k, truth, func(s state) bool { _, ok := s.Topic(t.TopicID); return !ok }, "there is no such topic")
				case kerr.NotLeaderForPartition.Code:
					o.must(k, truth, is(func(_ state, p *image.Partition) bool { return !p.HasReplica(req.BrokerID) }), "no replica of it")
				default:
					o.unexpected(k, told.ErrorCode)
				}
			}
		}
	}
}

// staleEpoch is so where the broker is not registered in this epoch.
func staleEpoch(broker int32, epoch int64) func(s state) bool {
	return func(s state) bool { b, ok := s.Broker(broker); return !ok || b.Epoch != epoch }
}

// describeAssignment says in a few words what lies where.
func describeAssignment(req *kmsg.AssignReplicasToDirsRequest) string {
	s := fmt.Sprintf("replicas of %d, epoch %d, lie", req.BrokerID, req.BrokerEpoch)
	for _, d := range req.Directories {
		s += fmt.Sprintf(" in %x:", d.ID[:4])
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				s += fmt.Sprintf(" %x-%d", t.TopicID[:4], p.Partition)
			}
		}
	}
	return s
}

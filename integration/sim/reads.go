package sim

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
	"yakt/integration/linear/model"
)

// Anybody may ask any node what there is. The answer may be old, but it was so, all of it at once, and a process never goes back.

// look asks a node for all topics.
func (a *admin) look() {
	w := a.w
	n := w.someNode()
	if !n.up || n.paused() {
		return
	}
	req := kmsg.NewMetadataRequest()
	req.Version = 12
	answer, err := n.ctl.Handle(context.Background(), controller.Caller{Principal: "User:" + a.conn.name}, &req)
	if err != nil {
		violate("reads-are-of-one-state", "%s, asking node %d for all topics: %v", a.conn.name, n.id, err)
	}
	img, ok := w.oracle.ends[n.ctl.Image().EndOffset()]
	if !ok && n.ctl.Image().EndOffset() < w.oracle.forgotten {
		return
	}
	resp := answer.(*kmsg.MetadataResponse)
	w.count("reads")
	there := map[string]bool{}
	for _, t := range resp.Topics {
		there[*t.Topic] = true
		known, ok := img.TopicByName(*t.Topic)
		if !ok || known.ID != t.TopicID || known.NumPartitions() != len(t.Partitions) {
			violate("reads-are-of-one-state", "node %d at %d names topic %s, id %x, with %d partitions", n.id, img.EndOffset(), *t.Topic, t.TopicID, len(t.Partitions))
		}
		var seen []model.SeenPartition
		for _, p := range t.Partitions {
			want, _ := known.Partition(p.Partition)
			if p.Leader != want.Leader && want.HasLeader() || !slices.Equal(p.Replicas, want.Replicas) || !slices.Equal(p.ISR, want.ISR) || p.LeaderEpoch != want.LeaderEpoch {
				violate("reads-are-of-one-state", "node %d at %d says of %s-%d: %+v; it is %+v", n.id, img.EndOffset(), *t.Topic, p.Partition, p, want)
			}
			seen = append(seen, model.SeenPartition{ID: p.Partition, LeaderEpoch: p.LeaderEpoch})
		}
		if err := n.reads.Topic(*t.Topic, t.TopicID, seen); err != nil {
			violate("reads-never-go-back", "node %d: %v", n.id, err)
		}
	}
	for i := range 12 {
		if name := topicName(i, 3+i%3, 1+i/4); !there[name] {
			n.reads.NoTopic(name)
			if _, ok := img.TopicByName(name); ok {
				violate("reads-are-of-one-state", "node %d at %d does not name topic %s", n.id, img.EndOffset(), name)
			}
		}
	}
}

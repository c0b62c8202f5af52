package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/integration/harness"
)

// Whoever follows a whole node by the changes since the last answer gets to its image, while four others change it as fast as they
// can, snapshots are taken, the log is trimmed, and the node is started again on what is on its disk.
func TestChangesFollowANodeThroughSnapshotsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	var followed *image.Image
	var next int64
	wholes := 0
	follow := func(n *node, maxRecords int) bool {
		answer, err := n.controller.ChangesSince(t.Context(), next, maxRecords)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Image != nil {
			wholes++
			followed, next = answer.Image, answer.Next
			return false
		}
		edit := followed.Edit()
		for _, c := range answer.Changes {
			edit.Replay(c.Record, c.Offset)
		}
		followed, next = edit.Image(), answer.Next
		return answer.More
	}
	for life := range 3 {
		n, stop := testNode(t, dir)
		away := life == 1 // nobody follows until the log no longer knows where they were
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() { changeMuch(t, n.controller, life, w) })
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			writers.Wait()
		}()
		for i, running := 0, true; running; i++ {
			select {
			case <-done:
				running = false
			default:
			}
			if !away {
				follow(n, 1+rand.IntN(20))
			}
			if away || i%50 == 49 {
				snapshot(t, n)
			}
		}
		if away { // two snapshots are kept
			changeMuch(t, n.controller, life, 4)
			snapshot(t, n)
		}
		for follow(n, 100) {
		}
		if diff := image.Diff(followed, n.controller.Image()); diff != "" {
			t.Fatalf("life %d: %s", life, diff)
		}
		if n.log.StartOffset() == 0 && life > 0 {
			t.Error("the log was never trimmed")
		}
		stop()
	}
	if wholes < 2 {
		t.Errorf("%d whole images, not one at first and one after the time away", wholes)
	}
	if followed.NumTopics() != (3*4+1)*15 {
		t.Errorf("%d topics", followed.NumTopics())
	}
}

func snapshot(t *testing.T, n *node) {
	t.Helper()
	if err := n.log.Snapshot(); err != nil {
		t.Error(err)
	}
}

// testNode runs a node on a directory until stop is called. It always says it is at the same address, which nobody else asks for.
func testNode(t *testing.T, dir string) (n *node, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := defaultSettings()
	s.Addr, s.DataDir = l.Addr().String(), dir
	n, err = startNode(t.Context(), s, l, "node.example:5010", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 10*time.Second, "ready", n.ready)
	return n, func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if err := n.stop(ctx); err != nil {
			t.Error(err)
		}
	}
}

// changeMuch registers a broker of its own and makes topics, partitions and producer ids on it.
func changeMuch(t *testing.T, c *controller.Controller, life, writer int) {
	ctx, broker := t.Context(), int32(100+writer)
	check := func(what string, a plan.HandAnswer, err error) {
		if err != nil || a.Refusal != nil {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
	}
	for i := range 15 {
		a, err := c.RegisterByHand(ctx, controller.Caller{}, plan.HandRegistration{BrokerID: broker, Host: "by.hand", Port: uint16(1 + i + 100*life)})
		check("register", a, err)
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version = 7
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic = strconv.Itoa(life) + "-" + strconv.Itoa(writer) + "-" + strconv.Itoa(i)
		topic.NumPartitions, topic.ReplicationFactor = -1, -1
		topic.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{broker}}}
		req.Topics = []kmsg.CreateTopicsRequestTopic{topic}
		if resp, err := c.Handle(ctx, controller.Caller{}, req); err != nil || resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
			t.Errorf("create: %+v, %v", resp, err)
		}
		a, err = c.CreatePartition(ctx, controller.Caller{}, plan.NewPartition{TopicName: topic.Topic})
		check("partition", a, err)
		a, err = c.AllocateProducerIDsFor(ctx, controller.Caller{}, broker)
		check("producer ids", a, err)
		fenced := i%2 == 0
		a, err = c.ChangeRegistration(ctx, controller.Caller{}, plan.RegistrationChange{BrokerID: broker, Fenced: &fenced})
		check("fence", a, err)
	}
}

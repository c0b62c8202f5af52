package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A topic of LargePartitions partitions with largeReplicas replicas each takes some LargeBytes of metadata, more than fits into a batch.
const (
	LargePartitions = 9_900
	LargeBytes      = 15_000_000
	largeReplicas   = 60
	largeFirst      = 200 // id of the first broker that the replicas are on
)

// RegisterForLarge registers by hand the brokers that a large topic lies on. Nobody else needs to keep any of it.
func RegisterForLarge(t testing.TB, y *Yakt) {
	t.Helper()
	for i := range largeReplicas {
		body := fmt.Sprintf(`{"brokerId":%d,"brokerHost":"127.0.0.1","brokerPort":9}`, largeFirst+i)
		resp, err := web.Post("http://"+y.Addr+"/register_broker", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("register broker %d: %s %s %v", largeFirst+i, resp.Status, text, err)
		}
	}
}

// Stored is how many bytes lie in the node's directory.
func (y *Yakt) Stored(t testing.TB) int64 {
	t.Helper()
	var sum int64
	err := filepath.WalkDir(y.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				sum += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed just now
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// CreateLargeAndKill asks for a large topic and kills the node when it has stored so many of its bytes, or has answered. It returns the answer.
func (y *Yakt) CreateLargeAndKill(t testing.TB, name string, stored int64) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := y.Stored(t)
	created, answered := make(chan error, 1), make(chan struct{})
	go func() {
		created <- CreateLarge(ctx, y.Addr, name)
		close(answered)
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting && y.Stored(t) <= before+stored; {
		select {
		case <-answered:
			waiting = false
		case <-tick.C:
		}
	}
	y.Kill()
	return <-created
}

// CreateLarge asks a node for a large topic.
func CreateLarge(ctx context.Context, addr, name string) error {
	return CreateWide(ctx, addr, name, largeReplicas)
}

// CreateWide asks a node for a topic with as many partitions as a large one and fewer replicas, on the first of its brokers.
func CreateWide(ctx context.Context, addr, name string, replicas int32) error {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	for p := range int32(LargePartitions) {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition = p
		for i := range replicas {
			a.Replicas = append(a.Replicas, largeFirst+(p+i)%replicas)
		}
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, a)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 30_000
	req.Topics = append(req.Topics, topic)
	conn, err := DialKafka(ctx, addr, "large")
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := conn.Request(req)
	if err != nil {
		return err
	}
	if code := resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		return kerr.ErrorForCode(code)
	}
	return nil
}

// Partitions is how many partitions the topic has for whoever is at the other end, none when it does not exist.
func (c *Conn) Partitions(name string) (int, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	req.Topics = append(req.Topics, topic)
	answer, err := c.Request(req)
	if err != nil {
		return 0, err
	}
	switch told := answer.(*kmsg.MetadataResponse).Topics[0]; told.ErrorCode {
	case 0:
		return len(told.Partitions), nil
	case kerr.UnknownTopicOrPartition.Code:
		return 0, nil
	default:
		return 0, kerr.ErrorForCode(told.ErrorCode)
	}
}

// WatchLarge asks for a topic's partitions over and over until the function that it returns is called, which says how often there
// were none and how often all of them; anything else fails the test.
func WatchLarge(t testing.TB, addr, name string) (stop func() (none, all int)) {
	t.Helper()
	conn, err := DialKafka(t.Context(), addr, "watch")
	if err != nil {
		t.Fatal(err)
	}
	enough, ended := make(chan struct{}), make(chan struct{})
	var none, all int
	go func() {
		defer close(ended)
		defer conn.Close()
		for last := false; !last; {
			select {
			case <-enough: // once more, so that what was there before is seen
				last = true
			default:
			}
			n, err := conn.Partitions(name)
			switch {
			case err != nil:
				t.Errorf("partitions of %s: %v", name, err)
				return
			case n == 0:
				none++
			case n == LargePartitions:
				all++
			default:
				t.Errorf("%s is shown with %d partitions", name, n)
			}
		}
	}()
	return func() (int, int) {
		close(enough)
		<-ended
		return none, all
	}
}

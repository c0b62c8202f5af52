package controller

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"yakt/controller/plan"
	"yakt/records"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a controller over a fakeLog until the test ends, and waits until it is active.
func start(t *testing.T) (*Controller, *fakeLog) {
	t.Helper()
	return startWith(t, func(*Config) {})
}

// startWith is start with a configuration of one's own.
func startWith(t *testing.T, change func(*Config)) (*Controller, *fakeLog) {
	t.Helper()
	cfg := Config{
		NodeID: 1, ListenerName: "CONTROLLER", VerifyAdoption: true,
		Settings: plan.Settings{SessionTimeout: 9 * time.Second, NumPartitions: 1, DefaultReplicationFactor: 1, MinISR: 1, MetadataVersion: records.LatestMetadataVersion},
	}
	change(&cfg)
	c := New(cfg)
	l := newFakeLog(c)
	c.Start(l)
	t.Cleanup(func() {
		c.Close()
		l.close()
	})
	awaitActive(t, c, l)
	return c, l
}

// awaitActive waits until the controller takes requests.
func awaitActive(t rapid.TB, c *Controller, l *fakeLog) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for end := int64(-1); !c.Active(); {
		leader, epoch := l.Leader()
		if err := l.Wait(ctx, end, leader, epoch); err != nil {
			t.Fatal("the controller did not become active:", err)
		}
		end = min(end+1, l.EndOffset()-1)
	}
}

// fetchRequest is an observer's, as brokers send it.
func fetchRequest(version int16, epoch int32, offset int64, lastEpoch int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version = version
	req.ReplicaID, req.ReplicaState.ID = 101, 101
	req.MaxBytes, req.SessionEpoch = 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.CurrentLeaderEpoch, p.FetchOffset, p.LastFetchedEpoch, p.HighWatermark = epoch, offset, lastEpoch, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.TopicID = records.MetadataTopicID
	topic.Partitions = []kmsg.FetchRequestTopicPartition{p}
	req.Topics = []kmsg.FetchRequestTopic{topic}
	return req
}

func fetchOnce(t *testing.T, c *Controller, req *kmsg.FetchRequest) *kmsg.FetchResponse {
	t.Helper()
	resp, err := c.Handle(t.Context(), Caller{}, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.FetchResponse)
}

// The order and the codes are Apache's; rules F1 to F5 of the broker's protocol stand behind them.
func TestFetchRefusals(t *testing.T) {
	c, l := start(t)
	end := l.EndOffset()
	wrongCluster := fetchRequest(18, 1, 0, 0)
	wrongCluster.ClusterID = kmsg.StringPtr("nonsense")
	wrongTopic := fetchRequest(18, 1, 0, 0)
	wrongTopic.Topics[0].TopicID = [16]byte{1}
	wrongPartition := fetchRequest(18, 1, 0, 0)
	wrongPartition.Topics[0].Partitions[0].Partition = 1
	none := fetchRequest(18, 1, 0, 0)
	none.Topics = nil
	for name, tc := range map[string]struct {
		req  *kmsg.FetchRequest
		code int16
	}{
		"wrong cluster":   {wrongCluster, kerr.InconsistentClusterID.Code},
		"wrong topic":     {wrongTopic, kerr.InvalidRequest.Code},
		"wrong partition": {wrongPartition, kerr.InvalidRequest.Code},
		"no topic":        {none, kerr.InvalidRequest.Code},
		"topic by name":   {fetchRequestByName(), kerr.InvalidRequest.Code},
	} {
		if resp := fetchOnce(t, c, tc.req); resp.ErrorCode != tc.code || len(resp.Topics) != 0 {
			t.Errorf("%s: %+v", name, resp)
		}
	}
	for name, tc := range map[string]struct {
		req  *kmsg.FetchRequest
		code int16
		hw   int64
	}{
		"negative offset":     {fetchRequest(18, 1, -1, 0), kerr.InvalidRequest.Code, -1},
		"negative last epoch": {fetchRequest(18, 1, 0, -1), kerr.InvalidRequest.Code, -1},
		"a new broker":        {fetchRequest(18, 0, 0, 0), kerr.FencedLeaderEpoch.Code, -1},
		"an epoch to come":    {fetchRequest(18, 2, 0, 0), kerr.UnknownLeaderEpoch.Code, -1},
		"from the beginning":  {fetchRequest(18, 1, 0, 0), 0, end},
		"at the end":          {fetchRequest(18, 1, end, 1), 0, end},
	} {
		resp := fetchOnce(t, c, tc.req)
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != tc.code || p.HighWatermark != tc.hw || p.CurrentLeader.LeaderID != 1 || p.CurrentLeader.LeaderEpoch != 1 {
			t.Errorf("%s: %+v", name, p)
		}
		if len(resp.Brokers) != 1 || resp.Brokers[0].Host != "controller.example" || resp.Brokers[0].Port != 5010 {
			t.Errorf("%s: the leader's endpoint: %+v", name, resp.Brokers)
		}
	}
}

func fetchRequestByName() *kmsg.FetchRequest {
	req := fetchRequest(12, 1, 0, 0)
	req.Topics[0].Topic, req.Topics[0].TopicID = metadataTopic, [16]byte{}
	return req
}

func TestFetchLeavesOutWhatTheVersionLacks(t *testing.T) {
	c, _ := start(t)
	if resp := fetchOnce(t, c, fetchRequest(16, 1, 0, 0)); resp.Brokers != nil {
		t.Errorf("v16 cannot carry the leader's endpoint: %+v", resp.Brokers)
	}
}

func TestFetchGivesWholeBatchesFromInsideOne(t *testing.T) {
	c, l := start(t)
	req := fetchRequest(18, 1, 2, 1) // the second record of the opening batch
	req.MaxBytes = 1
	got := fetchOnce(t, c, req).Topics[0].Partitions[0].RecordBatches
	first, rest, err := records.ParseBatch(got)
	if err != nil || len(rest) != 0 || first.BaseOffset() != 0 {
		t.Fatalf("%d bytes, %d more, %v", len(first), len(rest), err)
	}
	controls, err := first.DecodeControl()
	if err != nil {
		t.Fatal(err)
	}
	if len(controls) != 3 {
		t.Fatalf("a new log opens with LeaderChange, KRaftVersion and KRaftVoters, got %d", len(controls))
	}
	if _, ok := controls[0].(*records.LeaderChange); !ok {
		t.Errorf("%T", controls[0])
	}
	if l.EndOffset() <= first.EndOffset() {
		t.Error("no bootstrap records follow")
	}
}

func TestFetchNeverGivesMoreThanItsHighWatermark(t *testing.T) {
	c, l := start(t)
	l.mu.Lock()
	l.reading = func() { register(t, c, 101) } // committed after the answer was begun
	l.mu.Unlock()
	p := fetchOnce(t, c, fetchRequest(18, 1, 0, 0)).Topics[0].Partitions[0]
	end := int64(0)
	for rest := p.RecordBatches; len(rest) > 0; {
		var b records.Batch
		var err error
		if b, rest, err = records.ParseBatch(rest); err != nil {
			t.Fatal(err)
		}
		end = b.EndOffset()
	}
	if end != l.EndOffset() || p.HighWatermark < end {
		t.Errorf("records up to %d of %d, high watermark %d", end, l.EndOffset(), p.HighWatermark)
	}
}

func TestFetchBeyondTheEndDiverges(t *testing.T) {
	c, l := start(t)
	p := fetchOnce(t, c, fetchRequest(18, 1, l.EndOffset()+5, 1)).Topics[0].Partitions[0]
	if p.DivergingEpoch.Epoch != 1 || p.DivergingEpoch.EndOffset != l.EndOffset() || p.ErrorCode != 0 || len(p.RecordBatches) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestFetchWaitsForRecords(t *testing.T) {
	c, l := start(t)
	end := l.EndOffset()
	req := fetchRequest(18, 1, end, 1)
	req.MaxWaitMillis = 60_000
	req.Topics[0].Partitions[0].HighWatermark = end
	answer := make(chan *kmsg.FetchResponse)
	go func() { answer <- fetchOnce(t, c, req) }()
	if got := register(t, c, 101).BrokerEpoch; got != end {
		t.Errorf("broker epoch %d, want the offset of its registration %d", got, end)
	}
	p := (<-answer).Topics[0].Partitions[0]
	if len(p.RecordBatches) == 0 && p.HighWatermark <= end {
		t.Errorf("answered with nothing: %+v", p)
	}
}

func TestAnObserverThatStartsOverIsSentToTheSnapshot(t *testing.T) {
	c, l := start(t)
	id, err := l.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	register(t, c, 101)
	for name, req := range map[string]*kmsg.FetchRequest{
		"from 0":           fetchRequest(18, 1, 0, 0),
		"below the start":  fetchRequest(18, 1, 2, 1),
		"of another epoch": fetchRequest(18, 1, id.EndOffset, 0),
	} {
		p := fetchOnce(t, c, req).Topics[0].Partitions[0]
		if p.SnapshotID.EndOffset != id.EndOffset || p.SnapshotID.Epoch != id.Epoch || p.ErrorCode != 0 || len(p.RecordBatches) != 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p := fetchOnce(t, c, fetchRequest(18, 1, id.EndOffset, id.Epoch)).Topics[0].Partitions[0]; p.SnapshotID.EndOffset != -1 || len(p.RecordBatches) == 0 {
		t.Errorf("from the snapshot's end: %+v", p)
	}

	got := readSnapshot(t, c, id, 300)
	if !bytes.Equal(got, l.snapshots[id]) {
		t.Fatalf("%d bytes in slices, %d in the file", len(got), len(l.snapshots[id]))
	}
	other := New(Config{NodeID: 2, Settings: plan.Settings{SessionTimeout: time.Second}})
	if err := other.Restore(id, bytes.NewReader(got)); err != nil {
		t.Fatal(err)
	}
	if other.Image().EndOffset() != id.EndOffset || other.Image().MetadataVersion() != c.Image().MetadataVersion() {
		t.Errorf("restored at %d", other.Image().EndOffset())
	}
	if err := other.Restore(id, bytes.NewReader(got[:len(got)-1])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut checkpoint: %v", err)
	}
}

// readSnapshot reads a checkpoint as a broker does, in slices of so many bytes.
func readSnapshot(t *testing.T, c *Controller, id records.SnapshotID, slice int32) []byte {
	t.Helper()
	var all []byte
	for {
		p := fetchSnapshotSlice(t, c, id, int64(len(all)), slice)
		if p.ErrorCode != 0 || p.Position != int64(len(all)) {
			t.Fatalf("%+v", p)
		}
		all = append(all, p.Bytes...)
		if int64(len(all)) == p.Size {
			return all
		}
	}
}

func fetchSnapshotSlice(t *testing.T, c *Controller, id records.SnapshotID, position int64, slice int32) *kmsg.FetchSnapshotResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrFetchSnapshotRequest()
	req.Version, req.MaxBytes, req.ReplicaID = 1, slice, 101
	p := kmsg.NewFetchSnapshotRequestTopicPartition()
	p.CurrentLeaderEpoch, p.Position = 1, position
	p.SnapshotID.EndOffset, p.SnapshotID.Epoch = id.EndOffset, id.Epoch
	topic := kmsg.NewFetchSnapshotRequestTopic()
	topic.Topic, topic.Partitions = metadataTopic, []kmsg.FetchSnapshotRequestTopicPartition{p}
	req.Topics = []kmsg.FetchSnapshotRequestTopic{topic}
	resp, err := c.Handle(t.Context(), Caller{}, req)
	if err != nil {
		t.Fatal(err)
	}
	return &resp.(*kmsg.FetchSnapshotResponse).Topics[0].Partitions[0]
}

func TestFetchSnapshotRefusals(t *testing.T) {
	c, l := start(t)
	id, err := l.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if p := fetchSnapshotSlice(t, c, records.SnapshotID{EndOffset: 99, Epoch: 1}, 0, 100); p.ErrorCode != kerr.SnapshotNotFound.Code || p.Bytes == nil {
		t.Errorf("unknown snapshot: %+v", p)
	}
	for _, position := range []int64{-1, int64(len(l.snapshots[id]))} {
		if p := fetchSnapshotSlice(t, c, id, position, 100); p.ErrorCode != kerr.PositionOutOfRange.Code {
			t.Errorf("position %d: %+v", position, p)
		}
	}
	req := kmsg.NewPtrFetchSnapshotRequest()
	req.Version = 1
	if resp, err := c.Handle(t.Context(), Caller{}, req); err != nil || resp.(*kmsg.FetchSnapshotResponse).ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("without topics: %v, %v", resp, err)
	}
}

func TestDescribeQuorumTellsHowFarObserversAre(t *testing.T) {
	c, l := start(t)
	fetchOnce(t, c, fetchRequest(18, 1, l.EndOffset(), 1))
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Version = 2
	p := kmsg.NewDescribeQuorumRequestTopicPartition()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = metadataTopic, []kmsg.DescribeQuorumRequestTopicPartition{p}
	req.Topics = []kmsg.DescribeQuorumRequestTopic{topic}
	resp, err := c.Handle(t.Context(), Caller{}, req)
	if err != nil {
		t.Fatal(err)
	}
	q := resp.(*kmsg.DescribeQuorumResponse)
	got := q.Topics[0].Partitions[0]
	if got.LeaderID != 1 || len(got.CurrentVoters) != 1 || got.CurrentVoters[0].LogEndOffset != l.EndOffset() || len(q.Nodes) != 1 {
		t.Errorf("%+v", q)
	}
	if len(got.Observers) != 1 || got.Observers[0].ReplicaID != 101 || got.Observers[0].LogEndOffset != l.EndOffset() || got.Observers[0].LastCaughtUpTimestamp <= 0 {
		t.Errorf("observers: %+v", got.Observers)
	}
}

// A committed change of the quorum reaches the log's readers, and its members' progress whoever asks for it.
func TestVotersAreReportedAndDescribed(t *testing.T) {
	c, l := start(t)
	answered, caught := time.UnixMilli(1000), time.UnixMilli(900)
	ids := func() (ids []int32) {
		for _, v := range c.Image().Voters().Voters {
			ids = append(ids, v.ID)
		}
		return ids
	}
	await := func(want ...int32) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for ctx.Err() == nil {
			leader, epoch := l.Leader()
			end := l.EndOffset()
			if slices.Equal(ids(), want) {
				return
			}
			_ = l.Wait(ctx, end, leader, epoch)
		}
		t.Fatalf("the log says %v, want %v", ids(), want)
	}
	two := fakeMember{voter: fakeVoter(2, "two.example"), votes: true, end: 1, answered: answered, caught: caught}
	three := fakeMember{voter: fakeVoter(3, "three.example")}
	l.setOthers(two, three)
	await(1, 2)
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Version = 2
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = metadataTopic, []kmsg.DescribeQuorumRequestTopicPartition{kmsg.NewDescribeQuorumRequestTopicPartition()}
	req.Topics = []kmsg.DescribeQuorumRequestTopic{topic}
	resp, err := c.Handle(t.Context(), Caller{}, req)
	if err != nil {
		t.Fatal(err)
	}
	q := resp.(*kmsg.DescribeQuorumResponse)
	got := q.Topics[0].Partitions[0]
	if len(got.CurrentVoters) != 2 || got.CurrentVoters[0].LogEndOffset != l.EndOffset() || got.CurrentVoters[1].ReplicaID != 2 || got.CurrentVoters[1].LogEndOffset != 1 ||
		got.CurrentVoters[1].LastFetchTimestamp != 1000 || got.CurrentVoters[1].LastCaughtUpTimestamp != 900 {
		t.Errorf("voters: %+v", got.CurrentVoters)
	}
	if len(q.Nodes) != 2 || q.Nodes[1].Listeners[0].Host != "two.example" {
		t.Errorf("nodes: %+v", q.Nodes)
	}
	if len(got.Observers) != 1 || got.Observers[0].ReplicaID != 3 || got.Observers[0].LogEndOffset != -1 || got.Observers[0].LastFetchTimestamp != -1 {
		t.Errorf("observers: %+v", got.Observers)
	}
	two.voter.Endpoints[0].Host = "moved.example"
	three.votes = true
	l.setOthers(three)
	await(1, 3)
}

// register registers a broker.
func register(t *testing.T, c *Controller, id int32) *kmsg.BrokerRegistrationResponse {
	t.Helper()
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.Version, req.BrokerID, req.ClusterID = 4, id, c.ClusterID()
	req.IncarnationID = [16]byte{15: byte(id)}
	req.PreviousBrokerEpoch = -1
	l := kmsg.NewBrokerRegistrationRequestListener()
	l.Name, l.Host, l.Port = "PLAINTEXT", "broker.example", 9092
	req.Listeners = []kmsg.BrokerRegistrationRequestListener{l}
	for name, most := range map[string]int16{
		"metadata.version": 30, "kraft.version": 1, "transaction.version": 2, "group.version": 1, "share.version": 1,
		"streams.version": 1, "eligible.leader.replicas.version": 1,
	} {
		f := kmsg.NewBrokerRegistrationRequestFeature()
		f.Name, f.MaxSupportedVersion = name, most
		if name == "metadata.version" {
			f.MinSupportedVersion = 7
		}
		req.Features = append(req.Features, f)
	}
	req.LogDirs = [][16]byte{{0: 9, 15: byte(id)}}
	resp, err := c.Handle(t.Context(), Caller{}, req)
	if err != nil {
		t.Fatal(err)
	}
	r := resp.(*kmsg.BrokerRegistrationResponse)
	if r.ErrorCode != 0 {
		t.Fatalf("registration of broker %d: %v", id, kerr.ErrorForCode(r.ErrorCode))
	}
	return r
}

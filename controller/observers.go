package controller

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

const (
	maxFetchBytes = 8 << 20                 // however much an observer asks for
	maxFetchWait  = 1500 * time.Millisecond // observers give a request up after 2 s
	maxObservers  = 10_000
	observerTTL   = 5 * time.Minute // as Apache forgets them
)

// observers answers those who follow the metadata log (KIP-595, KIP-630): every broker, and whoever else fetches it. It
// notes how far each has come, for DescribeQuorum.
type observers struct {
	c *Controller

	mu       sync.Mutex
	by       map[replicaKey]*observer
	reported bool // that a broker has seen a longer history
}

type observer struct {
	end         int64
	lastFetch   time.Time
	lastCaught  time.Time
	endAtLast   int64 // high watermark when it last fetched
	fetchedOnce bool
}

func newObservers(c *Controller) *observers {
	return &observers{c: c, by: map[replicaKey]*observer{}}
}

// leaderEndpoint is where the named node takes requests, as the voter set says.
func (o *observers) leaderEndpoint(id int32) (records.VoterEndpoint, bool) {
	for _, voters := range [][]records.Voter{o.c.log.Voters(), o.c.voters()} {
		for _, v := range voters {
			if e, ok := v.Endpoint(o.c.listenerName); ok && v.ID == id {
				return e, true
			}
		}
	}
	return records.VoterEndpoint{}, false
}

// check is what Fetch and FetchSnapshot refuse alike, in Apache's order. A leader that has lost its majority and has not heard of the next one
// refuses too, though what it has is true: a broker that it answered would neither hear of the next leader nor be heard by it.
func (o *observers) check(epoch, currentEpoch int32, leader int32) int16 {
	switch {
	case currentEpoch < epoch:
		return kerr.FencedLeaderEpoch.Code
	case currentEpoch > epoch:
		return kerr.UnknownLeaderEpoch.Code
	case !o.leads(leader, currentEpoch):
		return kerr.NotLeaderForPartition.Code
	}
	return 0
}

// leads says of a pair that the log gave whether this node is the leader in it, and still has the majority.
func (o *observers) leads(leader, epoch int32) bool {
	return leader == o.c.nodeID && o.c.leads(epoch)
}

// deposed ends the connection of a broker that was refused by the node that it takes for the leader: that alone has Apache's brokers ask
// another one (4.3.0). NOT_LEADER_OR_FOLLOWER with the same leader and epoch tells them nothing new, and they ask again at once.
func (o *observers) deposed(code int16, leader int32) error {
	if code == kerr.NotLeaderForPartition.Code && leader == o.c.nodeID {
		return errElsewhere
	}
	return nil
}

// fetch answers Fetch v4–18. Only the metadata log's one partition is served, and by its id (v13+): whatever else is
// asked for is refused as Apache's controller does.
func (o *observers) fetch(ctx context.Context, req *kmsg.FetchRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	if req.ClusterID != nil && *req.ClusterID != o.c.clusterID {
		resp.ErrorCode = kerr.InconsistentClusterID.Code
		return resp, nil
	}
	if len(req.Topics) != 1 || req.Topics[0].TopicID != records.MetadataTopicID || len(req.Topics[0].Partitions) != 1 || req.Topics[0].Partitions[0].Partition != 0 {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp, nil
	}
	asked := &req.Topics[0].Partitions[0]
	replica := req.ReplicaID
	if req.Version >= 15 {
		replica = req.ReplicaState.ID
	}
	wait := min(time.Duration(req.MaxWaitMillis)*time.Millisecond, maxFetchWait)
	ctx, cancel := context.WithTimeout(ctx, max(wait, 0))
	defer cancel()

	over := wait <= 0
	for {
		answer, immediate := o.answer(req.MaxWaitMillis, asked, min(max(int(req.MaxBytes), 1), maxFetchBytes))
		if immediate || over {
			if answer.ErrorCode == 0 {
				o.note(replica, asked)
			}
			o.complete(req.Version, resp, answer)
			return resp, o.deposed(answer.ErrorCode, answer.CurrentLeader.LeaderID)
		}
		over = o.c.log.Wait(ctx, asked.FetchOffset, answer.CurrentLeader.LeaderID, answer.CurrentLeader.LeaderEpoch) != nil
	}
}

// answer is what there is to say right now, and whether it should be said at once.
func (o *observers) answer(maxWaitMs int32, asked *kmsg.FetchRequestTopicPartition, maxBytes int) (*kmsg.FetchResponseTopicPartition, bool) {
	out := kmsg.NewFetchResponseTopicPartition()
	out.HighWatermark, out.LastStableOffset, out.LogStartOffset = -1, -1, o.c.log.StartOffset()
	out.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
	out.PreferredReadReplica = -1
	out.RecordBatches = []byte{}
	leader, epoch := o.c.log.Leader()
	out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = leader, epoch

	if maxWaitMs < 0 || asked.FetchOffset < 0 || asked.LastFetchedEpoch < 0 || asked.CurrentLeaderEpoch >= 0 && asked.LastFetchedEpoch > asked.CurrentLeaderEpoch {
		out.ErrorCode = kerr.InvalidRequest.Code
		return &out, true
	}
	if code := o.check(epoch, asked.CurrentLeaderEpoch, leader); code != 0 {
		o.reportLongerHistory(asked, epoch)
		out.ErrorCode = code
		return &out, true
	}
	end := o.c.log.EndOffset()
	out.HighWatermark = end
	if id, ok := o.snapshotFor(asked); ok {
		out.SnapshotID.EndOffset, out.SnapshotID.Epoch = id.EndOffset, id.Epoch
		return &out, true
	}
	if found, limit, ok := o.diverges(asked, end); !ok {
		out.DivergingEpoch.Epoch, out.DivergingEpoch.EndOffset = found, limit
		o.reportLongerHistory(asked, epoch)
		return &out, true
	}
	if asked.FetchOffset < end {
		batches, err := o.c.log.Read(asked.FetchOffset, maxBytes)
		if err != nil {
			// The log start moved past the offset meanwhile: the next request is sent to a snapshot.
			o.c.logger.Warn("fetch of the metadata log failed", "offset", asked.FetchOffset, "err", err)
			return &out, true
		}
		// What was committed meanwhile may be among them: the high watermark has to cover it.
		out.RecordBatches, out.HighWatermark = batches, o.c.log.EndOffset()
		return &out, true
	}
	return &out, end > asked.HighWatermark
}

// snapshotFor names the checkpoint an observer must load first because the log cannot serve its position.
func (o *observers) snapshotFor(asked *kmsg.FetchRequestTopicPartition) (records.SnapshotID, bool) {
	latest, ok := o.c.log.LatestSnapshot()
	if !ok {
		return latest, false
	}
	start := o.c.log.StartOffset()
	oldest, _ := o.c.log.OldestSnapshot()
	switch {
	case asked.FetchOffset == 0, asked.FetchOffset < start:
		return latest, true
	case start > 0 && oldest.EndOffset == start && (asked.FetchOffset == start && asked.LastFetchedEpoch != oldest.Epoch || asked.LastFetchedEpoch < oldest.Epoch):
		return latest, true
	}
	return latest, false
}

// diverges compares the observer's history with ours; ok when the one is a beginning of the other.
func (o *observers) diverges(asked *kmsg.FetchRequestTopicPartition, end int64) (epoch int32, limit int64, ok bool) {
	if asked.FetchOffset == 0 && asked.LastFetchedEpoch == 0 {
		return 0, 0, true
	}
	if oldest, have := o.c.log.OldestSnapshot(); have && asked.FetchOffset == oldest.EndOffset && asked.LastFetchedEpoch == oldest.Epoch && asked.FetchOffset == o.c.log.StartOffset() {
		return 0, 0, true
	}
	found, limit, have := o.c.log.EpochEnd(asked.LastFetchedEpoch)
	if !have {
		if oldest, kept := o.c.log.OldestSnapshot(); kept {
			return oldest.Epoch, oldest.EndOffset, false
		}
		return 0, 0, false
	}
	limit = min(limit, end)
	return found, limit, found == asked.LastFetchedEpoch && asked.FetchOffset <= limit
}

// complete puts the answer for the one partition into the response, leaving out what the version does not have.
func (o *observers) complete(version int16, resp *kmsg.FetchResponse, p *kmsg.FetchResponseTopicPartition) {
	topic := kmsg.NewFetchResponseTopic()
	topic.TopicID = records.MetadataTopicID
	topic.Partitions = []kmsg.FetchResponseTopicPartition{*p}
	resp.Topics = []kmsg.FetchResponseTopic{topic}
	if version < 17 {
		return
	}
	if e, ok := o.leaderEndpoint(p.CurrentLeader.LeaderID); ok {
		node := kmsg.NewFetchResponseBroker()
		node.NodeID, node.Host, node.Port = p.CurrentLeader.LeaderID, e.Host, int32(e.Port)
		resp.Brokers = []kmsg.FetchResponseBroker{node}
	}
}

// fetchSnapshot answers FetchSnapshot v0–1: a slice of a kept checkpoint (KIP-630).
func (o *observers) fetchSnapshot(req *kmsg.FetchSnapshotRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.FetchSnapshotResponse)
	if req.ClusterID != nil && *req.ClusterID != o.c.clusterID {
		resp.ErrorCode = kerr.InconsistentClusterID.Code
		return resp, nil
	}
	if len(req.Topics) != 1 || len(req.Topics[0].Partitions) != 1 {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp, nil
	}
	asked := &req.Topics[0].Partitions[0]
	leader, epoch := o.c.log.Leader()
	out := kmsg.NewFetchSnapshotResponseTopicPartition()
	out.Partition = asked.Partition
	out.SnapshotID.EndOffset, out.SnapshotID.Epoch = asked.SnapshotID.EndOffset, asked.SnapshotID.Epoch
	out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = leader, epoch
	out.Position = asked.Position
	out.Bytes = []byte{}
	out.ErrorCode = o.slice(req, asked, epoch, leader, &out)

	topic := kmsg.NewFetchSnapshotResponseTopic()
	topic.Topic = req.Topics[0].Topic
	topic.Partitions = []kmsg.FetchSnapshotResponseTopicPartition{out}
	resp.Topics = []kmsg.FetchSnapshotResponseTopic{topic}
	if e, ok := o.leaderEndpoint(leader); ok && req.Version >= 1 {
		node := kmsg.NewFetchSnapshotResponseNodeEndpoint()
		node.NodeID, node.Host, node.Port = leader, e.Host, e.Port
		resp.NodeEndpoints = []kmsg.FetchSnapshotResponseNodeEndpoint{node}
	}
	return resp, o.deposed(out.ErrorCode, leader)
}

func (o *observers) slice(req *kmsg.FetchSnapshotRequest, asked *kmsg.FetchSnapshotRequestTopicPartition, epoch, leader int32, out *kmsg.FetchSnapshotResponseTopicPartition) int16 {
	if req.Topics[0].Topic != metadataTopic || asked.Partition != 0 {
		return kerr.UnknownTopicOrPartition.Code
	}
	if code := o.check(epoch, asked.CurrentLeaderEpoch, leader); code != 0 {
		return code
	}
	snapshot, err := o.c.log.OpenSnapshot(records.SnapshotID{EndOffset: asked.SnapshotID.EndOffset, Epoch: asked.SnapshotID.Epoch})
	if err != nil {
		return kerr.SnapshotNotFound.Code
	}
	defer func() { _ = snapshot.Close() }()
	out.Size = snapshot.Size()
	if asked.Position < 0 || asked.Position >= out.Size {
		return kerr.PositionOutOfRange.Code
	}
	b := make([]byte, min(int64(min(max(req.MaxBytes, 1), maxFetchBytes)), out.Size-asked.Position))
	if _, err := snapshot.ReadAt(b, asked.Position); err != nil {
		o.c.logger.Error("reading a checkpoint failed", "offset", asked.SnapshotID.EndOffset, "err", err)
		return kerr.UnknownServerError.Code
	}
	out.Bytes = b
	return 0
}

const metadataTopic = "__cluster_metadata"

// note remembers how far an observer has come.
func (o *observers) note(id int32, asked *kmsg.FetchRequestTopicPartition) {
	if id < 0 {
		return
	}
	now, end := o.c.clock(), o.c.log.EndOffset()
	o.mu.Lock()
	defer o.mu.Unlock()
	key := replicaKey{id, asked.ReplicaDirectoryID}
	e := o.by[key]
	if e == nil {
		if len(o.by) >= maxObservers {
			o.expire(now)
			if len(o.by) >= maxObservers {
				return
			}
		}
		e = &observer{}
		o.by[key] = e
	}
	// Caught up now, or as of its last fetch if it has since read all there was then.
	switch {
	case asked.FetchOffset >= end:
		e.lastCaught = now
	case e.fetchedOnce && asked.FetchOffset >= e.endAtLast:
		e.lastCaught = e.lastFetch
	}
	e.end, e.lastFetch, e.endAtLast, e.fetchedOnce = asked.FetchOffset, now, end, true
}

func (o *observers) expire(now time.Time) {
	for key, e := range o.by {
		if now.Sub(e.lastFetch) > observerTTL {
			delete(o.by, key)
		}
	}
}

// reportLongerHistory says once that a broker has seen more of this cluster than its controller has.
func (o *observers) reportLongerHistory(asked *kmsg.FetchRequestTopicPartition, epoch int32) {
	end := o.c.log.EndOffset()
	// One that was deposed and does not know it yet is behind without anything being wrong.
	if leader, _ := o.c.log.Leader(); leader != o.c.nodeID || !o.c.Active() || asked.CurrentLeaderEpoch <= epoch && asked.FetchOffset <= end {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reported {
		return
	}
	o.reported = true
	o.c.logger.Error("this broker has seen a longer history of this cluster: restore this controller's data directory, or stop the broker, remove its __cluster_metadata-0 directory and start it again",
		"offset", asked.FetchOffset, "epoch", asked.CurrentLeaderEpoch, "ourOffset", end, "ourEpoch", epoch)
}

// describeQuorum answers DescribeQuorum v0–2 (KIP-595, KIP-836): who leads, who votes, who follows and how far.
func (o *observers) describeQuorum(req *kmsg.DescribeQuorumRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
	if len(req.Topics) != 1 || req.Topics[0].Topic != metadataTopic || len(req.Topics[0].Partitions) != 1 || req.Topics[0].Partitions[0].Partition != 0 {
		for _, t := range req.Topics {
			topic := kmsg.NewDescribeQuorumResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				out := kmsg.NewDescribeQuorumResponseTopicPartition()
				out.Partition, out.ErrorCode = p.Partition, kerr.UnknownTopicOrPartition.Code
				out.ErrorMessage = kmsg.StringPtr(kerr.UnknownTopicOrPartition.Description)
				topic.Partitions = append(topic.Partitions, out)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil
	}
	leader, epoch := o.c.log.Leader()
	out := kmsg.NewDescribeQuorumResponseTopicPartition()
	out.LeaderID, out.LeaderEpoch = leader, epoch
	if !o.leads(leader, epoch) {
		out.ErrorCode, out.ErrorMessage = kerr.NotLeaderForPartition.Code, kmsg.StringPtr(kerr.NotLeaderForPartition.Description)
	} else {
		o.quorumState(req.Version, resp, &out)
	}
	topic := kmsg.NewDescribeQuorumResponseTopic()
	topic.Topic = metadataTopic
	topic.Partitions = []kmsg.DescribeQuorumResponseTopicPartition{out}
	resp.Topics = []kmsg.DescribeQuorumResponseTopic{topic}
	return resp, nil
}

// replicaState is a replica of which nothing is known yet.
func replicaState(id int32, directory records.UUID) kmsg.DescribeQuorumResponseTopicPartitionReplicaState {
	s := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
	s.ReplicaID, s.ReplicaDirectoryID = id, directory
	s.LogEndOffset, s.LastFetchTimestamp, s.LastCaughtUpTimestamp = -1, -1, -1
	return s
}

func (o *observers) quorumState(version int16, resp *kmsg.DescribeQuorumResponse, out *kmsg.DescribeQuorumResponseTopicPartition) {
	now, end := o.c.clock(), o.c.log.EndOffset()
	out.HighWatermark = end
	members := map[replicaKey]kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}
	o.c.log.Progress(func(id int32, directory records.UUID, voter bool, end int64, answered, caughtUp time.Time) {
		s := replicaState(id, directory)
		if !answered.IsZero() {
			s.LogEndOffset, s.LastFetchTimestamp = end, answered.UnixMilli()
		}
		if !caughtUp.IsZero() {
			s.LastCaughtUpTimestamp = caughtUp.UnixMilli()
		}
		members[replicaKey{id, directory}] = s
		if !voter {
			out.Observers = append(out.Observers, s)
		}
	})
	for _, v := range o.c.voters() {
		s, ok := members[replicaKey{v.ID, v.DirectoryID}]
		switch {
		case v.ID == o.c.nodeID:
			s = replicaState(v.ID, v.DirectoryID)
			s.LogEndOffset, s.LastFetchTimestamp, s.LastCaughtUpTimestamp = end, now.UnixMilli(), now.UnixMilli()
		case !ok:
			s = replicaState(v.ID, v.DirectoryID)
		}
		out.CurrentVoters = append(out.CurrentVoters, s)
		if version < 2 {
			continue
		}
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = v.ID
		for _, e := range v.Endpoints {
			l := kmsg.NewDescribeQuorumResponseNodeListener()
			l.Name, l.Host, l.Port = e.Name, e.Host, e.Port
			node.Listeners = append(node.Listeners, l)
		}
		resp.Nodes = append(resp.Nodes, node)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(now)
	for key, e := range o.by {
		s := replicaState(key.id, key.directory)
		s.LogEndOffset, s.LastFetchTimestamp = e.end, e.lastFetch.UnixMilli()
		if !e.lastCaught.IsZero() {
			s.LastCaughtUpTimestamp = e.lastCaught.UnixMilli()
		}
		out.Observers = append(out.Observers, s)
	}
	slices.SortFunc(out.Observers, func(a, b kmsg.DescribeQuorumResponseTopicPartitionReplicaState) int {
		return cmp.Compare(a.ReplicaID, b.ReplicaID)
	})
}

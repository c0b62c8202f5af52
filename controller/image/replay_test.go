package image_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"yakt/controller/image"
	"yakt/records"
)

// small is a cluster with one of everything.
func small() *image.Image {
	return replay(new(image.Image),
		&records.FeatureLevel{Name: "metadata.version", Level: 30},
		&records.FeatureLevel{Name: "eligible.leader.replicas.version", Level: 1},
		&records.RegisterBroker{BrokerID: 1, BrokerEpoch: 2, Fenced: true, LogDirs: []records.UUID{id(100)}},
		&records.Topic{Name: "a.b", TopicID: id(1)},
		&records.Config{ResourceType: 2, ResourceName: "a.b", Name: "retention.ms", Value: text("1")},
		&records.Config{ResourceType: 2, ResourceName: "a.b2", Name: "retention.ms", Value: text("2")},
		&records.Partition{TopicID: id(1), Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2}, Leader: 1, Directories: []records.UUID{id(100), id(101), id(102)}},
		&records.ClientQuota{Entity: []records.QuotaEntity{{Type: "user", Name: text("u")}, {Type: "client-id"}}, Key: "k", Value: 2},
		&records.ProducerIDs{BrokerID: 1, BrokerEpoch: 2, NextProducerID: 1000},
		&records.AccessControlEntry{ID: id(50), ResourceType: 2, ResourceName: "a", PatternType: image.ACLPrefixed, Principal: "User:u"},
		&records.UserScramCredential{Name: "u", Mechanism: 1, Salt: []byte("salt"), StoredKey: []byte("stored"), ServerKey: []byte("server"), Iterations: 4096},
		&records.DelegationToken{TokenID: "t", Owner: "User:u"},
		&records.RegisterController{ControllerID: 9, Features: []records.FeatureRange{{Name: "metadata.version", Min: 7, Max: 30}}},
	)
}

func partitionOf(t *testing.T, i *image.Image) image.Partition {
	t.Helper()
	topic, ok := i.Topic(id(1))
	if !ok {
		t.Fatal("no topic")
	}
	p, ok := topic.Partition(0)
	if !ok {
		t.Fatal("no partition")
	}
	return p
}

func TestSenselessRecordPanics(t *testing.T) {
	i := small()
	change := func(f func(*records.PartitionChange)) *records.PartitionChange {
		c := records.NewPartitionChange(id(1), 0)
		f(c)
		return c
	}
	for _, r := range []records.Record{
		&records.RegisterBroker{BrokerID: -1},
		&records.UnregisterBroker{BrokerID: 1, BrokerEpoch: 3},
		&records.UnregisterBroker{BrokerID: 2},
		&records.FenceBroker{ID: 1, Epoch: 3},
		&records.UnfenceBroker{ID: 2, Epoch: 2},
		&records.BrokerRegistrationChange{BrokerID: 1, BrokerEpoch: 1},
		&records.BrokerRegistrationChange{BrokerID: 1, BrokerEpoch: 2, Fenced: 2},
		&records.BrokerRegistrationChange{BrokerID: 1, BrokerEpoch: 2, InControlledShutdown: -1},
		&records.Topic{Name: "a.b", TopicID: id(2)},
		&records.Topic{Name: "c", TopicID: id(1)},
		&records.RemoveTopic{TopicID: id(2)},
		&records.Partition{TopicID: id(2)},
		&records.Partition{TopicID: id(1), PartitionID: -1},
		&records.Partition{TopicID: id(1), PartitionID: 1 << 30},
		&records.Partition{TopicID: id(1), PartitionID: 1, Replicas: []int32{1}, Directories: []records.UUID{{}, {}}},
		&records.Partition{TopicID: id(1), PartitionID: 1, LeaderRecoveryState: 2},
		records.NewPartitionChange(id(2), 0),
		records.NewPartitionChange(id(1), 1),
		records.NewPartitionChange(id(1), -1),
		change(func(c *records.PartitionChange) { c.Leader = -3 }),
		change(func(c *records.PartitionChange) { c.LeaderRecoveryState = 2 }),
		change(func(c *records.PartitionChange) { c.Directories = []records.UUID{{}} }),
		change(func(c *records.PartitionChange) { c.Replicas, c.Directories = []int32{1}, []records.UUID{{}, {}} }),
		&records.ClearELR{TopicName: "c"},
		&records.ProducerIDs{NextProducerID: 1000},
		&records.AccessControlEntry{ID: id(50)},
		&records.RemoveAccessControlEntry{ID: id(51)},
		&records.RemoveUserScramCredential{Name: "u", Mechanism: 2},
		&records.FeatureLevel{Name: "metadata.version", Level: 99},
		&records.FeatureLevel{Name: "metadata.version", Level: 0},
		&records.FeatureLevel{Name: "group.version", Level: -1},
		&records.EndTransaction{},
		&records.AbortTransaction{},
	} {
		mustPanic(t, i, r)
	}
	mustPanic(t, replay(i, &records.BeginTransaction{}), &records.BeginTransaction{})
}

func TestBatchThatDoesNotComeNextPanics(t *testing.T) {
	b := records.NewBatchBuilder(5, 1, 1)
	if err := b.Add(&records.NoOp{}, 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a batch at offset 5 was taken on an empty image")
		}
	}()
	new(image.Image).Edit().ReplayBatch(b.Batch())
}

func TestUnknownMetadataVersionIsTheOnlyLevelThatIsChecked(t *testing.T) {
	i := replay(small(), &records.FeatureLevel{Name: "some.version", Level: 300}, &records.FeatureLevel{Name: "kraft.version", Level: 1})
	if i.FeatureLevel("some.version") != 300 || i.FeatureLevel("kraft.version") != 0 || i.KRaftVersion() != 0 {
		t.Errorf("features: %d, %d", i.FeatureLevel("some.version"), i.FeatureLevel("kraft.version"))
	}
	var names []string
	for name := range i.Features() {
		names = append(names, name)
	}
	if !slices.Equal(names, []string{"eligible.leader.replicas.version", "metadata.version", "some.version"}) || !i.ELREnabled() {
		t.Errorf("features %q", names)
	}
	if i := replay(i, &records.FeatureLevel{Name: "eligible.leader.replicas.version"}); i.ELREnabled() {
		t.Error("level 0 did not remove the feature")
	}
}

func TestBrokerChangesKeepWhatTheyDoNotName(t *testing.T) {
	i := small()
	b, _ := i.Broker(1)
	if b.Active() || b.RegistrationOffset != 2 || b.CordonedLogDirs != nil {
		t.Errorf("registered: %+v", b)
	}
	i = replay(i, &records.BrokerRegistrationChange{BrokerID: 1, BrokerEpoch: 2, Fenced: -1, CordonedLogDirs: []records.UUID{}})
	b, _ = i.Broker(1)
	if !b.Active() || !slices.Equal(b.LogDirs, []records.UUID{id(100)}) || b.CordonedLogDirs == nil {
		t.Errorf("unfenced: %+v", b)
	}
	i = replay(i, &records.BrokerRegistrationChange{BrokerID: 1, BrokerEpoch: 2, InControlledShutdown: 1, LogDirs: []records.UUID{id(101)}})
	b, _ = i.Broker(1)
	if b.Active() || b.Fenced || !b.InControlledShutdown || b.HasOnlineDir(id(100)) || !b.HasOnlineDir(id(101)) || b.CordonedLogDirs == nil {
		t.Errorf("shutting down: %+v", b)
	}
	if !b.HasOnlineDir(records.DirectoryUnassigned) || !b.HasOnlineDir(records.DirectoryMigrating) || b.HasOnlineDir(records.DirectoryLost) {
		t.Error("reserved directories")
	}
	old := image.Broker{}
	if !old.HasOnlineDir(id(1)) || old.HasOnlineDir(records.DirectoryLost) {
		t.Error("a broker of which no directory is known")
	}
	i = replay(i, &records.UnregisterBroker{BrokerID: 1, BrokerEpoch: 2})
	if _, ok := i.Broker(1); ok || i.NumBrokers() != 0 {
		t.Error("the broker is still there")
	}
	for range i.ProducerIDBlocks() {
		t.Error("an unregistered broker has producer ids")
	}
}

func TestListenersAndFeaturesAreByName(t *testing.T) {
	i := replay(new(image.Image), &records.RegisterBroker{
		BrokerID:  1,
		EndPoints: []records.Endpoint{{Name: "Z"}, {Name: "A", Unknown: []records.UnknownTag{{Tag: 9}}}},
		Features:  []records.FeatureRange{{Name: "x", Max: 2}, {Name: "b", Min: 1, Max: 5}},
	})
	b, _ := i.Broker(1)
	if b.EndPoints[0].Name != "A" || b.EndPoints[0].Unknown != nil || b.Features[0].Name != "b" {
		t.Errorf("broker %+v", b)
	}
	if minimum, maximum := b.Feature("b"); minimum != 1 || maximum != 5 {
		t.Errorf("feature b: %d to %d", minimum, maximum)
	}
	if minimum, maximum := b.Feature("c"); minimum != 0 || maximum != 0 {
		t.Errorf("feature c: %d to %d", minimum, maximum)
	}
}

func TestRemovedTopicTakesItsConfigsAlong(t *testing.T) {
	i := replay(small(), &records.RemoveTopic{TopicID: id(1)})
	if _, ok := i.Config(image.ConfigTopic, "a.b", "retention.ms"); ok {
		t.Error("the topic's config is still there")
	}
	if v, _ := i.Config(image.ConfigTopic, "a.b2", "retention.ms"); v != "2" {
		t.Error("another topic's config is gone")
	}
	if got := slices.Collect(i.ConfigResources(image.ConfigTopic)); !slices.Equal(got, []string{"a.b2"}) {
		t.Errorf("topics with configs: %q", got)
	}
	if i.NumTopics() != 0 || i.NumPartitions() != 0 {
		t.Errorf("%d topics, %d partitions", i.NumTopics(), i.NumPartitions())
	}
	for range i.CollidingTopics("a_b") {
		t.Error("a topic that is gone collides")
	}
	again := replay(i, &records.Topic{Name: "a.b", TopicID: id(2)})
	topic, ok := again.TopicByName("a.b")
	if !ok || topic.ID != id(2) || topic.NumPartitions() != 0 {
		t.Errorf("created again: %+v", topic)
	}
}

func TestPartitionChangeTouchesOnlyWhatItNames(t *testing.T) {
	i := small()
	was := partitionOf(t, i)
	got := partitionOf(t, replay(i, records.NewPartitionChange(id(1), 0)))
	was.PartitionEpoch = 1
	if !reflect.DeepEqual(got, was) {
		t.Errorf("after a change of nothing: %+v, want %+v", got, was)
	}
	c := records.NewPartitionChange(id(1), 0)
	c.Leader, c.LeaderRecoveryState, c.ISR, c.EligibleLeaderReplicas, c.LastKnownELR = records.NoLeader, image.Recovering, []int32{}, []int32{2}, []int32{1}
	got = partitionOf(t, replay(i, c))
	want := was
	want.Leader, want.LeaderEpoch, want.RecoveryState, want.ISR, want.ELR, want.LastKnownELR = records.NoLeader, 1, image.Recovering, []int32{}, []int32{2}, []int32{1}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("without a leader: %+v, want %+v", got, want)
	}
	if got.HasLeader() || got.Preferred() != 1 || got.Reassigning() || !got.HasReplica(3) || got.InISR(1) {
		t.Errorf("%+v", got)
	}
}

func TestSameLeaderAgainRaisesTheLeaderEpoch(t *testing.T) {
	c := records.NewPartitionChange(id(1), 0)
	c.Leader = 1
	if p := partitionOf(t, replay(small(), c)); p.LeaderEpoch != 1 || p.PartitionEpoch != 1 || p.Leader != 1 {
		t.Errorf("%+v", p)
	}
}

func TestReplicasKeepTheirDirectories(t *testing.T) {
	c := records.NewPartitionChange(id(1), 0)
	c.Replicas, c.AddingReplicas = []int32{3, 4, 1}, []int32{4}
	p := partitionOf(t, replay(small(), c))
	if !slices.Equal(p.Directories, []records.UUID{id(102), records.DirectoryUnassigned, id(100)}) || !p.Reassigning() {
		t.Errorf("%+v", p)
	}
	if dir, ok := p.Directory(1); !ok || dir != id(100) {
		t.Errorf("directory of 1: %v", dir)
	}
	if _, ok := p.Directory(2); ok {
		t.Error("directory of a broker that is no replica")
	}
	c = records.NewPartitionChange(id(1), 0)
	c.Directories = []records.UUID{id(1), id(2), id(3)}
	if p := partitionOf(t, replay(small(), c)); !slices.Equal(p.Directories, c.Directories) || !slices.Equal(p.Replicas, []int32{1, 2, 3}) {
		t.Errorf("%+v", p)
	}
}

func TestClearELRIsAChangeOfThosePartitionsThatHaveSome(t *testing.T) {
	with := records.NewPartitionChange(id(1), 0)
	with.EligibleLeaderReplicas = []int32{2}
	i := replay(small(), &records.Partition{TopicID: id(1), PartitionID: 40, Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}, with)
	for _, name := range []string{"", "a.b"} {
		cleared := replay(i, &records.ClearELR{TopicName: name})
		p := partitionOf(t, cleared)
		topic, _ := cleared.Topic(id(1))
		other, _ := topic.Partition(40)
		if len(p.ELR) != 0 || p.PartitionEpoch != 2 || p.LeaderEpoch != 0 || other.PartitionEpoch != 0 {
			t.Errorf("%+v, %+v", p, other)
		}
	}
	if p := partitionOf(t, i); len(p.ELR) != 1 {
		t.Error("the image before changed")
	}
}

func TestListsHandedOutAreNeverNil(t *testing.T) {
	i := replay(small(), &records.Partition{TopicID: id(1), PartitionID: 1})
	topic, _ := i.Topic(id(1))
	p, _ := topic.Partition(1)
	for _, list := range [][]int32{p.Replicas, p.ISR, p.Adding, p.Removing, p.ELR, p.LastKnownELR} {
		if list == nil {
			t.Error("a nil list would mean \"unchanged\" in a PartitionChange")
		}
	}
	if p.Directories == nil || p.Preferred() != records.NoLeader {
		t.Error("directories")
	}
}

func TestRecordsDoNotExceedTheMetadataVersion(t *testing.T) {
	cordoned := &records.BrokerRegistrationChange{BrokerID: 1, BrokerEpoch: 2, CordonedLogDirs: []records.UUID{id(100)}}
	elr := records.NewPartitionChange(id(1), 0)
	elr.EligibleLeaderReplicas = []int32{2}
	for level := records.MinMetadataVersion; level <= records.LatestMetadataVersion; level++ {
		i := replay(small(), cordoned, elr, &records.FeatureLevel{Name: "metadata.version", Level: int16(level)})
		first := true
		for r := range i.Records() {
			if _, err := records.AppendRecord(nil, r, records.VersionOf(r, level)); err != nil {
				t.Errorf("level %d: %T: %v", level, r, err)
			}
			if f, ok := r.(*records.FeatureLevel); first && (!ok || f.Name != "metadata.version") {
				t.Errorf("level %d: the first record is %+v", level, r)
			}
			first = false
			if _, ok := r.(*records.RegisterController); ok && level < 15 {
				t.Errorf("level %d: %T", level, r)
			}
		}
	}
}

func TestConfigsAreByKeyAndLeaveNothingBehind(t *testing.T) {
	set := func(key, value string) records.Record {
		return &records.Config{ResourceType: image.ConfigBroker, Name: key, Value: text(value)}
	}
	i := replay(new(image.Image), set("c", "1"), set("a", "2"), set("b", "3"), set("a", "4"))
	var got []string
	for key, value := range i.Configs(image.ConfigBroker, "") {
		got = append(got, key+"="+value)
	}
	if !slices.Equal(got, []string{"a=4", "b=3", "c=1"}) || i.NumConfigs(image.ConfigBroker, "") != 3 {
		t.Errorf("%q", got)
	}
	remove := func(key string) records.Record {
		return &records.Config{ResourceType: image.ConfigBroker, Name: key}
	}
	i = replay(i, remove("x"), remove("a"), remove("b"), remove("c"), remove("c"))
	if n := len(slices.Collect(i.ConfigResources(image.ConfigBroker))); n != 0 || i.NumConfigs(image.ConfigBroker, "") != 0 {
		t.Errorf("%d resources are left", n)
	}
	for range i.Records() {
		t.Error("records are left")
	}
}

func TestQuotaIsFoundInAnyOrderOfItsParts(t *testing.T) {
	i := small()
	q, ok := i.Quota([]image.QuotaEntity{{Type: "user", Name: text("u")}, {Type: "client-id"}})
	if !ok || len(q.Values) != 1 || q.Values[0] != (image.QuotaValue{Key: "k", Value: 2}) || q.Entity[0].Type != "client-id" {
		t.Fatalf("%+v", q)
	}
	if _, ok := i.Quota([]image.QuotaEntity{{Type: "client-id", Name: text("")}, {Type: "user", Name: text("u")}}); ok {
		t.Error("the default entity is not the one with the empty name")
	}
	i = replay(i, &records.ClientQuota{Entity: []records.QuotaEntity{{Type: "client-id"}, {Type: "user", Name: text("u")}}, Key: "k", Remove: true})
	for range i.Quotas() {
		t.Error("an entity without quotas is left")
	}
}

func TestProducerIDBlocks(t *testing.T) {
	i := replay(small(), &records.ProducerIDs{BrokerID: 2, NextProducerID: 3000}, &records.ProducerIDs{BrokerID: -1, BrokerEpoch: -1, NextProducerID: 3500})
	got := map[int32]image.ProducerIDBlock{}
	for broker, block := range i.ProducerIDBlocks() {
		got[broker] = block
	}
	want := map[int32]image.ProducerIDBlock{1: {First: 0, Count: 1000}, 2: {First: 1000, Count: 2000}}
	if !reflect.DeepEqual(got, want) || i.NextProducerID() != 3500 {
		t.Errorf("%v, next %d", got, i.NextProducerID())
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c, ok := small().ScramCredential("u", image.ScramSHA256)
	if !ok || string(c.StoredKey) != "stored" {
		t.Fatalf("credential %v", ok)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "credential", c, "key", c.StoredKey)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "credential", c, "key", c.StoredKey)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	other := replay(small(), &records.UserScramCredential{Name: "u", Mechanism: 1, Salt: []byte("other"), StoredKey: []byte("stored"), ServerKey: []byte("server")})
	said := log.String() + string(asJSON) + fmt.Sprintf("%v %+v %#v %s %q %x", c, c, c, c.Salt, c.Salt, c.Salt) + image.Diff(small(), other)
	for _, secret := range []string{"salt", "stored", "server", "c3Rvcm", "73746f", "115 116 111", "0x73"} {
		if strings.Contains(said, secret) {
			t.Errorf("%q in %s", secret, said)
		}
	}
	if !strings.Contains(image.Diff(small(), other), "SCRAM") {
		t.Error("the difference is not named")
	}
}

func TestDiffNamesWhatDiffers(t *testing.T) {
	i := small()
	if !image.Equal(i, small()) || image.Diff(i, i) != "" || image.Diff(i, small()) != "" {
		t.Error("equal images differ")
	}
	e := i.Edit()
	e.Replay(&records.RemoveTopic{TopicID: id(1)}, 20)
	e.Replay(&records.FenceBroker{ID: 1, Epoch: 2}, 21)
	e.Replay(&records.UnfenceBroker{ID: 1, Epoch: 2}, 22)
	e.Replay(&records.DelegationToken{TokenID: "z"}, 23)
	e.ReplayControl(&records.KRaftVoters{Voters: []records.Voter{{ID: 7}}}, 24)
	got := image.Diff(i, e.Image())
	for _, want := range []string{"voters", "broker 1", "topic a.b", "partition 0 of " + id(1).String(), "config retention.ms", "delegation token z"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 6 || image.Equal(i, e.Image()) {
		t.Errorf("%d differences: %s", n, got)
	}
	if got := image.Diff(cluster(10, 5, 10), new(image.Image)); !strings.HasSuffix(got, "and more\n") {
		t.Errorf("many differences: %s", got)
	}
}

func TestControlRecordsAreNotRecords(t *testing.T) {
	e := new(image.Image).Edit()
	e.ReplayControl(&records.LeaderChange{LeaderID: 0}, 0)
	e.ReplayControl(&records.KRaftVersion{Version: 1}, 1)
	e.ReplayControl(&records.KRaftVoters{Voters: []records.Voter{{ID: 3}}}, 2)
	e.Advance(3, 7, 1234)
	i := e.Image()
	if leader, epoch := i.Leader(); leader != 0 || epoch != 7 || i.EndOffset() != 3 || i.Timestamp() != 1234 {
		t.Errorf("leader %d, %d", leader, epoch)
	}
	if kraft, voters := i.Control(); kraft == nil || kraft.Version != 1 || voters.Voters[0].ID != 3 {
		t.Errorf("control: %v, %v", kraft, voters)
	}
	for range i.Records() {
		t.Error("a record")
	}
	if kraft, voters := new(image.Image).Control(); kraft != nil || voters != nil {
		t.Error("an empty image has control records")
	}
}

func TestAbortedTransactionLeavesNothingButOffsets(t *testing.T) {
	e := small().Edit()
	e.Advance(e.Image().EndOffset(), 3, 100)
	before := e.Image()
	at := before.EndOffset()
	e.Replay(&records.BeginTransaction{Name: text("t")}, at)
	e.Replay(&records.RemoveTopic{TopicID: id(1)}, at+1)
	e.Replay(&records.Topic{Name: "n", TopicID: id(9)}, at+2)
	e.Advance(at+3, 3, 101)
	inside := e.Image()
	if !inside.InTransaction() || inside.Stable().EndOffset() != at || inside.Stable().Timestamp() != 100 || inside.Stable().InTransaction() {
		t.Errorf("stable at %d", inside.Stable().EndOffset())
	}
	if image.Diff(inside.Stable(), before) != "" {
		t.Errorf("the stable image is not that before the transaction: %s", image.Diff(inside.Stable(), before))
	}
	if _, ok := inside.TopicByName("n"); !ok {
		t.Error("what the transaction writes is not in the head")
	}
	e.ReplayControl(&records.LeaderChange{LeaderID: 2}, at+3)
	e.ReplayControl(&records.KRaftVoters{Voters: []records.Voter{{ID: 7}}}, at+4)
	e.Advance(at+5, 4, 102)
	e.Replay(&records.AbortTransaction{}, at+5)
	e.Advance(at+6, 4, 103)
	after := e.Image()
	if after.InTransaction() || after.Stable() != after || after.EndOffset() != at+6 || after.Epoch() != 4 || after.Timestamp() != 103 {
		t.Errorf("position %d, %d, %d", after.EndOffset(), after.Epoch(), after.Timestamp())
	}
	if leader, epoch := after.Leader(); leader != 2 || epoch != 4 || after.Voters().Voters[0].ID != 7 {
		t.Error("the abort took back what the quorum is")
	}
	if !slices.Equal(lines(after), lines(before)) {
		t.Error("something of the transaction is left")
	}
	// The head must be good to go on with, and what it does next must not show in the images before.
	e.Replay(&records.Partition{TopicID: id(1), PartitionID: 1, Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}, at+6)
	if before.NumPartitions() != 1 || after.NumPartitions() != 1 || e.Image().NumPartitions() != 2 || inside.NumPartitions() != 0 {
		t.Error("images share what they must not")
	}
}

func TestEndedTransactionCounts(t *testing.T) {
	i := replay(small(), &records.BeginTransaction{}, &records.RemoveTopic{TopicID: id(1)}, &records.EndTransaction{})
	if i.InTransaction() || i.Stable() != i || i.NumTopics() != 0 {
		t.Error("the transaction does not count")
	}
}

func TestTransactionInsideABatchSavesThePositionWhereItBegins(t *testing.T) {
	b := records.NewBatchBuilder(0, 5, 1000)
	for _, r := range []records.Record{&records.NoOp{}, &records.BeginTransaction{}, &records.Topic{Name: "n", TopicID: id(9)}} {
		if err := b.Add(r, 0); err != nil {
			t.Fatal(err)
		}
	}
	e := new(image.Image).Edit()
	e.ReplayBatch(b.Batch())
	if s := e.Image().Stable(); s.EndOffset() != 1 || s.Epoch() != 5 || s.Timestamp() != 1000 {
		t.Errorf("stable at %d, %d, %d", s.EndOffset(), s.Epoch(), s.Timestamp())
	}
}

// An edit remembers the topic that it wrote last. Without an image in between, nothing else makes it forget.
func TestEditForgetsTheTopicItWroteLast(t *testing.T) {
	e := small().Edit()
	e.Replay(&records.BeginTransaction{}, 20)
	e.Replay(records.NewPartitionChange(id(1), 0), 21)
	e.Replay(&records.AbortTransaction{}, 22)
	e.Replay(records.NewPartitionChange(id(1), 0), 23)
	if p := partitionOf(t, e.Image()); p.PartitionEpoch != 1 {
		t.Errorf("partition epoch %d after one change that counts", p.PartitionEpoch)
	}

	e = small().Edit()
	e.Replay(records.NewPartitionChange(id(1), 0), 20)
	e.Replay(&records.RemoveTopic{TopicID: id(1)}, 21)
	defer func() {
		if recover() == nil {
			t.Error("a partition of a removed topic was taken")
		}
	}()
	e.Replay(records.NewPartitionChange(id(1), 0), 22)
}

func TestIterationsEndWhenTold(t *testing.T) {
	i := cluster(10, 3, 40)
	n := 0
	i.EachPartition(func(*image.Topic, int32, *image.Partition) bool { n++; return n < 50 })
	i.EachPartitionOf(1, func(*image.Topic, int32, *image.Partition) bool { n++; return false })
	i.EachPartitionOfFrom(image.Place{Topic: "topic-000001", Partition: 35}, 1, func(*image.Topic, int32, *image.Partition) bool { n++; return false })
	i.EachPartitionOfFrom(image.Place{Topic: "z"}, 1, func(*image.Topic, int32, *image.Partition) bool { n++; return false })
	for range i.Records() {
		if n++; n == 72 {
			break
		}
	}
	for range i.Topics() {
		n++
		break
	}
	for topic := range i.TopicsFrom("topic-000001") {
		for range topic.Partitions() {
			n++
			break
		}
	}
	if n != 75 {
		t.Errorf("%d steps", n)
	}
}

func TestEditsOfOneImageDoNotMeet(t *testing.T) {
	base := cluster(10, 20, 40)
	before := lines(base)
	change := func(e *image.Edit, by int32) {
		for n := range int32(200) {
			topic := records.UUID{1: 7, 15: byte(n % 20)}
			c := records.NewPartitionChange(topic, n%40)
			c.ISR, c.Leader = []int32{by}, by
			e.Replay(c, int64(n))
			e.Replay(&records.Config{ResourceType: 2, ResourceName: fmt.Sprint(n), Name: "k", Value: text(fmt.Sprint(by))}, int64(n))
			if n%50 == 0 {
				e.Image()
			}
		}
	}
	results := make([]*image.Image, 4)
	var wg sync.WaitGroup
	for by := range int32(4) {
		wg.Go(func() {
			e := base.Edit()
			change(e, by)
			results[by] = e.Image()
		})
		wg.Go(func() {
			for range 3 {
				if !slices.Equal(lines(base), before) {
					t.Error("the image changed while it was edited")
				}
			}
		})
	}
	wg.Wait()
	for by, got := range results {
		e := base.Edit()
		change(e, int32(by))
		if diff := image.Diff(got, e.Image()); diff != "" {
			t.Errorf("edit %d, alone: %s", by, diff)
		}
	}
}

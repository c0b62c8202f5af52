package plan

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// crowd is a cluster of three brokers whose topics have more partitions than one operation may change; each partition
// has one broker as its leader and, with two replicas, the next as its follower.
func crowd(t *testing.T, partitions, factor int) *story {
	s := newStory(t)
	for id := int32(1); id <= 3; id++ {
		req := s.registration(id)
		s.do(func(v *View) Result { return RegisterBroker(v, req) })
		s.do(s.heartbeat(id, nil))
	}
	topic := incarnation("crowd")
	s.write(&records.Topic{Name: "crowd", TopicID: topic})
	var recs []records.Record
	for p := range partitions {
		var replicas []int32
		var dirs []records.UUID
		for i := range factor {
			id := int32(1 + i)
			replicas = append(replicas, id)
			dirs = append(dirs, s.registration(id).LogDirs[0])
		}
		recs = append(recs, &records.Partition{PartitionID: int32(p), TopicID: topic, Replicas: replicas, ISR: replicas, Leader: 1, Directories: dirs})
		if len(recs) == MaxRecords {
			s.write(recs...)
			recs = nil
		}
	}
	s.write(recs...)
	return s
}

// led counts the partitions that the broker leads.
func (s *story) led(broker int32) (n int) {
	s.image.EachPartition(func(_ *image.Topic, _ int32, p *image.Partition) bool {
		if p.Leader == broker {
			n++
		}
		return true
	})
	return n
}

func onlyPartitionChanges(recs []records.Record) bool {
	for _, r := range recs {
		if _, ok := r.(*records.PartitionChange); !ok {
			return false
		}
	}
	return true
}

func TestFencingManyPartitionsTakesSeveralOperations(t *testing.T) {
	s := crowd(t, 2*MaxRecords, 2)
	for i := range 2 {
		r := s.do(func(v *View) Result { return FenceBroker(v, 1) })
		if len(r.Records) != MaxRecords || !onlyPartitionChanges(r.Records) || r.Session != nil || r.Rest == nil {
			t.Fatalf("operation %d: %s", i, s.result(r))
		}
		if b, _ := s.image.Broker(1); b.Fenced {
			t.Fatal("fenced before everything is moved")
		}
	}
	r := s.do(func(v *View) Result { return FenceBroker(v, 1) })
	if len(r.Records) != 1 || r.Session == nil || !r.Session.End {
		t.Fatalf("the last operation: %s", s.result(r))
	}
	if b, _ := s.image.Broker(1); !b.Fenced || s.led(1) != 0 || s.led(2) != 2*MaxRecords {
		t.Fatalf("fenced %v, leads %d, broker 2 leads %d", b.Fenced, s.led(1), s.led(2))
	}
}

// What fences a broker goes on where it stopped, and goes round: what somebody else does between two steps is seen.
func TestFencingGoesOnAndLooksAgainAtWhatItHasPassed(t *testing.T) {
	s := crowd(t, 2*MaxRecords+500, 3)
	r := s.do(func(v *View) Result { return FenceBroker(v, 1) })
	r = s.do(r.Rest)
	at, ok := r.Records[0].(*records.PartitionChange)
	if !ok || at.PartitionID != MaxRecords || len(r.Records) != MaxRecords || r.Rest == nil {
		t.Fatalf("the second step begins at %v with %d records", at, len(r.Records))
	}
	// Broker 1 is not fenced yet, so the leader of a partition that was passed may take it back.
	topic, _ := s.image.TopicByName("crowd")
	p, _ := topic.Partition(7)
	s.write(&records.PartitionChange{TopicID: topic.ID, PartitionID: 7, ISR: []int32{2, 3, 1}, Leader: records.LeaderUnchanged, LeaderRecoveryState: records.RecoveryStateUnchanged})
	if p.Leader == 1 || s.in(1) != 501 {
		t.Fatalf("broker 1 is in sync with %d partitions", s.in(1))
	}
	r = s.do(r.Rest)
	if b, _ := s.image.Broker(1); r.Rest != nil || len(r.Records) != 502 || !b.Fenced || s.in(1) != 0 || s.led(1) != 0 {
		t.Fatalf("the last step has %d records; fenced %v, in sync with %d, leads %d", len(r.Records), b.Fenced, s.in(1), s.led(1))
	}
}

func TestFencingByHeartbeatAnswersTheOldStateUntilDone(t *testing.T) {
	s := crowd(t, MaxRecords, 2)
	fence := func(r *kmsg.BrokerHeartbeatRequest) { r.WantFence = true }
	r := s.do(s.heartbeat(1, fence))
	if resp := r.Response.(*kmsg.BrokerHeartbeatResponse); resp.IsFenced || len(r.Records) != MaxRecords {
		t.Fatalf("first: %s", s.result(r))
	}
	r = s.do(s.heartbeat(1, fence))
	if resp := r.Response.(*kmsg.BrokerHeartbeatResponse); !resp.IsFenced || len(r.Records) != 1 {
		t.Fatalf("second: %s", s.result(r))
	}
}

func TestControlledShutdownOfManyPartitionsGoesOn(t *testing.T) {
	s := crowd(t, MaxRecords+500, 2)
	stop := func(r *kmsg.BrokerHeartbeatRequest) { r.WantShutdown = true }
	r := s.do(s.heartbeat(1, stop))
	if len(r.Records) != MaxRecords || !r.Session.BeginShutdown {
		t.Fatalf("first: %s", s.result(r))
	}
	early, _ := s.sessions.ShutdownOffset(1, s.epoch(1))
	s.do(s.heartbeat(2, nil))
	s.do(s.heartbeat(3, nil))
	r = s.do(s.heartbeat(1, stop))
	if len(r.Records) != 501 || !r.Session.BeginShutdown || s.led(1) != 0 {
		t.Fatalf("second: %s", s.result(r))
	}
	if late, _ := s.sessions.ShutdownOffset(1, s.epoch(1)); late <= early {
		t.Fatalf("shutdown offset %d, was %d: nobody waits for the last moves", late, early)
	}
	r = s.do(s.heartbeat(1, stop))
	if resp := r.Response.(*kmsg.BrokerHeartbeatResponse); resp.ShouldShutdown {
		t.Fatal("may stop before the others know of the last moves")
	}
	s.do(s.heartbeat(2, nil))
	s.do(s.heartbeat(3, nil))
	r = s.do(s.heartbeat(1, stop))
	if resp := r.Response.(*kmsg.BrokerHeartbeatResponse); !resp.ShouldShutdown {
		t.Fatalf("not granted: %s", s.result(r))
	}
}

func (s *story) epoch(broker int32) int64 {
	b, _ := s.image.Broker(broker)
	return b.Epoch
}

func TestUnfencingLeavesTheRestToElectLeaderless(t *testing.T) {
	s := crowd(t, MaxRecords+500, 1)
	for range 2 {
		s.do(func(v *View) Result { return FenceBroker(v, 1) })
	}
	if s.led(1) != 0 {
		t.Fatal("not fenced")
	}
	if r := s.do(s.heartbeat(1, nil)); len(r.Records) != MaxRecords || s.led(1) != MaxRecords-1 {
		t.Fatalf("unfenced with %d records, leads %d", len(r.Records), s.led(1))
	}
	if r := s.do(ElectLeaderless); len(r.Records) != 501 || s.led(1) != MaxRecords+500 {
		t.Fatalf("then %d records, leads %d", len(r.Records), s.led(1))
	}
	if r := s.do(ElectLeaderless); len(r.Records) != 0 {
		t.Fatalf("and %d more", len(r.Records))
	}
}

func TestRegistrationAfterACrashTakesSeveralTries(t *testing.T) {
	s := crowd(t, MaxRecords, 2)
	s.sessions.forget(1)
	req := s.registration(1)
	req.IncarnationID = incarnation("second")
	r := s.do(func(v *View) Result { return RegisterBroker(v, req) })
	if resp := r.Response.(*kmsg.BrokerRegistrationResponse); resp.ErrorCode != kerr.DuplicateBrokerRegistration.Code || len(r.Records) != MaxRecords {
		t.Fatalf("first: %s", s.result(r))
	}
	r = s.do(func(v *View) Result { return RegisterBroker(v, req) })
	if resp := r.Response.(*kmsg.BrokerRegistrationResponse); resp.ErrorCode != 0 || len(r.Records) != 1 || s.led(1) != 0 {
		t.Fatalf("second: %s", s.result(r))
	}
}

func TestAFailedDirectoryOfManyPartitionsTakesSeveralHeartbeats(t *testing.T) {
	s := crowd(t, MaxRecords, 2)
	b, _ := s.image.Broker(1)
	s.write(&records.BrokerRegistrationChange{BrokerID: 1, BrokerEpoch: b.Epoch, LogDirs: []records.UUID{dirID("d1"), dirID("other")}})
	fail := func(r *kmsg.BrokerHeartbeatRequest) {
		r.OfflineLogDirs = [][16]byte{dirID("d1")}
		r.CordonedLogDirs = [][16]byte{}
	}
	if r := s.do(s.heartbeat(1, fail)); len(r.Records) != MaxRecords || !onlyPartitionChanges(r.Records) {
		t.Fatalf("first: %s", s.result(r))
	}
	if r := s.do(s.heartbeat(1, fail)); len(r.Records) != 2 || s.led(1) != 0 {
		t.Fatalf("second: %s", s.result(r))
	}
}

func TestUnregisteringABrokerOfManyPartitionsIsOneOperation(t *testing.T) {
	s := crowd(t, 2*MaxRecords, 2)
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = 1
	r := s.do(func(v *View) Result { return UnregisterBroker(v, req) })
	if resp := r.Response.(*kmsg.UnregisterBrokerResponse); resp.ErrorCode != 0 || len(r.Records) != 2*MaxRecords+1 || s.led(2) != 2*MaxRecords {
		t.Errorf("%s", s.result(r))
	}
}

// Before metadata.version 13 there are no transactions, and what cannot be written at once is refused.
func TestUnregisteringABrokerWithTooManyPartitionsIsRefused(t *testing.T) {
	s := crowd(t, MaxRecords, 2)
	s.write(&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: 12})
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = 1
	unregister := func(v *View) Result { return UnregisterBroker(v, req) }
	if r := s.do(unregister); r.Response.(*kmsg.UnregisterBrokerResponse).ErrorCode != kerr.PolicyViolation.Code || len(r.Records) != 0 {
		t.Fatalf("not refused: %s", s.result(r))
	}
	for range 2 {
		s.do(func(v *View) Result { return FenceBroker(v, 1) })
	}
	if r := s.do(unregister); r.Response.(*kmsg.UnregisterBrokerResponse).ErrorCode != 0 {
		t.Fatalf("refused after all: %s", s.result(r))
	}
}

func TestAlterPartitionLeavesOutWhatIsTooMuch(t *testing.T) {
	s := crowd(t, MaxRecords+500, 2)
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version, req.BrokerID, req.BrokerEpoch = 3, 1, s.epoch(1)
	rt := kmsg.NewAlterPartitionRequestTopic()
	rt.TopicID = incarnation("crowd")
	for p := range MaxRecords + 500 {
		rp := kmsg.NewAlterPartitionRequestTopicPartition()
		rp.Partition = int32(p)
		m := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
		m.BrokerID = 1
		rp.NewEpochISR = append(rp.NewEpochISR, m)
		rt.Partitions = append(rt.Partitions, rp)
	}
	nothing := kmsg.NewAlterPartitionRequestTopic()
	nothing.TopicID = incarnation("nothing")
	nothing.Partitions = rt.Partitions[:1]
	req.Topics = append(req.Topics, rt, nothing)
	r := s.do(func(v *View) Result { return AlterPartition(v, req) })
	resp := r.Response.(*kmsg.AlterPartitionResponse)
	if len(r.Records) != MaxRecords || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != MaxRecords {
		t.Fatalf("%d records, %d topics", len(r.Records), len(resp.Topics))
	}
}

func TestRegistrationRefusesWhatNoRecordHolds(t *testing.T) {
	long, broken := strings.Repeat("x", 1<<15), "not \xff UTF-8"
	for name, change := range map[string]func(*kmsg.BrokerRegistrationRequest){
		"rack too long":      func(r *kmsg.BrokerRegistrationRequest) { r.Rack = &long },
		"rack not UTF-8":     func(r *kmsg.BrokerRegistrationRequest) { r.Rack = &broken },
		"host too long":      func(r *kmsg.BrokerRegistrationRequest) { r.Listeners[0].Host = long },
		"host not UTF-8":     func(r *kmsg.BrokerRegistrationRequest) { r.Listeners[0].Host = broken },
		"listener too long":  func(r *kmsg.BrokerRegistrationRequest) { r.Listeners[0].Name = long },
		"listener not UTF-8": func(r *kmsg.BrokerRegistrationRequest) { r.Listeners[0].Name = broken },
		"negative protocol":  func(r *kmsg.BrokerRegistrationRequest) { r.Listeners[0].SecurityProtocol = -1 },
		"feature too long": func(r *kmsg.BrokerRegistrationRequest) {
			r.Features[0].Name = long
			r.Features[0].MinSupportedVersion = 0
		},
		"feature named twice": func(r *kmsg.BrokerRegistrationRequest) { r.Features = append(r.Features, r.Features[0]) },
		"more listeners than a batch holds": func(r *kmsg.BrokerRegistrationRequest) {
			for i := range 500 {
				r.Listeners = append(r.Listeners, kmsg.BrokerRegistrationRequestListener{Name: strings.Repeat("l", i+1), Host: long[1:], Port: 1})
			}
		},
		"more directories than a batch holds": func(r *kmsg.BrokerRegistrationRequest) {
			for i := range 1 << 17 {
				r.LogDirs = append(r.LogDirs, [16]byte{1, byte(i >> 16), byte(i >> 8), byte(i)})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			req := s.registration(1)
			change(req)
			r := s.do(func(v *View) Result { return RegisterBroker(v, req) })
			if code := r.Response.(*kmsg.BrokerRegistrationResponse).ErrorCode; code != kerr.InvalidRegistration.Code && code != kerr.UnsupportedVersion.Code {
				t.Errorf("error code %d", code)
			}
			if len(r.Records) != 0 || r.Refusal == nil || r.Refusal.Message == "" {
				t.Errorf("%s", s.result(r))
			}
		})
	}
	s := newStory(t)
	req := s.registration(1)
	s.do(func(v *View) Result { return RegisterBroker(v, req) })
	r := s.do(s.heartbeat(1, func(r *kmsg.BrokerHeartbeatRequest) { r.CordonedLogDirs = make([][16]byte, 1<<17) }))
	if code := r.Response.(*kmsg.BrokerHeartbeatResponse).ErrorCode; code != kerr.InvalidRequest.Code || len(r.Records) != 0 {
		t.Errorf("cordoned: %s", s.result(r))
	}
}

// What an image cannot hold has to be refused before it is written: replaying it ends the process, and each one that leads next.
func TestATopicCannotGrowBeyondWhatAnImageHolds(t *testing.T) {
	s := crowd(t, 1, 1)
	ask := kmsg.NewCreatePartitionsRequestTopic()
	ask.Topic, ask.Count = "crowd", image.MaxPartitions+1
	if recs, r := s.view().growTopic(&ask); len(recs) > 0 || r == nil || r.Err != kerr.InvalidPartitions {
		t.Errorf("%d records, %v", len(recs), r)
	}
}

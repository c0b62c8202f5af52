package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// storyCommands are what a story file may say. A command with an answer prints what the operation decided; one without
// only sets the scene.
var storyCommands = map[string]func(*story, *datadriven.TestData) string{
	"cluster":            (*story).cmdCluster,
	"settings":           (*story).cmdSettings,
	"activate":           func(s *story, _ *datadriven.TestData) string { return s.result(s.do(Activation)) },
	"write":              (*story).cmdWrite,
	"brokers":            (*story).cmdBrokers,
	"register":           (*story).cmdRegister,
	"heartbeat":          (*story).cmdHeartbeat,
	"silent":             (*story).cmdSilent,
	"expire":             (*story).cmdExpire,
	"unregister":         (*story).cmdUnregister,
	"controller":         (*story).cmdController,
	"self":               (*story).cmdSelf,
	"create-topics":      (*story).cmdCreateTopics,
	"delete-topics":      (*story).cmdDeleteTopics,
	"alter-partition":    (*story).cmdAlterPartition,
	"alloc-producer-ids": (*story).cmdAllocProducerIDs,
	"elect-leaderless":   func(s *story, _ *datadriven.TestData) string { return s.result(s.do(ElectLeaderless)) },
	"config":             (*story).cmdConfig,
	"feature":            (*story).cmdFeature,
	"reassign":           (*story).cmdReassign,
	"show":               (*story).cmdShow,
}

// cluster [level=30]: a new cluster, formatted at this metadata.version.
func (s *story) cmdCluster(d *datadriven.TestData) string {
	s.reset(records.MetadataVersion(args{s.tb, d}.number("level", int64(records.LatestMetadataVersion))))
	return ""
}

// settings [min-isr=1] [unclean=false] [partitions=1] [replication=1]: the controller's own settings.
func (s *story) cmdSettings(d *datadriven.TestData) string {
	a := args{s.tb, d}
	s.settings.MinISR = int32(a.number("min-isr", int64(s.settings.MinISR)))
	s.settings.NumPartitions = int32(a.number("partitions", int64(s.settings.NumPartitions)))
	s.settings.DefaultReplicationFactor = int16(a.number("replication", int64(s.settings.DefaultReplicationFactor)))
	s.settings.UncleanElection = a.text("unclean", fmt.Sprint(s.settings.UncleanElection)) == "true"
	for _, arg := range d.CmdArgs {
		if strings.Contains(arg.Key, ".") {
			s.settings.Properties[arg.Key] = strings.Join(arg.Vals, ",")
		}
	}
	return ""
}

// write: records that no plan makes: one a line.
func (s *story) cmdWrite(d *datadriven.TestData) string {
	for _, l := range strings.Split(d.Input, "\n") {
		switch name, rest, _ := strings.Cut(l, " "); name {
		case "empty":
			s.image = &image.Image{}
		case "topic":
			var id records.UUID
			copy(id[:], rest)
			s.write(&records.Topic{Name: rest, TopicID: id})
		case "level":
			s.write(&records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(parseIDs(s.tb, rest)[0])})
		default:
			d.Fatalf(s.tb, "unknown record %s", name)
		}
	}
	return ""
}

// brokers 1..3 [racks=a,b,c]: brokers that are registered and unfenced, with one directory each (d1, d2, …).
func (s *story) cmdBrokers(d *datadriven.TestData) string {
	racks := args{s.tb, d}.list("racks")
	for i, id := range parseIDs(s.tb, d.CmdArgs[0].Key) {
		req := s.registration(id)
		if racks != nil {
			req.Rack = &racks[i%len(racks)]
		}
		s.do(func(v *View) Result { return RegisterBroker(v, req) })
		s.do(s.heartbeat(id, nil))
	}
	return ""
}

// registration is what a broker in good health says.
func (s *story) registration(id int32) *kmsg.BrokerRegistrationRequest {
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.Version = 4
	req.BrokerID, req.ClusterID = id, storyCluster
	req.IncarnationID = incarnation("first")
	req.PreviousBrokerEpoch = -1
	req.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: fmt.Sprintf("host%d", id), Port: 9092}}
	for _, f := range records.SupportedFeatures() {
		req.Features = append(req.Features, kmsg.BrokerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	req.LogDirs = [][16]byte{dirID(fmt.Sprintf("d%d", id))}
	return req
}

func incarnation(name string) (id records.UUID) {
	copy(id[:], name)
	return id
}

// register broker=1 [version=4] [incarnation=first] [previous=-1] [dirs=d1] [rack=r] [cluster=…] [zk]
// [listener=name://host:port/protocol …] [feature=name:min-max …]: BrokerRegistration. `feature=name:none` leaves one out.
func (s *story) cmdRegister(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := s.registration(int32(a.number("broker", 0)))
	req.Version = int16(a.number("version", 4))
	req.IncarnationID = incarnation(a.text("incarnation", "first"))
	req.PreviousBrokerEpoch = a.number("previous", -1)
	req.ClusterID = a.text("cluster", req.ClusterID)
	req.IsMigratingZkBroker = a.has("zk")
	if a.has("rack") {
		req.Rack = kmsg.StringPtr(a.text("rack", ""))
	}
	if a.has("dirs") {
		req.LogDirs = nil
		for _, name := range a.list("dirs") {
			req.LogDirs = append(req.LogDirs, dirID(name))
		}
	}
	if a.has("listener") {
		req.Listeners = nil
	}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "listener":
			if arg.Vals[0] != "none" {
				l := parseListener(s.tb, d, arg.Vals[0])
				req.Listeners = append(req.Listeners, kmsg.BrokerRegistrationRequestListener{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
			}
		case "feature":
			name, levels, _ := strings.Cut(arg.Vals[0], ":")
			req.Features = slices.DeleteFunc(req.Features, func(f kmsg.BrokerRegistrationRequestFeature) bool { return f.Name == name })
			if levels != "none" {
				f := kmsg.BrokerRegistrationRequestFeature{Name: name}
				if _, err := fmt.Sscanf(levels, "%d-%d", &f.MinSupportedVersion, &f.MaxSupportedVersion); err != nil {
					d.Fatalf(s.tb, "%s: %v", arg.Vals[0], err)
				}
				req.Features = append(req.Features, f)
			}
		}
	}
	return s.result(s.do(func(v *View) Result { return RegisterBroker(v, req) }))
}

// parseListener reads name://host:port/protocol.
func parseListener(tb testing.TB, d *datadriven.TestData, text string) (e records.Endpoint) {
	tb.Helper()
	name, rest, _ := strings.Cut(text, "://")
	host, port, _ := strings.Cut(rest, ":")
	e.Name, e.Host = name, host
	if _, err := fmt.Sscanf(port, "%d/%d", &e.Port, &e.SecurityProtocol); err != nil {
		d.Fatalf(tb, "%s: %v", text, err)
	}
	return e
}

// heartbeat is a plan for the heartbeat of a broker that has read the whole log.
func (s *story) heartbeat(id int32, change func(*kmsg.BrokerHeartbeatRequest)) func(*View) Result {
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.Version = 2
	req.BrokerID, req.CurrentMetadataOffset = id, s.image.EndOffset()-1
	if b, ok := s.image.Broker(id); ok {
		req.BrokerEpoch = b.Epoch
	}
	if change != nil {
		change(req)
	}
	if b, ok := s.image.Broker(id); ok && b.Epoch == req.BrokerEpoch {
		s.sessions.touch(id, b.Epoch)
	}
	return func(v *View) Result { return Heartbeat(v, req) }
}

// heartbeat broker=1 [fence] [stop] [offset=…] [epoch=…] [offline=d1] [cordoned=d1|none] [version=2]: BrokerHeartbeat of a
// broker that has read the whole log unless the offset says otherwise.
func (s *story) cmdHeartbeat(d *datadriven.TestData) string {
	a := args{s.tb, d}
	return s.result(s.do(s.heartbeat(int32(a.number("broker", 0)), func(req *kmsg.BrokerHeartbeatRequest) {
		req.Version = int16(a.number("version", 2))
		req.WantFence, req.WantShutdown = a.has("fence"), a.has("stop")
		req.CurrentMetadataOffset = a.number("offset", req.CurrentMetadataOffset)
		req.BrokerEpoch = a.number("epoch", req.BrokerEpoch)
		for _, name := range a.list("offline") {
			req.OfflineLogDirs = append(req.OfflineLogDirs, dirID(name))
		}
		if a.has("cordoned") {
			req.CordonedLogDirs = [][16]byte{}
			for _, name := range a.list("cordoned") {
				req.CordonedLogDirs = append(req.CordonedLogDirs, dirID(name))
			}
		}
	})))
}

// silent broker=1: the broker's session ends, but nobody has noticed yet.
func (s *story) cmdSilent(d *datadriven.TestData) string {
	s.sessions.forget(int32(args{s.tb, d}.number("broker", 0)))
	return ""
}

// expire broker=1: the broker's session ends and it is fenced.
func (s *story) cmdExpire(d *datadriven.TestData) string {
	id := int32(args{s.tb, d}.number("broker", 0))
	return s.result(s.do(func(v *View) Result { return FenceBroker(v, id) }))
}

// unregister broker=1: UnregisterBroker.
func (s *story) cmdUnregister(d *datadriven.TestData) string {
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = int32(args{s.tb, d}.number("broker", 0))
	return s.result(s.do(func(v *View) Result { return UnregisterBroker(v, req) }))
}

// create-topics name… [partitions=1] [replicas=1,2/2,1] [replication=1] [version=7] [validate-only] [some.config=value]:
// CreateTopics; all topics alike. With replicas each partition gets its list, without they are placed.
func (s *story) cmdCreateTopics(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = int16(a.number("version", 7))
	req.ValidateOnly = a.has("validate-only")
	for _, arg := range d.CmdArgs {
		if len(arg.Vals) > 0 || arg.Key == "validate-only" {
			continue
		}
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic = arg.Key
		t.NumPartitions = int32(a.number("partitions", -1))
		t.ReplicationFactor = int16(a.number("replication", -1))
		if a.has("replicas") {
			t.NumPartitions, t.ReplicationFactor = -1, -1
			lists := strings.Split(a.text("replicas", ""), "/")
			for p := range max(len(lists), int(a.number("partitions", 1))) {
				t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{
					Partition: int32(p), Replicas: parseIDs(s.tb, lists[p%len(lists)]),
				})
			}
		}
		for _, c := range d.CmdArgs {
			if strings.Contains(c.Key, ".") && len(c.Vals) > 0 {
				t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: c.Key, Value: kmsg.StringPtr(strings.Join(c.Vals, ","))})
			}
		}
		req.Topics = append(req.Topics, t)
	}
	return s.result(s.do(func(v *View) Result { return CreateTopics(v, req) }))
}

// delete-topics name… [version=5] [ids]: DeleteTopics by name, or by id with `ids`.
func (s *story) cmdDeleteTopics(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version = int16(a.number("version", 6))
	for _, arg := range d.CmdArgs {
		if len(arg.Vals) > 0 || arg.Key == "ids" {
			continue
		}
		t := kmsg.NewDeleteTopicsRequestTopic()
		if topic, ok := s.image.TopicByName(arg.Key); ok && a.has("ids") {
			t.TopicID = topic.ID
		} else {
			t.Topic = kmsg.StringPtr(arg.Key)
		}
		req.Topics = append(req.Topics, t)
		req.TopicNames = append(req.TopicNames, arg.Key)
	}
	// What records are about is gone when they are replayed: print first.
	var out string
	s.do(func(v *View) Result {
		r := DeleteTopics(v, req)
		out = s.result(r)
		return r
	})
	return out
}

// alter-partition broker=1 [epoch=…] [version=3], then a line for each partition:
// orders-0 isr=1,2 [epochs=10,20] [leader-epoch=…] [partition-epoch=…] [recovering]: AlterPartition. Epochs are the current
// ones unless they are named.
func (s *story) cmdAlterPartition(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version = int16(a.number("version", 3))
	req.BrokerID = int32(a.number("broker", 0))
	if b, ok := s.image.Broker(req.BrokerID); ok {
		req.BrokerEpoch = b.Epoch
	}
	req.BrokerEpoch = a.number("epoch", req.BrokerEpoch)
	for _, l := range strings.Split(d.Input, "\n") {
		if l == "" {
			continue
		}
		cmd, cmdArgs, err := datadriven.ParseLine(l)
		if err != nil {
			d.Fatalf(s.tb, "%v", err)
		}
		p := args{s.tb, &datadriven.TestData{Pos: d.Pos, CmdArgs: cmdArgs}}
		at := strings.LastIndexByte(cmd, '-')
		rt := kmsg.NewAlterPartitionRequestTopic()
		rp := kmsg.NewAlterPartitionRequestTopicPartition()
		rp.Partition = parseIDs(s.tb, cmd[at+1:])[0]
		rt.TopicID = incarnation(cmd[:at])
		if t, ok := s.image.TopicByName(cmd[:at]); ok {
			rt.TopicID = t.ID
			now, _ := t.Partition(rp.Partition)
			rp.LeaderEpoch, rp.PartitionEpoch = now.LeaderEpoch, now.PartitionEpoch
		}
		rp.LeaderEpoch = int32(p.number("leader-epoch", int64(rp.LeaderEpoch)))
		rp.PartitionEpoch = int32(p.number("partition-epoch", int64(rp.PartitionEpoch)))
		if p.has("recovering") {
			rp.LeaderRecoveryState = int8(p.number("recovering", 1))
		}
		rp.NewISR = p.ids("isr")
		for i, id := range rp.NewISR {
			m := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
			m.BrokerID = id
			if b, ok := s.image.Broker(id); ok {
				m.BrokerEpoch = b.Epoch
			}
			if epochs := p.ids("epochs"); epochs != nil {
				m.BrokerEpoch = int64(epochs[i])
			}
			rp.NewEpochISR = append(rp.NewEpochISR, m)
		}
		rt.Partitions = append(rt.Partitions, rp)
		if n := len(req.Topics); n > 0 && req.Topics[n-1].TopicID == rt.TopicID {
			req.Topics[n-1].Partitions = append(req.Topics[n-1].Partitions, rp)
		} else {
			req.Topics = append(req.Topics, rt)
		}
	}
	return s.result(s.do(func(v *View) Result { return AlterPartition(v, req) }))
}

// alloc-producer-ids broker=1 [epoch=…]: AllocateProducerIds.
func (s *story) cmdAllocProducerIDs(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID = int32(a.number("broker", 0))
	if b, ok := s.image.Broker(req.BrokerID); ok {
		req.BrokerEpoch = b.Epoch
	}
	req.BrokerEpoch = a.number("epoch", req.BrokerEpoch)
	if a.has("used-up") {
		s.write(&records.ProducerIDs{BrokerID: req.BrokerID, BrokerEpoch: req.BrokerEpoch, NextProducerID: math.MaxInt64 - 10})
	}
	return s.result(s.do(func(v *View) Result { return AllocateProducerIDs(v, req) }))
}

// config [topic=orders] key=value: sets (or, with key=, removes) a config of a topic, or of all brokers.
func (s *story) cmdConfig(d *datadriven.TestData) string {
	topic := args{s.tb, d}.text("topic", "")
	for _, arg := range d.CmdArgs {
		if arg.Key == "topic" {
			continue
		}
		r := &records.Config{ResourceType: image.ConfigBroker, Name: arg.Key}
		if topic != "" {
			r.ResourceType, r.ResourceName = image.ConfigTopic, topic
		}
		if value := strings.Join(arg.Vals, ","); value != "" {
			r.Value = &value
		}
		s.write(r)
	}
	return ""
}

// feature name=level: finalizes a feature.
func (s *story) cmdFeature(d *datadriven.TestData) string {
	for _, arg := range d.CmdArgs {
		s.write(&records.FeatureLevel{Name: arg.Key, Level: int16(args{s.tb, d}.number(arg.Key, 0))})
	}
	return ""
}

// reassign topic=orders partition=0 replicas=1,2,3 [adding=3] [removing=1] [dirs=d1,d2,d3]: the state of a reassignment under way.
func (s *story) cmdReassign(d *datadriven.TestData) string {
	a := args{s.tb, d}
	t, ok := s.image.TopicByName(a.text("topic", ""))
	if !ok {
		d.Fatalf(s.tb, "no such topic")
	}
	r := records.NewPartitionChange(t.ID, int32(a.number("partition", 0)))
	r.Replicas, r.AddingReplicas, r.RemovingReplicas = a.ids("replicas"), a.ids("adding"), a.ids("removing")
	for _, name := range a.list("dirs") {
		r.Directories = append(r.Directories, dirID(name))
	}
	s.write(r)
	return ""
}

// show [topic…]: the partitions as they are.
func (s *story) cmdShow(d *datadriven.TestData) string {
	var b strings.Builder
	s.image.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		if len(d.CmdArgs) == 0 || slices.ContainsFunc(d.CmdArgs, func(arg datadriven.CmdArg) bool { return arg.Key == t.Name }) {
			fmt.Fprintf(&b, "%s-%d %s\n", t.Name, id, partitionText(p))
		}
		return true
	})
	return b.String()
}

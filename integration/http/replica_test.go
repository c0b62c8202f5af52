package http

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"

	"yakt/controller/image"
	"yakt/httpapi"
	"yakt/integration/harness"
	"yakt/records"
)

// changesAnswer is what GET /broker_mgmt and GET /client_mgmt answer.
type changesAnswer struct {
	ControllerID int32 `json:"controllerId"`
	Epoch        int32 `json:"epoch"`
	Full         json.RawMessage
	Changes      []struct {
		Offset    int64
		Timestamp int64
		Type      string
		Version   int16
		Data      json.RawMessage
		Broker    json.RawMessage // of client_mgmt: nil when it is not there
	}
	Timestamp int64
	More      bool
}

// replica is a reader of broker_mgmt or client_mgmt. It knows what the answers tell and nothing else.
type replica struct {
	route    string // /broker_mgmt/ or /client_mgmt/
	y        *harness.Yakt
	position int64
	waiting  changesAnswer // read, and not replayed yet
	image    *image.Edit   // of clients only the topics
	at       int64         // timestamp up to which the image is
	offset   int64         // after the last record replayed
	brokers  map[int32]json.RawMessage

	fulls, mores, changes int // answers that began anew, answers after which there was more, and changes
}

func newReplica(y *harness.Yakt, route string) *replica { return &replica{route: route, y: y} }

// ask reads one answer, of about limit changes, and replays what came before.
func (r *replica) ask(ctx context.Context, limit int) error {
	r.replay(r.position)
	a, err := ask(ctx, nil, "GET", fmt.Sprintf("http://%s%s%d?limit=%d", r.y.Addr, r.route, r.position, limit), "")
	if err != nil {
		return err
	}
	if a.Status != 200 {
		return fmt.Errorf("asked for what is after %d: %v", r.position, a)
	}
	var answer changesAnswer
	if err := json.Unmarshal(a.Body, &answer); err != nil {
		return fmt.Errorf("%w in %s", err, a.Body)
	}
	switch {
	case len(answer.Full) > 0 && string(answer.Full) != "null":
		if len(answer.Changes) > 0 || answer.Timestamp < r.position {
			return fmt.Errorf("asked for what is after %d: everything, and %d changes up to %d", r.position, len(answer.Changes), answer.Timestamp)
		}
		r.fulls++
		if err := r.begin(answer.Full); err != nil {
			return err
		}
	case r.image == nil:
		return fmt.Errorf("the first answer is %s", a.Body)
	case answer.Timestamp < r.position:
		return fmt.Errorf("asked for what is after %d and told to go on at %d", r.position, answer.Timestamp)
	}
	last := r.position
	for _, c := range answer.Changes {
		if c.Timestamp <= r.position || c.Timestamp < last || c.Timestamp > answer.Timestamp {
			return fmt.Errorf("asked for what is after %d up to %d, and there is a change of %d after one of %d", r.position, answer.Timestamp, c.Timestamp, last)
		}
		last = c.Timestamp
	}
	if answer.More {
		r.mores++
	}
	r.changes += len(answer.Changes)
	r.waiting, r.position = answer, answer.Timestamp
	return nil
}

// begin starts from a whole image.
func (r *replica) begin(full []byte) error {
	var m fullMetadata
	if err := json.Unmarshal(full, &m); err != nil {
		return err
	}
	r.image, r.at, r.offset = m.image(), m.Timestamp, m.Offset
	r.brokers = map[int32]json.RawMessage{}
	for _, text := range m.Brokers {
		var b struct{ BrokerID int32 }
		if err := json.Unmarshal(text, &b); err != nil {
			return err
		}
		r.brokers[b.BrokerID] = text
	}
	return nil
}

// replay applies what was read up to a timestamp.
func (r *replica) replay(to int64) {
	n := 0
	for _, c := range r.waiting.Changes {
		if c.Timestamp > to {
			break
		}
		n++
		if c.Offset < r.offset {
			panic(fmt.Sprintf("offset %d comes after %d", c.Offset, r.offset))
		}
		key, ok := records.ParseKey(c.Type)
		if !ok {
			panic("there is no " + c.Type)
		}
		record, err := records.UnmarshalJSON(key, c.Version, c.Data)
		if err != nil {
			panic(err)
		}
		r.offset = c.Offset + 1
		if c.Broker == nil {
			r.image.Replay(record, c.Offset)
			continue
		}
		var id struct{ BrokerID, ID *int32 }
		if err := json.Unmarshal(c.Data, &id); err != nil {
			panic(err)
		}
		if id.BrokerID == nil {
			id.BrokerID = id.ID
		}
		if string(c.Broker) == "null" {
			delete(r.brokers, *id.BrokerID)
		} else {
			r.brokers[*id.BrokerID] = c.Broker
		}
	}
	r.waiting.Changes = r.waiting.Changes[n:]
	if r.image != nil {
		r.at = max(r.at, to)
		r.image.Advance(r.offset, r.waiting.Epoch, r.at)
	}
}

// metadata is the document that GET /get_metadata would answer with if the replica were a node.
func (r *replica) metadata() any {
	w := httptest.NewRecorder()
	httpapi.New(httpapi.Config{
		ClusterID: r.y.ClusterID, Controller: still{img: r.image.Image(), leader: r.waiting.ControllerID}, Logger: slog.New(slog.DiscardHandler),
	}).ServeHTTP(w, httptest.NewRequest("GET", "/get_metadata", nil))
	document, err := decode(w.Body.Bytes())
	if err != nil {
		panic(err)
	}
	return document
}

// clientMetadata is the part of that document that clients see.
func (r *replica) clientMetadata() any {
	brokers := []any{}
	for _, id := range slices.Sorted(maps.Keys(r.brokers)) {
		b, err := decode(r.brokers[id])
		if err != nil {
			panic(err)
		}
		brokers = append(brokers, b)
	}
	return map[string]any{"brokers": brokers, "topics": r.metadata().(map[string]any)["topics"]}
}

// still is a controller that only has an image.
type still struct {
	httpapi.Controller
	img    *image.Image
	leader int32
}

func (s still) Image() *image.Image { return s.img }

func (s still) Leader() (id, epoch int32) { return s.leader, s.img.Epoch() }

// fullMetadata is the document of GET /get_metadata, or of its part for clients.
type fullMetadata struct {
	ControllerID    int32 `json:"controllerId"`
	Offset          int64
	Epoch           int32
	Timestamp       int64
	Features        map[string]int16
	Voters          []metadataVoter
	Brokers         []json.RawMessage
	Topics          []metadataTopic
	ProducerIDs     metadataProducerIDs `json:"producerIds"`
	Configs         []metadataConfig
	Controllers     []metadataController
	ClientQuotas    []json.RawMessage
	ACLs            []json.RawMessage `json:"acls"`
	ScramUsers      []json.RawMessage `json:"userScramCredentials"`
	DelegationToken []json.RawMessage `json:"delegationTokens"`
}

type metadataVoter struct {
	VoterID          int32
	VoterDirectoryID records.UUID
	Endpoints        []struct {
		Name string
		Host string
		Port uint16
	}
}

// metadataNode is what brokers and controllers have alike.
type metadataNode struct {
	IncarnationID records.UUID
	EndPoints     []struct {
		Name             string
		Host             string
		Port             uint16
		SecurityProtocol int16
	}
	Features []struct {
		Name                string
		MinSupportedVersion int16
		MaxSupportedVersion int16
	}
}

type metadataController struct {
	ControllerID int32
	metadataNode
}

type metadataBroker struct {
	BrokerID int32
	metadataNode
	BrokerEpoch          int64
	Fenced               bool
	InControlledShutdown bool
	Rack                 *string
	LogDirs              []records.UUID
	CordonedLogDirs      []records.UUID
}

type metadataTopic struct {
	Name       string
	TopicID    records.UUID
	Partitions []struct {
		PartitionID            int32
		Leader                 int32
		LeaderEpoch            int32
		PartitionEpoch         int32
		Replicas               []int32
		ISR                    []int32
		AddingReplicas         []int32
		RemovingReplicas       []int32
		LeaderRecoveryState    int8
		Directories            []records.UUID
		EligibleLeaderReplicas []int32
		LastKnownELR           []int32
	}
}

type metadataProducerIDs struct {
	NextProducerID int64
	Blocks         []struct {
		BrokerID        int32
		ProducerIDStart int64
		ProducerIDLen   int64
	}
}

type metadataConfig struct {
	ResourceType int8
	ResourceName string
	Configs      map[string]string
}

// image makes an image of the document.
func (m fullMetadata) image() *image.Edit {
	if len(m.ClientQuotas)+len(m.ACLs)+len(m.ScramUsers)+len(m.DelegationToken) > 0 {
		panic("this test does not know how to read all of it yet")
	}
	e := new(image.Image).Edit()
	replay := func(r records.Record) { e.Replay(r, 0) }
	change := &records.LeaderChange{LeaderID: m.ControllerID}
	set := new(records.KRaftVoters)
	for _, v := range m.Voters {
		voter := records.Voter{ID: v.VoterID, DirectoryID: v.VoterDirectoryID}
		for _, p := range v.Endpoints {
			voter.Endpoints = append(voter.Endpoints, records.VoterEndpoint{Name: p.Name, Host: p.Host, Port: p.Port})
		}
		set.Voters = append(set.Voters, voter)
	}
	e.Advance(0, m.Epoch, 0)
	e.ReplayControl(change, 0)
	e.ReplayControl(&records.KRaftVersion{Version: m.Features["kraft.version"]}, 0)
	if set.Voters != nil {
		e.ReplayControl(set, 0)
	}
	delete(m.Features, "kraft.version")
	for _, name := range slices.Sorted(maps.Keys(m.Features)) {
		replay(&records.FeatureLevel{Name: name, Level: m.Features[name]})
	}
	for _, c := range m.Controllers {
		r := &records.RegisterController{ControllerID: c.ControllerID, IncarnationID: c.IncarnationID}
		r.EndPoints, r.Features = c.lists()
		replay(r)
	}
	for _, text := range m.Brokers {
		var b metadataBroker
		if err := json.Unmarshal(text, &b); err != nil {
			panic(err)
		}
		replay(b.record())
	}
	for _, t := range m.Topics {
		replay(&records.Topic{Name: t.Name, TopicID: t.TopicID})
		for _, p := range t.Partitions {
			replay(&records.Partition{
				TopicID: t.TopicID, PartitionID: p.PartitionID, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
				Replicas: p.Replicas, ISR: p.ISR, AddingReplicas: p.AddingReplicas, RemovingReplicas: p.RemovingReplicas,
				LeaderRecoveryState: p.LeaderRecoveryState, Directories: p.Directories,
				EligibleLeaderReplicas: p.EligibleLeaderReplicas, LastKnownELR: p.LastKnownELR,
			})
		}
	}
	m.ProducerIDs.replay(replay)
	for _, c := range m.Configs {
		for name, value := range c.Configs {
			replay(&records.Config{ResourceType: c.ResourceType, ResourceName: c.ResourceName, Name: name, Value: &value})
		}
	}
	e.Advance(m.Offset, m.Epoch, m.Timestamp)
	return e
}

func (b metadataBroker) record() *records.RegisterBroker {
	r := &records.RegisterBroker{
		BrokerID: b.BrokerID, BrokerEpoch: b.BrokerEpoch, IncarnationID: b.IncarnationID, Fenced: b.Fenced,
		InControlledShutdown: b.InControlledShutdown, Rack: b.Rack, LogDirs: b.LogDirs, CordonedLogDirs: b.CordonedLogDirs,
	}
	r.EndPoints, r.Features = b.lists()
	return r
}

func (n metadataNode) lists() (endPoints []records.Endpoint, features []records.FeatureRange) {
	for _, p := range n.EndPoints {
		endPoints = append(endPoints, records.Endpoint{Name: p.Name, Host: p.Host, Port: p.Port, SecurityProtocol: p.SecurityProtocol})
	}
	for _, f := range n.Features {
		features = append(features, records.FeatureRange{Name: f.Name, Min: f.MinSupportedVersion, Max: f.MaxSupportedVersion})
	}
	return endPoints, features
}

// replay hands the blocks out once more, in the order of their ids.
func (p metadataProducerIDs) replay(replay func(records.Record)) {
	slices.SortFunc(p.Blocks, func(a, b struct {
		BrokerID        int32
		ProducerIDStart int64
		ProducerIDLen   int64
	}) int {
		return int(a.ProducerIDStart - b.ProducerIDStart)
	})
	next := int64(0)
	skip := func(to int64) {
		if to > next {
			replay(&records.ProducerIDs{BrokerID: -1, NextProducerID: to})
			next = to
		}
	}
	for _, b := range p.Blocks {
		skip(b.ProducerIDStart)
		next = b.ProducerIDStart + b.ProducerIDLen
		replay(&records.ProducerIDs{BrokerID: b.BrokerID, NextProducerID: next})
	}
	skip(p.NextProducerID)
}

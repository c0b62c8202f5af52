package plan

import (
	"slices"
	"strings"
	"unicode"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/configs"
	"yakt/controller/image"
	"yakt/records"
)

// People and scripts ask for things that no broker or client of Kafka would: that there be a broker without a process, that a
// broker be fenced, that somebody get producer ids. What they ask for obeys the same rules and becomes the same records as what
// the protocol asks for.
//
// A broker that was registered by hand has the zero incarnation id ([image.Broker.ByHand]). Nobody is there to send
// heartbeats, so no session times it out; it stays as it is until somebody says otherwise, or a process takes its id. What a
// process says about itself, that it is ready to be unfenced and which directories it has, nobody else says for it.

// HandAnswer is what came of a request by hand: why it was refused, or what it led to.
type HandAnswer struct {
	Refusal *Refusal // nil: it was done
	Offset  int64    // end offset of the first image that has what it did

	BrokerEpoch      int64 // of the broker that was registered or changed
	TopicID          records.UUID
	PartitionID      int32 // of the partition that was created
	ProducerIDStart  int64
	ProducerIDLength int32

	// Rest decides what is left when there were more changes than fit into one operation, as that of a [Result] does; nil: it is done.
	Rest func(*View) (HandAnswer, Result)
}

// refusedByHand answers a request by hand with a refusal.
func refusedByHand(r *Refusal) (HandAnswer, Result) {
	return HandAnswer{Refusal: r}, Result{Refusal: r}
}

// UnregisterByHand takes a broker out of the cluster as [UnregisterBroker] does. One that is in sync with more partitions than
// fit into one operation is fenced first.
func UnregisterByHand(v *View, broker int32) (HandAnswer, Result) {
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = broker
	result := UnregisterBroker(v, req)
	if b, ok := v.Image.Broker(broker); ok && result.Refusal != nil && result.Refusal.Err == kerr.PolicyViolation && !b.Fenced {
		recs, _ := v.fence(b, image.Place{})
		return HandAnswer{Rest: func(v *View) (HandAnswer, Result) { return UnregisterByHand(v, broker) }}, Result{Records: recs}
	}
	return HandAnswer{Refusal: result.Refusal}, result
}

// AllocateProducerIDsFor hands a broker the next block of producer ids as [AllocateProducerIDs] does, whatever its epoch.
func AllocateProducerIDsFor(v *View, broker int32) (HandAnswer, Result) {
	b, err := v.registered(broker)
	if err != nil {
		return refusedByHand(err)
	}
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = b.ID, b.Epoch
	result := AllocateProducerIDs(v, req)
	resp := result.Response.(*kmsg.AllocateProducerIDsResponse)
	return HandAnswer{Refusal: result.Refusal, BrokerEpoch: b.Epoch, ProducerIDStart: resp.ProducerIDStart, ProducerIDLength: resp.ProducerIDLen}, result
}

// registered returns the broker with this id.
func (v *View) registered(broker int32) (*image.Broker, *Refusal) {
	b, ok := v.Image.Broker(broker)
	if !ok {
		return nil, refuse(kerr.BrokerIDNotRegistered, "Broker %d is not registered.", broker)
	}
	return b, nil
}

// NewPartition asks for the next partition of a topic.
type NewPartition struct {
	TopicName   string       // "": by id
	TopicID     records.UUID // zero: by name
	PartitionID *int32       // what the caller takes for the next one; nil: whatever it is
	Replicas    []int32      // nil: placed
}

// CreatePartition adds one partition to a topic, by the rules of [CreatePartitions].
func CreatePartition(v *View, p NewPartition) (HandAnswer, Result) {
	topic, err := v.topicByHand(p.TopicName, p.TopicID)
	if err != nil {
		return refusedByHand(err)
	}
	next := int32(topic.NumPartitions())
	if p.PartitionID != nil && *p.PartitionID != next {
		return refusedByHand(refuse(kerr.InvalidUpdateVersion,
			"The next partition of topic %q is %d, not %d; partitions are numbered without gaps.", topic.Name, next, *p.PartitionID))
	}
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic.Name, next+1
	if p.Replicas != nil {
		t.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: p.Replicas}}
	}
	recs, err := v.growTopic(&t)
	if err != nil {
		return refusedByHand(err)
	}
	return HandAnswer{TopicID: topic.ID, PartitionID: next}, Result{Records: recs}
}

// topicByHand returns the topic that is named, or identified, or both.
func (v *View) topicByHand(name string, id records.UUID) (*image.Topic, *Refusal) {
	switch {
	case name == "" && id == records.ZeroUUID:
		return nil, refuse(kerr.InvalidRequest, "The request names no topic; give its name or its id.")
	case id == records.ZeroUUID:
		t, ok := v.Image.TopicByName(name)
		if !ok {
			return nil, refuse(kerr.UnknownTopicOrPartition, "There is no topic %s.", configs.Quote(name))
		}
		return t, nil
	}
	t, ok := v.Image.Topic(id)
	switch {
	case !ok:
		return nil, refuse(kerr.UnknownTopicID, "There is no topic with id %v.", id)
	case name != "" && name != t.Name:
		return nil, refuse(kerr.InconsistentTopicID, "The topic with id %v is called %s, not %s.", id, configs.Quote(t.Name), configs.Quote(name))
	}
	return t, nil
}

// HandRegistration is a broker without a process.
type HandRegistration struct {
	BrokerID         int32
	Host             string
	Port             uint16
	SecurityProtocol int16 // as records number them: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
	Rack             *string
}

// SecurityProtocols are the security protocols by number. Kafka calls a listener by its protocol unless told otherwise.
var SecurityProtocols = [...]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// RegisterByHand makes a broker known that has no process, and unfences it at once. Registered again with other values it gets a
// new epoch and leaves its ISRs, like a process that was started anew; with the same values nothing happens, unless it was
// fenced or shut down. Its directories stay.
func RegisterByHand(v *View, h HandRegistration) (HandAnswer, Result) {
	old, known := v.Image.Broker(h.BrokerID)
	reg, err := v.handRegistration(h, old)
	if err != nil {
		return refusedByHand(err)
	}
	if known && old.ByHand() && old.Active() && sameRegistration(old, reg) {
		return HandAnswer{BrokerEpoch: old.Epoch}, Result{}
	}
	recs, done := []records.Record(nil), true
	if known {
		recs, done = v.forgetIncarnation(h.BrokerID, old.ByHand())
	}
	if !done {
		return HandAnswer{Rest: func(v *View) (HandAnswer, Result) { return RegisterByHand(v, h) }}, Result{Records: recs}
	}
	result := Result{Records: v.electLeaderless(append(recs, reg))}
	if known {
		result.Session = &SessionChange{BrokerID: old.ID, Epoch: old.Epoch, MetadataOffset: -1, End: true}
	}
	return HandAnswer{BrokerEpoch: reg.BrokerEpoch}, result
}

// handRegistration returns the record that registers the broker, whose present registration is old or nil.
func (v *View) handRegistration(h HandRegistration, old *image.Broker) (*records.RegisterBroker, *Refusal) {
	switch {
	case h.BrokerID < 0:
		return nil, refuse(kerr.InvalidRegistration, "%d is no broker id; it must be 0 or more.", h.BrokerID)
	case v.Settings.ControllerIDs != nil && v.Settings.ControllerIDs(h.BrokerID):
		return nil, refuse(kerr.InvalidRegistration, "Id %d is a controller's; give the broker another id.", h.BrokerID)
	case h.SecurityProtocol < 0 || int(h.SecurityProtocol) >= len(SecurityProtocols):
		return nil, refuse(kerr.InvalidRegistration, "There is no security protocol %d.", h.SecurityProtocol)
	case h.Host == "" || !storable(h.Host):
		return nil, refuse(kerr.InvalidRegistration, "Broker %d needs a host, in UTF-8 and of at most %d bytes.", h.BrokerID, maxStringBytes)
	case strings.ContainsFunc(h.Host, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return nil, refuse(kerr.InvalidRegistration, "Broker %d's host cannot be %s: no name or address has blanks or control characters.", h.BrokerID, configs.Quote(h.Host))
	case h.Port == 0:
		return nil, refuse(kerr.InvalidRegistration, "Broker %d needs a port between 1 and 65535.", h.BrokerID)
	case h.Rack != nil && !storable(*h.Rack):
		return nil, refuse(kerr.InvalidRegistration, "The rack of broker %d is longer than %d bytes or not UTF-8.", h.BrokerID, maxStringBytes)
	case old != nil && !old.ByHand() && (!old.Fenced || v.Sessions.Alive(old.ID, old.Epoch, v.Now)):
		return nil, refuse(kerr.DuplicateBrokerRegistration, "Broker %d is a process that is alive; take another id, or stop the process and wait until it is fenced.", h.BrokerID)
	}
	reg := &records.RegisterBroker{
		BrokerID:    h.BrokerID,
		BrokerEpoch: v.NextOffset,
		EndPoints:   []records.Endpoint{{Name: SecurityProtocols[h.SecurityProtocol], Host: h.Host, Port: h.Port, SecurityProtocol: h.SecurityProtocol}},
		Features:    records.SupportedFeatures(),
		Rack:        h.Rack,
	}
	if old != nil && old.ByHand() && v.level().HasDirectories() {
		reg.LogDirs = old.LogDirs
	}
	return reg, nil
}

// sameRegistration says whether the record would tell nothing new about the broker.
func sameRegistration(b *image.Broker, r *records.RegisterBroker) bool {
	sameRack := b.Rack == nil && r.Rack == nil || b.Rack != nil && r.Rack != nil && *b.Rack == *r.Rack
	return sameRack && len(b.EndPoints) == 1 && sameEndpoint(b.EndPoints[0], r.EndPoints[0])
}

func sameEndpoint(a, b records.Endpoint) bool {
	return a.Name == b.Name && a.Host == b.Host && a.Port == b.Port && a.SecurityProtocol == b.SecurityProtocol
}

// RegistrationChange changes the state of a registered broker. What is nil stays.
type RegistrationChange struct {
	BrokerID             int32
	Fenced               *bool
	InControlledShutdown *bool
	LogDirs              []records.UUID

	from image.Place // where to look first: earlier operations have done what was before it
}

// ChangeRegistration changes the state of a broker, with the elections that follow from it. What is as it should be already
// needs no record. A process that is alive may be fenced, too, and is unfenced by its next heartbeat.
func ChangeRegistration(v *View, c RegistrationChange) (HandAnswer, Result) {
	b, err := v.registered(c.BrokerID)
	if err == nil {
		err = v.checkRegistrationChange(b, c)
	}
	if err != nil {
		return refusedByHand(err)
	}
	answer := HandAnswer{BrokerEpoch: b.Epoch}
	var recs []records.Record
	var left *image.Place
	for _, step := range c.steps() {
		w := v.after(recs)
		b, _ := w.Image.Broker(c.BrokerID)
		more, at := step(w, b)
		if len(recs)+len(more) > MaxRecords {
			left = &c.from
			break
		}
		if len(recs) == 0 {
			recs = more
		} else {
			recs = append(recs, more...)
		}
		if at != nil {
			left = at
			break
		}
	}
	result := Result{Records: recs}
	if left != nil {
		c.from = *left
		answer.Rest = func(v *View) (HandAnswer, Result) { return ChangeRegistration(v, c) }
	} else if c.Fenced != nil && *c.Fenced {
		result.Session = &SessionChange{BrokerID: b.ID, Epoch: b.Epoch, MetadataOffset: -1, EndShutdown: true}
	}
	return answer, result
}

// checkRegistrationChange refuses what cannot be said about the broker.
func (v *View) checkRegistrationChange(b *image.Broker, c RegistrationChange) *Refusal {
	switch {
	case c.Fenced == nil && c.InControlledShutdown == nil && c.LogDirs == nil:
		return refuse(kerr.InvalidRequest, "The request changes nothing; say what should be different about broker %d.", b.ID)
	case c.Fenced != nil && !*c.Fenced && b.Fenced && !b.ByHand():
		return refuse(kerr.InvalidRequest, "Broker %d is a process: its own heartbeat unfences it, as soon as it has caught up.", b.ID)
	case c.InControlledShutdown != nil && !*c.InControlledShutdown && b.InControlledShutdown:
		return refuse(kerr.InvalidRequest, "Broker %d is shutting down, which cannot be taken back; it has to register again.", b.ID)
	case c.LogDirs == nil:
		return nil
	case !b.ByHand():
		return refuse(kerr.InvalidRequest, "Broker %d is a process and says itself which log directories it has.", b.ID)
	case !v.level().HasDirectories():
		return refuse(kerr.InvalidRequest, "At %s %v the cluster does not know of log directories.", records.FeatureMetadataVersion, v.level())
	case len(c.LogDirs) == 0 || 16*len(c.LogDirs) > maxRegistrationBytes:
		return refuse(kerr.InvalidRequest, "Broker %d is given %d log directories; it needs one or more, and one record has to hold them.", b.ID, len(c.LogDirs))
	}
	return v.checkDirectories(b.ID, c.LogDirs)
}

// registrationStep is part of a change. It returns its records, and where it has to go on when they are written; nil: that was all.
type registrationStep func(*View, *image.Broker) (recs []records.Record, left *image.Place)

// steps are what the change takes, one after the other.
func (c *RegistrationChange) steps() (steps []registrationStep) {
	if c.LogDirs != nil {
		steps = append(steps, c.changeDirectories)
	}
	if c.InControlledShutdown != nil && *c.InControlledShutdown {
		steps = append(steps, c.drain)
	}
	switch {
	case c.Fenced == nil:
	case *c.Fenced:
		steps = append(steps, func(v *View, b *image.Broker) ([]records.Record, *image.Place) {
			if b.Fenced {
				return nil, nil
			}
			return v.fence(b, c.from)
		})
	default:
		steps = append(steps, func(v *View, b *image.Broker) ([]records.Record, *image.Place) {
			if !b.Fenced {
				return nil, nil
			}
			recs := []records.Record{&records.BrokerRegistrationChange{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: -1}}
			return v.electLeaderless(recs), nil
		})
	}
	return steps
}

// drain takes leaderships and ISR memberships from a broker, for good: it gets no new ones.
func (c *RegistrationChange) drain(v *View, b *image.Broker) (recs []records.Record, left *image.Place) {
	if !b.InControlledShutdown {
		recs = append(recs, &records.BrokerRegistrationChange{BrokerID: b.ID, BrokerEpoch: b.Epoch, InControlledShutdown: 1})
	}
	return v.moveLeaders(recs, MaxRecords, leaving(b.ID), v.partitionsFrom(c.from, b.ID, inSync(b.ID)))
}

// changeDirectories gives the broker other directories: replicas in those that go leave the ISRs first, and those in
// directories that are there again may lead.
func (c *RegistrationChange) changeDirectories(v *View, b *image.Broker) (recs []records.Record, left *image.Place) {
	if sameDirectories(b.LogDirs, c.LogDirs) {
		return nil, nil
	}
	changed := *b
	changed.LogDirs = c.LogDirs
	gone := func(p *image.Partition) bool {
		dir, ok := p.Directory(b.ID)
		return ok && !changed.HasOnlineDir(dir) && p.InISR(b.ID)
	}
	recs, left = v.moveLeaders(nil, MaxRecords, leaving(b.ID), v.partitionsFrom(c.from, b.ID, gone))
	switch {
	case left != nil:
		return recs, left
	case len(recs) == MaxRecords:
		return recs, &c.from
	}
	recs = append(recs, &records.BrokerRegistrationChange{BrokerID: b.ID, BrokerEpoch: b.Epoch, LogDirs: slices.Clone(c.LogDirs)})
	return v.electLeaderless(recs), nil
}

// electLeaderless appends leaders for the partitions that can have one once the records are written. What does not fit into one
// operation is left to [ElectLeaderless].
func (v *View) electLeaderless(recs []records.Record) []records.Record {
	w := v.after(recs)
	recs, _ = w.moveLeaders(recs, MaxRecords, stay, w.Image.EachLeaderless)
	return recs
}

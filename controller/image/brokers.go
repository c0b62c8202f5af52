package image

import (
	"iter"
	"slices"
	"strings"

	"yakt/records"
)

// Broker is a registered broker. It is never changed, only replaced.
type Broker struct {
	ID                   int32
	Epoch                int64 // offset at which the registering operation's records began
	IncarnationID        records.UUID
	EndPoints            []records.Endpoint     // by name
	Features             []records.FeatureRange // by name
	Rack                 *string
	Fenced               bool
	InControlledShutdown bool
	LogDirs              []records.UUID // empty: not known (metadata.version below 17)
	CordonedLogDirs      []records.UUID // nil: not known yet; empty: none
	IsMigratingZkBroker  bool

	// RegistrationOffset is the offset of the RegisterBroker record, or the last offset of the checkpoint that the
	// broker was read from. A broker that has caught up with it knows that it is registered.
	RegistrationOffset int64
}

// ByHand says whether the broker was registered by a person or a script and has no process: its incarnation id is zero.
func (b *Broker) ByHand() bool { return b.IncarnationID == records.ZeroUUID }

// Active says whether the broker may get leaders and replicas: unfenced and not about to leave.
func (b *Broker) Active() bool { return !b.Fenced && !b.InControlledShutdown }

// HasOnlineDir says whether a replica that lies in dir is on a working directory of the broker (KIP-858).
// UNASSIGNED and MIGRATING directories count as online, so does any when the broker's directories are not known.
func (b *Broker) HasOnlineDir(dir records.UUID) bool {
	switch dir {
	case records.DirectoryUnassigned, records.DirectoryMigrating:
		return true
	case records.DirectoryLost:
		return false
	}
	return len(b.LogDirs) == 0 || slices.Contains(b.LogDirs, dir)
}

// Feature returns the range of levels that the broker supports; a feature it does not name is 0 to 0.
func (b *Broker) Feature(name string) (minimum, maximum int16) { return featureRange(b.Features, name) }

func featureRange(features []records.FeatureRange, name string) (minimum, maximum int16) {
	for _, f := range features {
		if f.Name == name {
			return f.Min, f.Max
		}
	}
	return 0, 0
}

// Broker returns the broker with this id.
func (i *Image) Broker(id int32) (*Broker, bool) { return i.brokers.get(id) }

// Brokers iterates over all registered brokers by id, fenced ones too.
func (i *Image) Brokers() iter.Seq[*Broker] { return i.brokers.values() }

// NumBrokers is the number of registered brokers.
func (i *Image) NumBrokers() int { return i.brokers.len() }

func (e *Edit) replayRegisterBroker(o *owner, r *records.RegisterBroker, offset int64) {
	if r.BrokerID < 0 {
		refuse(r, offset, "broker id %d", r.BrokerID)
	}
	e.head.brokers.set(o, r.BrokerID, &Broker{
		ID:                   r.BrokerID,
		Epoch:                r.BrokerEpoch,
		IncarnationID:        r.IncarnationID,
		EndPoints:            endPoints(r.EndPoints),
		Features:             featureRanges(r.Features),
		Rack:                 r.Rack,
		Fenced:               r.Fenced,
		InControlledShutdown: r.InControlledShutdown,
		LogDirs:              append([]records.UUID{}, r.LogDirs...),
		CordonedLogDirs:      r.CordonedLogDirs,
		IsMigratingZkBroker:  r.IsMigratingZkBroker,
		RegistrationOffset:   offset,
	})
}

func (e *Edit) replayUnregisterBroker(o *owner, r *records.UnregisterBroker, offset int64) {
	e.current(r, offset, r.BrokerID, r.BrokerEpoch)
	e.head.brokers.delete(o, r.BrokerID)
	e.head.producerIDs.blocks.delete(o, r.BrokerID)
}

func (e *Edit) replayFenceBroker(o *owner, r *records.FenceBroker, offset int64) {
	b := *e.current(r, offset, r.ID, r.Epoch)
	b.Fenced = true
	e.head.brokers.set(o, b.ID, &b)
}

func (e *Edit) replayUnfenceBroker(o *owner, r *records.UnfenceBroker, offset int64) {
	b := *e.current(r, offset, r.ID, r.Epoch)
	b.Fenced = false
	e.head.brokers.set(o, b.ID, &b)
}

func (e *Edit) replayBrokerRegistrationChange(o *owner, r *records.BrokerRegistrationChange, offset int64) {
	b := *e.current(r, offset, r.BrokerID, r.BrokerEpoch)
	switch r.Fenced {
	case 1:
		b.Fenced = true
	case -1:
		b.Fenced = false
	case 0:
	default:
		refuse(r, offset, "broker %d: fencing change %d", r.BrokerID, r.Fenced)
	}
	switch r.InControlledShutdown {
	case 1:
		b.InControlledShutdown = true
	case 0:
	default:
		refuse(r, offset, "broker %d: controlled shutdown change %d", r.BrokerID, r.InControlledShutdown)
	}
	if len(r.LogDirs) > 0 {
		b.LogDirs = r.LogDirs
	}
	if r.CordonedLogDirs != nil {
		b.CordonedLogDirs = r.CordonedLogDirs
	}
	e.head.brokers.set(o, b.ID, &b)
}

// current returns the broker that a record about a registration names, and insists on its epoch.
func (e *Edit) current(r records.Record, offset int64, id int32, epoch int64) *Broker {
	b, ok := e.head.brokers.get(id)
	if !ok {
		refuse(r, offset, "broker %d is not registered", id)
	}
	if b.Epoch != epoch {
		refuse(r, offset, "broker %d has epoch %d, not %d", id, b.Epoch, epoch)
	}
	return b
}

// record returns the broker as a RegisterBroker record that level can carry.
func (b *Broker) record(l records.MetadataVersion) *records.RegisterBroker {
	r := &records.RegisterBroker{
		BrokerID:             b.ID,
		IncarnationID:        b.IncarnationID,
		BrokerEpoch:          b.Epoch,
		EndPoints:            b.EndPoints,
		Features:             b.Features,
		Rack:                 b.Rack,
		Fenced:               b.Fenced,
		InControlledShutdown: b.InControlledShutdown,
	}
	if l.HasZKMigration() {
		r.IsMigratingZkBroker = b.IsMigratingZkBroker
	}
	if l.HasDirectories() {
		r.LogDirs = b.LogDirs
	}
	if l.HasCordonedDirectories() {
		r.CordonedLogDirs = b.CordonedLogDirs
	}
	return r
}

// endPoints returns a copy of the list by name, never nil, without the elements' unknown tags. The order in which a
// record has them means nothing: to Apache Kafka they are a map.
func endPoints(list []records.Endpoint) []records.Endpoint {
	list = append([]records.Endpoint{}, list...)
	for i := range list {
		list[i].Unknown = nil
	}
	slices.SortStableFunc(list, func(a, b records.Endpoint) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// featureRanges is endPoints for features.
func featureRanges(list []records.FeatureRange) []records.FeatureRange {
	list = append([]records.FeatureRange{}, list...)
	for i := range list {
		list[i].Unknown = nil
	}
	slices.SortStableFunc(list, func(a, b records.FeatureRange) int { return strings.Compare(a.Name, b.Name) })
	return list
}

package plan

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// Bounds of what a broker may say about itself. A string has to fit the records' length field; the sum keeps one
// registration far below the size of a batch.
const (
	maxStringBytes       = 32767
	maxRegistrationBytes = 1 << 20
	maxSecurityProtocol  = 3 // SASL_SSL
)

// currentBroker returns the registered broker if epoch is its current one. Unknown brokers get the same error as
// those with an old epoch, as from Apache Kafka: either way the sender has to register.
func (v *View) currentBroker(id int32, epoch int64) (*image.Broker, *Refusal) {
	b, ok := v.Image.Broker(id)
	if !ok {
		return nil, refuse(kerr.StaleBrokerEpoch, "Broker %d is not registered; it has to register first.", id)
	}
	if b.Epoch != epoch {
		return nil, refuse(kerr.StaleBrokerEpoch,
			"Broker %d has epoch %d, not %d; the process that holds the old epoch has to register again.", id, b.Epoch, epoch)
	}
	return b, nil
}

// RegisterBroker (v0–4) makes a broker process known and gives it its epoch: the offset of the operation's first
// record. What an earlier process of the same id left in ISRs goes first; when it did not stop cleanly (v3, KIP-966)
// it leaves the ELRs, too. The same process may register again and keeps its epoch and state. Another one has to wait while the
// earlier is heard from, unless that was fenced and has stopped cleanly.
//
// If the earlier process left more behind than [MaxRecords] allow, the plan writes that many changes and answers
// DUPLICATE_BROKER_REGISTRATION, which brokers try again after.
func RegisterBroker(v *View, req *kmsg.BrokerRegistrationRequest) Result {
	resp := req.ResponseKind().(*kmsg.BrokerRegistrationResponse)
	old, known := v.Image.Broker(req.BrokerID)
	if err := v.checkRegistration(req, old); err != nil {
		resp.ErrorCode = err.Err.Code
		return Result{Response: resp, Refusal: err}
	}

	reg := &records.RegisterBroker{
		BrokerID:      req.BrokerID,
		IncarnationID: req.IncarnationID,
		BrokerEpoch:   v.NextOffset,
		Rack:          req.Rack,
		Fenced:        true,
	}
	reg.EndPoints = brokerEndPoints(req)
	for _, f := range req.Features {
		reg.Features = append(reg.Features, records.FeatureRange{Name: f.Name, Min: f.MinSupportedVersion, Max: f.MaxSupportedVersion})
	}
	if v.level().HasDirectories() {
		reg.LogDirs = uuids(req.LogDirs)
	}

	var recs []records.Record
	var session *SessionChange
	if known && old.IncarnationID == records.UUID(req.IncarnationID) {
		reg.BrokerEpoch, reg.Fenced, reg.InControlledShutdown = old.Epoch, old.Fenced, old.InControlledShutdown
	} else {
		clean := known && stoppedCleanly(req, old)
		var done bool
		if recs, done = v.forgetIncarnation(req.BrokerID, clean); !done {
			err := refuse(kerr.DuplicateBrokerRegistration,
				"The previous process of broker %d is still being taken out of its partitions; register again in a moment.", req.BrokerID)
			resp.ErrorCode = err.Err.Code
			return Result{Response: resp, Records: recs, Refusal: err}
		}
		if known {
			session = &SessionChange{BrokerID: old.ID, Epoch: old.Epoch, MetadataOffset: -1, End: true}
		}
	}
	resp.BrokerEpoch = reg.BrokerEpoch
	return Result{Response: resp, Records: append(recs, reg), Session: session}
}

// stoppedCleanly says whether the process that registered as old has ended, and that in order (v3, KIP-966): the last thing
// it does is to leave its epoch in its log directories, where the next process finds it.
func stoppedCleanly(req *kmsg.BrokerRegistrationRequest, old *image.Broker) bool {
	return req.Version >= 3 && req.PreviousBrokerEpoch == old.Epoch
}

// forgetIncarnation returns the changes of the partitions that still count on an earlier process of the broker, and
// whether there is room for the registration after them.
func (v *View) forgetIncarnation(broker int32, clean bool) (recs []records.Record, done bool) {
	moving, which := leaving(broker), inSync(broker)
	if v.Image.ELREnabled() && !clean {
		moving = lost(broker)
		which = func(p *image.Partition) bool { return p.InISR(broker) || slices.Contains(p.ELR, broker) }
	}
	recs, left := v.moveLeaders(nil, MaxRecords, moving, v.partitionsOf(broker, which))
	return recs, left == nil && len(recs) < MaxRecords
}

// checkRegistration refuses what cannot be registered; old is the broker's present registration or nil.
func (v *View) checkRegistration(req *kmsg.BrokerRegistrationRequest, old *image.Broker) *Refusal {
	id := req.BrokerID
	switch {
	case req.ClusterID != v.Settings.ClusterID:
		return refuse(kerr.InconsistentClusterID,
			"This is cluster %s, not %s; point the broker at its own controllers, or format its log directories for this cluster.",
			v.Settings.ClusterID, req.ClusterID)
	case id < 0:
		return refuse(kerr.InvalidRegistration, "%d is no broker id; set node.id to 0 or more.", id)
	case v.Settings.ControllerIDs != nil && v.Settings.ControllerIDs(id):
		return refuse(kerr.InvalidRegistration, "Id %d is a controller's; give the broker another node.id.", id)
	case old != nil && !old.ByHand() && old.IncarnationID != records.UUID(req.IncarnationID) && v.Sessions.Alive(id, old.Epoch, v.Now) &&
		!(old.Fenced && stoppedCleanly(req, old)):
		return refuse(kerr.DuplicateBrokerRegistration,
			"Another process was heard from as broker %d within the last %v. If it was just stopped, wait; if not, give one of them another node.id.",
			id, v.Settings.SessionTimeout)
	case req.IsMigratingZkBroker:
		return refuse(kerr.BrokerIDNotRegistered, "Brokers that use ZooKeeper cannot register here; migrate them with Kafka 3.9 first.")
	}
	if err := v.checkLogDirs(req); err != nil {
		return err
	}
	endPoints := brokerEndPoints(req)
	if err := checkListeners(fmt.Sprintf("broker %d", id), endPoints); err != nil {
		return err
	}
	if err := v.checkFeatures(req); err != nil {
		return err
	}
	size := 16*len(req.LogDirs) + endpointBytes(endPoints)
	for _, f := range req.Features {
		size += len(f.Name) + 16
	}
	switch {
	case req.Rack != nil && !storable(*req.Rack):
		return refuse(kerr.InvalidRegistration, "The rack of broker %d is longer than %d bytes or not UTF-8; correct broker.rack.", id, maxStringBytes)
	case size > maxRegistrationBytes:
		return refuse(kerr.InvalidRegistration, "The registration of broker %d has more than %d bytes; give it fewer listeners or log directories.", id, maxRegistrationBytes)
	}
	return nil
}

// checkLogDirs refuses directories that cannot be told apart (KIP-858).
func (v *View) checkLogDirs(req *kmsg.BrokerRegistrationRequest) *Refusal {
	if !v.level().HasDirectories() {
		return nil
	}
	if len(req.LogDirs) == 0 {
		return refuse(kerr.InvalidRegistration, "Broker %d names no log directory; it needs a release that does (3.7 or newer) and a working directory.", req.BrokerID)
	}
	return v.checkDirectories(req.BrokerID, uuids(req.LogDirs))
}

// checkDirectories refuses directories of a broker that are reserved, named twice or another broker's.
func (v *View) checkDirectories(broker int32, list []records.UUID) *Refusal {
	dirs := make(map[records.UUID]bool, len(list))
	for _, dir := range list {
		if reservedDirectory(dir) {
			return refuse(kerr.InvalidRegistration, "Directory id %v of broker %d is reserved; remove meta.properties from the directory and format it again.", dir, broker)
		}
		if dirs[dir] {
			return refuse(kerr.InvalidRegistration, "Broker %d names directory id %v twice; a copied directory has to be formatted again.", broker, dir)
		}
		dirs[dir] = true
	}
	for b := range v.Image.Brokers() {
		if b.ID == broker {
			continue
		}
		for _, dir := range b.LogDirs {
			if dirs[dir] {
				return refuse(kerr.InvalidRegistration,
					"Directory id %v belongs to broker %d; format the directory again, or unregister that broker if it is gone.", dir, b.ID)
			}
		}
	}
	return nil
}

// reservedDirectory says whether no directory may have this id: the first hundred stand for something else.
func reservedDirectory(dir records.UUID) bool {
	return [15]byte(dir[:15]) == [15]byte{} && dir[15] < 100
}

func brokerEndPoints(req *kmsg.BrokerRegistrationRequest) []records.Endpoint {
	var out []records.Endpoint
	for _, l := range req.Listeners {
		out = append(out, records.Endpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
	}
	return out
}

// endpointBytes is about what the endpoints take in a record.
func endpointBytes(endPoints []records.Endpoint) int {
	size := 0
	for _, e := range endPoints {
		size += len(e.Name) + len(e.Host) + 16
	}
	return size
}

// checkListeners refuses listeners of a node ("broker 1") that nobody could connect to or that a record could not hold.
// Apache Kafka 4.3.0 takes some of them and breaks when it reads them back.
func checkListeners(node string, listeners []records.Endpoint) *Refusal {
	names := make(map[string]bool, len(listeners))
	for _, l := range listeners {
		switch {
		case l.Name == "" || !storable(l.Name):
			return refuse(kerr.InvalidRegistration, "A listener of %s has no name that can be kept; correct advertised.listeners.", node)
		case names[l.Name]:
			return refuse(kerr.InvalidRegistration, "Two listeners of %s are named %s; correct advertised.listeners.", node, l.Name)
		case l.Host == "" || !storable(l.Host):
			return refuse(kerr.InvalidRegistration, "Listener %s of %s has no host; set it in advertised.listeners.", l.Name, node)
		case l.Port == 0:
			return refuse(kerr.InvalidRegistration, "Listener %s of %s has port 0; set the port that clients use in advertised.listeners.", l.Name, node)
		case l.SecurityProtocol < 0 || l.SecurityProtocol > maxSecurityProtocol:
			return refuse(kerr.InvalidRegistration, "Listener %s of %s has security protocol %d, which does not exist.", l.Name, node, l.SecurityProtocol)
		}
		names[l.Name] = true
	}
	return nil
}

// checkFeatures refuses a broker that does not support what the cluster has finalized (KIP-584).
func (v *View) checkFeatures(req *kmsg.BrokerRegistrationRequest) *Refusal {
	check := func(name string, low, high, level int16) *Refusal {
		if low <= level && level <= high {
			return nil
		}
		return refuse(kerr.UnsupportedVersion, "The cluster has finalized %s at level %d; broker %d supports %d to %d and needs another release.",
			name, level, req.BrokerID, low, high)
	}
	named := make(map[string]bool, len(req.Features))
	for _, f := range req.Features {
		level := v.Image.FeatureLevel(f.Name)
		if f.Name == records.FeatureKRaftVersion {
			level = v.Image.KRaftVersion()
		}
		if err := check(f.Name, f.MinSupportedVersion, f.MaxSupportedVersion, level); err != nil {
			return err
		}
		if named[f.Name] || !storable(f.Name) {
			return refuse(kerr.InvalidRegistration, "Broker %d names a feature twice, or one whose name cannot be kept.", req.BrokerID)
		}
		named[f.Name] = true
	}
	if !named[records.FeatureMetadataVersion] {
		return refuse(kerr.InvalidRegistration, "Broker %d does not say which %s it supports; it is too old for this cluster.", req.BrokerID, records.FeatureMetadataVersion)
	}
	for name, level := range v.Image.Features() {
		if !named[name] {
			if err := check(name, 0, 0, level); err != nil {
				return err
			}
		}
	}
	if !named[records.FeatureKRaftVersion] {
		return check(records.FeatureKRaftVersion, 0, 0, v.Image.KRaftVersion())
	}
	return nil
}

// UnregisterBroker (v0) takes a broker out of the cluster: out of the ISRs, and its leaderships go to others. It stays
// a replica of its partitions and, with ELR, eligible: the same broker may come back. It is one operation up to [MaxWhole]: nobody asks
// again for the rest.
func UnregisterBroker(v *View, req *kmsg.UnregisterBrokerRequest) Result {
	resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	answer := func(err *Refusal) Result {
		resp.ErrorCode, resp.ErrorMessage = err.Err.Code, kmsg.StringPtr(err.Message)
		return Result{Response: resp, Refusal: err}
	}
	b, ok := v.Image.Broker(req.BrokerID)
	if !ok {
		return answer(refuse(kerr.BrokerIDNotRegistered, "Broker ID %d is not currently registered", req.BrokerID))
	}
	which := func(p *image.Partition) bool { return p.InISR(b.ID) || slices.Contains(p.ELR, b.ID) }
	limit := v.maxWhole()
	recs, left := v.moveLeaders(nil, limit, leaving(b.ID), v.partitionsOf(b.ID, which))
	if left != nil || len(recs) == limit {
		return answer(refuse(kerr.PolicyViolation,
			"Broker %d is in sync with more partitions than one operation may change; stop the broker, wait until it is fenced, then unregister it.", b.ID))
	}
	resp.ErrorMessage = kmsg.StringPtr("") // Apache's answer, where null is usual
	return Result{
		Response: resp,
		Records:  append(recs, &records.UnregisterBroker{BrokerID: b.ID, BrokerEpoch: b.Epoch}),
		Session:  &SessionChange{BrokerID: b.ID, Epoch: b.Epoch, MetadataOffset: -1, End: true},
	}
}

// storable says whether a record can hold the string and readers get the same string back.
func storable(s string) bool { return len(s) <= maxStringBytes && utf8.ValidString(s) }

// uuids converts what kmsg decoded. The result is never nil.
func uuids(list [][16]byte) []records.UUID {
	out := make([]records.UUID, len(list))
	for i, id := range list {
		out[i] = id
	}
	return out
}

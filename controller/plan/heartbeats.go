package plan

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// brokerState is what the active controller takes a broker for.
type brokerState int8

const (
	fenced             brokerState = iota
	unfenced                       // leads, follows and gets new replicas
	controlledShutdown             // its leaderships were moved, not everybody knows yet
	shutdownNow                    // fenced and free to stop
)

// Heartbeat (v0–2) keeps a broker's session, moves the broker through its states and takes note of failed (v1,
// KIP-858) and cordoned (v2, KIP-1066) log directories.
//
//	state               request                            next
//	fenced              wants to stop                      shutdownNow
//	fenced              no fence wanted, knows that it     unfenced
//	                    is registered
//	unfenced            wants a fence                      fenced, or shutdownNow if it wants to stop, too
//	unfenced            wants to stop, leads nothing       shutdownNow
//	unfenced            wants to stop, leads something     controlledShutdown
//	controlledShutdown  leads nothing, and every active    shutdownNow
//	                    broker knows
//
// Everything else stays. There is no way back from controlledShutdown. A step that takes more than [MaxRecords]
// records is not taken yet: the plan moves as many partitions as it may, answers with the old state and goes on at the
// next heartbeat.
func Heartbeat(v *View, req *kmsg.BrokerHeartbeatRequest) Result {
	resp := req.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
	b, err := v.currentBroker(req.BrokerID, req.BrokerEpoch)
	if err != nil {
		resp.ErrorCode = err.Err.Code
		return Result{Response: resp, Refusal: err}
	}
	if err := checkHeartbeat(req); err != nil {
		resp.ErrorCode = err.Err.Code
		return Result{Response: resp, Refusal: err}
	}
	state, next := v.brokerStates(b, req)
	session := &SessionChange{BrokerID: b.ID, Epoch: b.Epoch, MetadataOffset: max(req.CurrentMetadataOffset, -1)}

	var recs []records.Record
	done := true
	switch {
	case next == controlledShutdown:
		recs, session.BeginShutdown = v.beginShutdown(b, state)
	case next == state:
	case next == unfenced:
		recs = v.unfence(b)
	default:
		var left *image.Place
		recs, left = v.fence(b, image.Place{})
		done = left == nil
	}
	if !done {
		next = state
	}
	session.EndShutdown = next == fenced || next == shutdownNow

	level := v.level()
	if req.Version >= 1 && level.HasDirectories() {
		recs = v.takeOffline(recs, b, uuids(req.OfflineLogDirs))
	}
	if req.Version >= 2 && level.HasCordonedDirectories() && req.CordonedLogDirs != nil && len(recs) < MaxRecords {
		if cordoned := uuids(req.CordonedLogDirs); b.CordonedLogDirs == nil || !sameDirectories(cordoned, b.CordonedLogDirs) {
			recs = append(recs, &records.BrokerRegistrationChange{BrokerID: b.ID, BrokerEpoch: b.Epoch, CordonedLogDirs: cordoned})
		}
	}

	resp.IsCaughtUp = req.CurrentMetadataOffset >= b.RegistrationOffset
	resp.IsFenced = next == fenced || next == shutdownNow
	resp.ShouldShutdown = next == shutdownNow
	return Result{Response: resp, Records: recs, Session: session}
}

// checkHeartbeat refuses directories that a record could not hold.
func checkHeartbeat(req *kmsg.BrokerHeartbeatRequest) *Refusal {
	if n := len(req.CordonedLogDirs); 16*n > maxRegistrationBytes {
		return refuse(kerr.InvalidRequest, "Broker %d names %d cordoned log directories, more than one record can hold.", req.BrokerID, n)
	}
	return nil
}

// brokerStates returns the broker's state and the one that it asks for and may have.
func (v *View) brokerStates(b *image.Broker, req *kmsg.BrokerHeartbeatRequest) (now, next brokerState) {
	shutdownOffset, shuttingDown := v.Sessions.ShutdownOffset(b.ID, b.Epoch)
	switch {
	case b.Fenced:
		switch {
		case req.WantShutdown:
			return fenced, shutdownNow
		case !req.WantFence && req.CurrentMetadataOffset >= b.RegistrationOffset:
			return fenced, unfenced
		}
		return fenced, fenced
	case shuttingDown:
		// The shutdown offset is an end offset, what brokers say is the last offset they have.
		if v.leads(b.ID) || v.lowestActiveOffset() < shutdownOffset-1 {
			return controlledShutdown, controlledShutdown
		}
		return controlledShutdown, shutdownNow
	}
	switch {
	case req.WantFence && req.WantShutdown:
		return unfenced, shutdownNow
	case req.WantFence:
		return unfenced, fenced
	case req.WantShutdown && v.leads(b.ID):
		return unfenced, controlledShutdown
	case req.WantShutdown:
		return unfenced, shutdownNow
	}
	return unfenced, unfenced
}

// lowestActiveOffset is how far all brokers have followed the log that are unfenced and not being shut down, and have a
// process that follows. Without any there is nobody to wait for.
func (v *View) lowestActiveOffset() int64 {
	lowest := int64(math.MaxInt64)
	for b := range v.Image.Brokers() {
		if _, shuttingDown := v.Sessions.ShutdownOffset(b.ID, b.Epoch); !b.Fenced && !shuttingDown && !b.ByHand() {
			lowest = min(lowest, v.Sessions.MetadataOffset(b.ID, b.Epoch))
		}
	}
	return lowest
}

// fence returns what fences the broker: its partitions first, so that a fenced broker leads nothing. If there are too
// many it is only as many of them, from a place on, and the broker is not fenced yet; left is the place to go on at. The step that fences
// has gone all the way round: in steps before it somebody else may have given the broker an ISR.
func (v *View) fence(b *image.Broker, from image.Place) (recs []records.Record, left *image.Place) {
	limit := cmp.Or(v.Settings.StepRecords, MaxRecords)
	recs, left = v.moveLeaders(nil, limit, leaving(b.ID), v.partitionsFrom(from, b.ID, inSync(b.ID)))
	switch {
	case left != nil:
		return recs, left
	case len(recs) == limit: // no room for the fence
		return recs, &from
	}
	return append(recs, &records.BrokerRegistrationChange{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: 1}), nil
}

// unfence returns what unfences the broker: the broker first, then the leaderless partitions that it may lead. What
// does not fit into one operation is left to [ElectLeaderless].
func (v *View) unfence(b *image.Broker) []records.Record {
	recs := []records.Record{&records.BrokerRegistrationChange{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: -1}}
	recs, _ = v.moveLeaders(recs, MaxRecords, coming(b.ID), v.Image.EachLeaderless)
	return recs
}

// beginShutdown returns what takes leaderships and ISR memberships from a broker that wants to stop, and whether there
// was anything left to take: then everybody has to learn of that, too, before the broker may stop.
func (v *View) beginShutdown(b *image.Broker, now brokerState) (recs []records.Record, moved bool) {
	if now == controlledShutdown && !v.leads(b.ID) {
		return nil, false
	}
	if !b.InControlledShutdown {
		recs = append(recs, &records.BrokerRegistrationChange{BrokerID: b.ID, BrokerEpoch: b.Epoch, InControlledShutdown: 1})
	}
	recs, _ = v.moveLeaders(recs, MaxRecords, leaving(b.ID), v.partitionsOf(b.ID, inSync(b.ID)))
	return recs, true
}

// takeOffline appends what follows from failed directories to the records of the same operation: replicas in them
// leave the ISRs, then the broker has fewer directories. It looks at the image that has recs: a leader that was just
// elected may lie in a failed directory. If there is not room for everything it is only some of the partitions; the
// broker names its failed directories in every heartbeat.
func (v *View) takeOffline(recs []records.Record, b *image.Broker, offline []records.UUID) []records.Record {
	if len(offline) == 0 {
		return recs
	}
	gone := make(map[records.UUID]bool, len(b.LogDirs))
	for _, dir := range b.LogDirs {
		gone[dir] = false
	}
	for _, dir := range offline {
		if _, ok := gone[dir]; ok {
			gone[dir] = true
		}
	}
	remaining := slices.DeleteFunc(slices.Clone(b.LogDirs), func(dir records.UUID) bool { return gone[dir] })
	if len(remaining) == len(b.LogDirs) {
		return recs
	}
	v = v.after(recs)
	failed := func(p *image.Partition) bool {
		dir, ok := p.Directory(b.ID)
		return ok && gone[dir]
	}
	recs, left := v.moveLeaders(recs, MaxRecords, leaving(b.ID), v.partitionsOf(b.ID, failed))
	if left != nil || len(recs) == MaxRecords {
		return recs
	}
	// An empty list would be "no change" to a reader. Apache writes that all the same when the last directory fails;
	// the broker is about to stop then.
	return append(recs, &records.BrokerRegistrationChange{BrokerID: b.ID, BrokerEpoch: b.Epoch, LogDirs: remaining})
}

// after returns the view that the records lead to.
func (v *View) after(recs []records.Record) *View {
	if len(recs) == 0 {
		return v
	}
	edit, next := v.Image.Edit(), *v
	for _, r := range recs {
		edit.Replay(r, next.NextOffset)
		next.NextOffset++
	}
	next.Image = edit.Image()
	return &next
}

// sameDirectories compares lists whose order and repetitions mean nothing.
func sameDirectories(a, b []records.UUID) bool {
	set := func(list []records.UUID) []records.UUID {
		list = slices.Clone(list)
		slices.SortFunc(list, func(a, b records.UUID) int { return bytes.Compare(a[:], b[:]) })
		return slices.Compact(list)
	}
	return slices.Equal(a, b) || slices.Equal(set(a), set(b))
}

// FenceBroker fences a broker whose session has ended. The partitions go first; if there are more than [MaxRecords]
// allow, the operation has only PartitionChanges, leaves the session, and has a Rest, which ends with the fence.
// A broker that is fenced already is recorded as fenced again, as Apache Kafka does; an unknown one is no change.
func FenceBroker(v *View, id int32) Result { return fenceBroker(v, id, image.Place{}) }

func fenceBroker(v *View, id int32, from image.Place) Result {
	b, ok := v.Image.Broker(id)
	if !ok {
		return Result{}
	}
	recs, left := v.fence(b, from)
	if left != nil {
		return Result{Records: recs, Rest: func(v *View) Result { return fenceBroker(v, id, *left) }}
	}
	return Result{Records: recs, Session: &SessionChange{BrokerID: b.ID, Epoch: b.Epoch, MetadataOffset: -1, End: true}}
}

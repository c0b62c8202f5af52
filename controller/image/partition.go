package image

import (
	"slices"

	"yakt/records"
)

// Partition is what is known of one partition: a value to read. Its slices are shared with the image and must not be
// written to; they are never nil.
type Partition struct {
	Replicas       []int32 // the first is the preferred leader
	ISR            []int32
	Removing       []int32 // replicas that leave when the reassignment is done
	Adding         []int32 // replicas that the reassignment adds
	Leader         int32   // records.NoLeader: none
	LeaderEpoch    int32
	PartitionEpoch int32
	RecoveryState  int8           // Recovered or Recovering
	Directories    []records.UUID // of each replica, in the order of Replicas
	ELR            []int32        // eligible leader replicas (KIP-966)
	LastKnownELR   []int32
}

// The recovery states of a partition's leader (KIP-704).
const (
	Recovered  int8 = 0
	Recovering int8 = 1 // elected uncleanly, and not yet alone sure of its log
)

// HasReplica says whether the broker is a replica of the partition.
func (p *Partition) HasReplica(broker int32) bool { return slices.Contains(p.Replicas, broker) }

// InISR says whether the broker is in sync.
func (p *Partition) InISR(broker int32) bool { return slices.Contains(p.ISR, broker) }

// HasLeader says whether there is a leader.
func (p *Partition) HasLeader() bool { return p.Leader != records.NoLeader }

// Preferred is the preferred leader: the first replica.
func (p *Partition) Preferred() int32 {
	if len(p.Replicas) == 0 {
		return records.NoLeader
	}
	return p.Replicas[0]
}

// Directory returns the directory of the broker's replica; false when the broker is no replica.
func (p *Partition) Directory(broker int32) (records.UUID, bool) {
	i := slices.Index(p.Replicas, broker)
	if i < 0 || i >= len(p.Directories) {
		return records.UUID{}, false
	}
	return p.Directories[i], true
}

// Reassigning says whether a reassignment is going on.
func (p *Partition) Reassigning() bool { return len(p.Adding) > 0 || len(p.Removing) > 0 }

// Record returns the partition as the record that a controller writes when it creates one in this state.
func (p *Partition) Record(topic records.UUID, id int32) *records.Partition {
	r := new(records.Partition)
	p.record(r, topic, id)
	return r
}

// record makes r that record.
func (p *Partition) record(r *records.Partition, topic records.UUID, id int32) {
	*r = records.Partition{
		PartitionID:         id,
		TopicID:             topic,
		Replicas:            p.Replicas,
		ISR:                 p.ISR,
		RemovingReplicas:    p.Removing,
		AddingReplicas:      p.Adding,
		Leader:              p.Leader,
		LeaderRecoveryState: p.RecoveryState,
		LeaderEpoch:         p.LeaderEpoch,
		PartitionEpoch:      p.PartitionEpoch,
		Directories:         p.Directories,
	}
	if len(p.ELR) > 0 {
		r.EligibleLeaderReplicas = p.ELR
	}
	if len(p.LastKnownELR) > 0 {
		r.LastKnownELR = p.LastKnownELR
	}
}

// partition is a Partition at rest: 48 bytes and what it shares with others.
type partition struct {
	replicas       *idList
	isr            *idList
	dirs           *dirList
	rare           *rare
	leader         int32
	leaderEpoch    int32
	partitionEpoch int32
	recoveryState  int8
}

// rare is what most partitions have nothing of. It is never changed, only replaced.
type rare struct{ removing, adding, elr, lastKnownELR *idList }

// view fills v in place: it is large, and a scan reads a million of them.
func (p *partition) view(v *Partition) {
	v.Replicas, v.ISR, v.Directories = p.replicas.all(), p.isr.all(), p.dirs.all()
	v.Leader, v.LeaderEpoch, v.PartitionEpoch, v.RecoveryState = p.leader, p.leaderEpoch, p.partitionEpoch, p.recoveryState
	if r := p.rare; r != nil {
		v.Removing, v.Adding, v.ELR, v.LastKnownELR = r.removing.all(), r.adding.all(), r.elr.all(), r.lastKnownELR.all()
	} else {
		v.Removing, v.Adding, v.ELR, v.LastKnownELR = noIDs, noIDs, noIDs, noIDs
	}
}

// uncommon returns what p has of the rare things, to read.
func (p *partition) uncommon() rare {
	if p.rare == nil {
		return rare{}
	}
	return *p.rare
}

// setUncommon stores it, if there is any.
func (p *partition) setUncommon(r rare) {
	switch {
	case r == rare{}:
		p.rare = nil
	case p.rare == nil || r != *p.rare:
		p.rare = &r
	}
}

// newPartition returns the partition that a PartitionRecord describes.
func newPartition(l *lists, o *owner, r *records.Partition, offset int64) partition {
	if len(r.Directories) != 0 && len(r.Directories) != len(r.Replicas) {
		refuse(r, offset, "%d replicas and %d directories", len(r.Replicas), len(r.Directories))
	}
	if r.LeaderRecoveryState != Recovered && r.LeaderRecoveryState != Recovering {
		refuse(r, offset, "leader recovery state %d", r.LeaderRecoveryState)
	}
	p := partition{
		leader:         r.Leader,
		leaderEpoch:    r.LeaderEpoch,
		partitionEpoch: r.PartitionEpoch,
		recoveryState:  r.LeaderRecoveryState,
	}
	dirs := r.Directories
	if len(dirs) == 0 {
		dirs = make([]records.UUID, len(r.Replicas)) // all MIGRATING: the record is older than directories
	}
	p.replicas, p.dirs = l.internReplicas(o, r.Replicas, dirs)
	p.isr = l.intern(o, r.ISR, p.replicas)
	p.setUncommon(rare{
		removing:     l.intern(o, r.RemovingReplicas),
		adding:       l.intern(o, r.AddingReplicas),
		elr:          l.intern(o, r.EligibleLeaderReplicas),
		lastKnownELR: l.intern(o, r.LastKnownELR),
	})
	return p
}

// change applies a PartitionChangeRecord to p.
func (p *partition) change(l *lists, o *owner, r *records.PartitionChange, offset int64) {
	replicas, dirs := p.replicas.all(), p.dirs.all()
	if r.Replicas != nil {
		replicas, dirs = r.Replicas, moveDirectories(replicas, dirs, r.Replicas)
	}
	if len(r.Directories) > 0 {
		dirs = r.Directories
	}
	if len(replicas) != len(dirs) {
		refuse(r, offset, "%d replicas and %d directories", len(replicas), len(dirs))
	}
	if r.Replicas != nil || len(r.Directories) > 0 {
		p.replicas, p.dirs = l.internReplicas(o, replicas, dirs)
	}
	if r.ISR != nil {
		p.isr = l.intern(o, r.ISR, p.replicas, p.isr)
	}
	switch {
	case r.Leader == records.LeaderUnchanged:
	case r.Leader < records.NoLeader:
		refuse(r, offset, "leader %d", r.Leader)
	default:
		p.leader = r.Leader
		p.leaderEpoch++ // for the same leader too: that is how replicas are told to start over
	}
	switch r.LeaderRecoveryState {
	case records.RecoveryStateUnchanged:
	case Recovered, Recovering:
		p.recoveryState = r.LeaderRecoveryState
	default:
		refuse(r, offset, "leader recovery state %d", r.LeaderRecoveryState)
	}
	if r.RemovingReplicas != nil || r.AddingReplicas != nil || r.EligibleLeaderReplicas != nil || r.LastKnownELR != nil {
		u := p.uncommon()
		if r.RemovingReplicas != nil {
			u.removing = l.intern(o, r.RemovingReplicas, u.removing)
		}
		if r.AddingReplicas != nil {
			u.adding = l.intern(o, r.AddingReplicas, u.adding)
		}
		if r.EligibleLeaderReplicas != nil {
			u.elr = l.intern(o, r.EligibleLeaderReplicas, u.elr)
		}
		if r.LastKnownELR != nil {
			u.lastKnownELR = l.intern(o, r.LastKnownELR, u.lastKnownELR)
		}
		p.setUncommon(u)
	}
	if !keepPartitionEpoch {
		p.partitionEpoch++
	}
}

// moveDirectories gives replicas that stay their directories and new ones none yet: what a change of replicas that
// does not name directories means (KIP-858).
func moveDirectories(replicas []int32, dirs []records.UUID, to []int32) []records.UUID {
	moved := make([]records.UUID, len(to))
	for i, id := range to {
		moved[i] = records.DirectoryUnassigned
		if at := slices.Index(replicas, id); at >= 0 && at < len(dirs) {
			moved[i] = dirs[at]
		}
	}
	return moved
}

// clearELR forgets the eligible leader replicas, if there are any. That is a change of the partition like any other.
func (p *partition) clearELR() {
	u := p.uncommon()
	u.elr, u.lastKnownELR = nil, nil
	p.setUncommon(u)
	p.partitionEpoch++
}

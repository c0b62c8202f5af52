package plan

import (
	"slices"
	"strconv"
	"strings"

	"yakt/controller/image"
	"yakt/records"
)

// Who leads a partition is decided here and nowhere else. A plan says what it wants of a partition (a partitionChange)
// and gets the record that brings it about, elections and eligible leader replicas (ELR, KIP-966) included.
//
// Rules, in the order in which they are applied:
//   - a replica may lead when its broker is unfenced, not shutting down, and the replica's directory is online;
//   - of those, the current leader goes first, then the replicas in their order, if they are in the ISR, or in the ELR
//     when the ISR is empty: they have every acknowledged record;
//   - then the one last known leader, when ISR and ELR are empty; then, for topics with unclean elections, any replica.
//     Both may lose records: the ISR shrinks to the new leader and the partition counts as recovering (KIP-704).
//   - Without ELR the last member never leaves the ISR: it is who may lead again. With ELR the ISR may become empty, and
//     members who leave while it is below min.insync.replicas stay eligible.

// election says how far an election may go.
type election int8

const (
	electOnline    election = iota // keep the leader if it may stay, else take a replica that has everything
	electPreferred                 // the same, but the first replica goes before the current leader
	electUnclean                   // as electOnline, but rather a replica that lacks records than no leader
)

// levelShrinkKeepsLeaderEpoch is the metadata.version from which a smaller ISR does not raise the leader epoch.
const levelShrinkKeepsLeaderEpoch records.MetadataVersion = 12

// level is the finalized metadata.version.
func (v *View) level() records.MetadataVersion {
	return records.MetadataVersion(v.Image.MetadataVersion())
}

// transition is what is about to happen to a broker and the image does not show yet. Fields not in use are NoLeader.
type transition struct {
	leaving int32 // leads nothing any more and leaves the ISRs
	coming  int32 // may lead, though still fenced
	lost    int32 // as leaving, and its log may lack acknowledged records: it leaves the ELRs, too
}

// stay is the transition of nobody.
var stay = transition{leaving: records.NoLeader, coming: records.NoLeader, lost: records.NoLeader}

func leaving(broker int32) transition {
	t := stay
	t.leaving = broker
	return t
}

func coming(broker int32) transition {
	t := stay
	t.coming = broker
	return t
}

func lost(broker int32) transition {
	t := stay
	t.lost = broker
	return t
}

// topicRules are the configs of a topic that elections obey.
type topicRules struct {
	minISR  int
	unclean bool
}

// topicRules looks the rules up: what is set for the topic, else for all brokers, else the controller's own setting.
func (v *View) topicRules(t *image.Topic) topicRules {
	rules := topicRules{minISR: int(v.Settings.MinISR), unclean: v.Settings.UncleanElection}
	if s, ok := v.topicConfig(t.Name, "min.insync.replicas"); ok {
		if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
			rules.minISR = n
		}
	}
	if s, ok := v.topicConfig(t.Name, "unclean.leader.election.enable"); ok {
		rules.unclean = strings.EqualFold(strings.TrimSpace(s), "true")
	}
	// No more can be asked for than there are replicas. Kafka takes the number from partition 0, for all of them.
	if p, ok := t.Partition(0); ok {
		rules.minISR = min(rules.minISR, len(p.Replicas))
	}
	return rules
}

// topicConfig returns what is set for the topic or for all brokers.
func (v *View) topicConfig(topic, key string) (string, bool) {
	if s, ok := v.Image.Config(image.ConfigTopic, topic, key); ok {
		return s, true
	}
	return v.Image.Config(image.ConfigBroker, "", key)
}

// partitionChange is what is wanted of one partition. [View.change] returns one that wants everything as it is; set
// what should be different, then ask once for the record.
type partitionChange struct {
	view      *View
	topic     records.UUID
	partition int32
	old       *image.Partition
	rules     topicRules
	elrOn     bool
	level     records.MetadataVersion

	moving   transition
	election election

	// Wanted. The lists are replaced, never written to: they may be the image's.
	isr         []int32
	replicas    []int32
	removing    []int32
	adding      []int32
	recovery    int8
	directories map[int32]records.UUID // of replicas that move to another directory

	elr []int32
}

// change begins a change of the partition. The election is unclean where the topic allows it.
func (v *View) change(t *image.Topic, partition int32, p *image.Partition, rules topicRules) *partitionChange {
	c := &partitionChange{view: v, elrOn: v.Image.ELREnabled(), level: v.level()}
	c.begin(t, partition, p, rules)
	return c
}

// begin makes c the change of another partition of the same view.
func (c *partitionChange) begin(t *image.Topic, partition int32, p *image.Partition, rules topicRules) {
	*c = partitionChange{
		view: c.view, topic: t.ID, partition: partition, old: p, rules: rules,
		elrOn: c.elrOn, level: c.level,
		moving: stay,
		isr:    p.ISR, replicas: p.Replicas, removing: p.Removing, adding: p.Adding, recovery: p.RecoveryState,
		elr: p.ELR,
	}
	if rules.unclean {
		c.election = electUnclean
	}
}

// record returns the record that brings the change about, nil when there is nothing to do.
func (c *partitionChange) record() *records.PartitionChange {
	r := records.NewPartitionChange(c.topic, c.partition)
	c.completeReassignment()
	c.keepEligible()

	leader, unclean := c.elect()
	elected := leader != c.old.Leader
	if elected {
		r.Leader = leader
		if unclean || slices.Contains(c.elr, leader) {
			c.isr, c.elr = []int32{leader}, without(c.elr, leader)
		}
	}
	unclean = unclean && elected
	if unclean || !c.elrOn {
		c.elr = nil // they are eligible for what was there before
	}

	if !sameMembers(c.elr, c.old.ELR) {
		r.EligibleLeaderReplicas = present(c.elr)
	}
	if !slices.Equal(c.isr, c.old.ISR) && (len(c.isr) > 0 || c.elrOn) {
		r.ISR = present(c.isr)
	}
	c.raiseLeaderEpoch(r)
	if c.elrOn {
		switch {
		case r.Leader == records.NoLeader && len(c.old.LastKnownELR) == 0 && c.old.HasLeader():
			r.LastKnownELR = []int32{c.old.Leader}
		case r.Leader >= 0 && len(c.old.LastKnownELR) > 0:
			r.LastKnownELR = []int32{}
		}
	}
	c.assign(r)
	switch {
	case unclean && c.old.RecoveryState != image.Recovering:
		r.LeaderRecoveryState = image.Recovering
	case !unclean && c.recovery != c.old.RecoveryState:
		r.LeaderRecoveryState = c.recovery
	}
	if changesNothing(r) {
		return nil
	}
	return r
}

// completeReassignment ends the reassignment once every replica that was to be added is in sync.
func (c *partitionChange) completeReassignment() {
	if len(c.removing) == 0 && len(c.adding) == 0 {
		return
	}
	isr, replicas := without(c.isr, c.removing...), without(c.replicas, c.removing...)
	switch {
	case len(c.removing) > 0 && (len(isr) == 0 || len(replicas) == 0):
		return
	case !containsAll(isr, c.adding):
		return
	case len(c.adding) < len(c.removing) && !containsAll(isr, replicas):
		return // fewer replicas than before: do not drop members of the ISR before the others have caught up
	}
	c.isr, c.replicas, c.removing, c.adding = isr, replicas, nil, nil
}

// keepEligible sets the ELR: while the ISR is too small for writes to be acknowledged, who leaves it still has
// everything that was acknowledged.
func (c *partitionChange) keepEligible() {
	if !c.elrOn {
		return
	}
	if len(c.isr) >= c.rules.minISR {
		c.elr = nil
		return
	}
	elr := without(slices.Concat(c.elr, c.old.ISR), c.isr...)
	elr = without(elr, c.moving.lost)
	if forgetELR {
		elr = without(elr, c.moving.leaving)
	}
	// Apache keeps replicas that a reassignment has removed. Their logs are gone: should they come back later, they have nothing.
	elr = slices.DeleteFunc(elr, func(id int32) bool { return !slices.Contains(c.replicas, id) })
	slices.Sort(elr)
	c.elr = slices.Compact(elr)
}

// elect returns the leader there should be, NoLeader if nobody can be, and whether it may lack records.
func (c *partitionChange) elect() (leader int32, unclean bool) {
	if c.election == electPreferred && len(c.replicas) > 0 && c.eligible(c.replicas[0]) {
		return c.replicas[0], false
	}
	if c.eligible(c.old.Leader) {
		return c.old.Leader, false
	}
	if i := slices.IndexFunc(c.replicas, c.eligible); i >= 0 {
		return c.replicas[i], false
	}
	// With several last known ones there is no telling which of them had most; Kafka writes one, the last leader.
	if known := c.old.LastKnownELR; c.elrOn && len(c.isr) == 0 && len(c.elr) == 0 && len(known) == 1 && c.canLead(known[0]) {
		return known[0], true
	}
	if c.election == electUnclean {
		if i := slices.IndexFunc(c.replicas, c.canLead); i >= 0 {
			return c.replicas[i], true
		}
	}
	return records.NoLeader, false
}

// eligible says whether the broker can lead and has every acknowledged record.
func (c *partitionChange) eligible(broker int32) bool {
	has := slices.Contains(c.isr, broker) || len(c.isr) == 0 && slices.Contains(c.elr, broker)
	return has && c.canLead(broker)
}

// canLead says whether the broker's replica can be reached.
func (c *partitionChange) canLead(broker int32) bool {
	if broker == c.moving.leaving || broker == c.moving.lost {
		return false
	}
	b, ok := c.view.Image.Broker(broker)
	if !ok || !b.Active() && broker != c.moving.coming {
		return false
	}
	dir, ok := c.old.Directory(broker)
	return ok && b.HasOnlineDir(dir)
}

// raiseLeaderEpoch names the leader again where its replicas have to start over: when a replica goes, and, for brokers
// older than 3.6 (KAFKA-15021), when the ISR shrinks.
func (c *partitionChange) raiseLeaderEpoch(r *records.PartitionChange) {
	if r.Leader != records.LeaderUnchanged {
		return
	}
	shrinks := r.ISR != nil && !containsAll(r.ISR, c.old.ISR)
	if !containsAll(c.replicas, c.old.Replicas) || shrinks && c.level < levelShrinkKeepsLeaderEpoch {
		r.Leader = c.old.Leader
	}
}

// assign sets what changes about the replicas and where they lie.
func (c *partitionChange) assign(r *records.PartitionChange) {
	same := len(c.directories) == 0 && slices.Equal(c.replicas, c.old.Replicas) && len(c.replicas) == len(c.old.Directories)
	if len(c.replicas) > 0 && c.level.HasDirectories() && !same {
		dirs := make([]records.UUID, len(c.replicas))
		for i, broker := range c.replicas {
			dirs[i] = c.directory(broker)
		}
		if !slices.Equal(dirs, c.old.Directories) {
			r.Directories = dirs
		}
	}
	if len(c.replicas) > 0 && !slices.Equal(c.replicas, c.old.Replicas) {
		r.Replicas = c.replicas
	}
	if !slices.Equal(c.removing, c.old.Removing) {
		r.RemovingReplicas = present(c.removing)
	}
	if !slices.Equal(c.adding, c.old.Adding) {
		r.AddingReplicas = present(c.adding)
	}
}

// directory returns where the broker's replica should lie.
func (c *partitionChange) directory(broker int32) records.UUID {
	if dir, ok := c.directories[broker]; ok {
		return dir
	}
	if dir, ok := c.old.Directory(broker); ok {
		return dir
	}
	return c.view.defaultDirectory(broker)
}

// defaultDirectory returns the directory of a new replica: the broker's only one, or UNASSIGNED until the broker says.
func (v *View) defaultDirectory(broker int32) records.UUID {
	b, ok := v.Image.Broker(broker)
	switch {
	case !ok:
		return records.DirectoryUnassigned
	case len(b.LogDirs) == 0 && !b.ByHand():
		return records.DirectoryMigrating
	case len(b.LogDirs) == 1:
		return b.LogDirs[0]
	}
	return records.DirectoryUnassigned
}

// changesNothing says whether the record is not worth writing.
func changesNothing(r *records.PartitionChange) bool {
	return r.ISR == nil && r.Leader == records.LeaderUnchanged && r.Replicas == nil && r.RemovingReplicas == nil &&
		r.AddingReplicas == nil && r.LeaderRecoveryState == records.RecoveryStateUnchanged && r.Directories == nil &&
		r.EligibleLeaderReplicas == nil && r.LastKnownELR == nil
}

// eachPartition is a walk over partitions of the image, as [image.Image.EachPartition] is one.
type eachPartition func(yield func(t *image.Topic, partition int32, p *image.Partition) bool)

// partitionsOf walks over the partitions that may change when the broker's state does.
func (v *View) partitionsOf(broker int32, which func(p *image.Partition) bool) eachPartition {
	return v.partitionsFrom(image.Place{}, broker, which)
}

// partitionsFrom walks over the same partitions, beginning at a place and going round.
func (v *View) partitionsFrom(from image.Place, broker int32, which func(p *image.Partition) bool) eachPartition {
	return func(yield func(*image.Topic, int32, *image.Partition) bool) {
		v.Image.EachPartitionOfFrom(from, broker, func(t *image.Topic, id int32, p *image.Partition) bool {
			return !which(p) || yield(t, id, p)
		})
	}
}

// inSync picks the partitions that have the broker in their ISR.
func inSync(broker int32) func(p *image.Partition) bool {
	return func(p *image.Partition) bool { return p.InISR(broker) }
}

// leads says whether the broker leads a partition.
func (v *View) leads(broker int32) bool {
	found := false
	v.Image.EachPartitionOf(broker, func(_ *image.Topic, _ int32, p *image.Partition) bool {
		found = p.Leader == broker
		return !found
	})
	return found
}

// moveLeaders appends what the transition makes of the partitions: the broker that goes leaves the ISRs, leaders are
// elected where need be. It stops when there are limit records, and returns the place of the first partition that it left; nil when it got to
// the end. What is left is found again by any walk over the image that has these records, soonest by one that begins at that place.
func (v *View) moveLeaders(recs []records.Record, limit int, moving transition, each eachPartition) (_ []records.Record, left *image.Place) {
	var last *image.Topic
	var rules topicRules
	c := &partitionChange{view: v, elrOn: v.Image.ELREnabled(), level: v.level()}
	each(func(t *image.Topic, id int32, p *image.Partition) bool {
		if t != last {
			last, rules = t, v.topicRules(t)
		}
		c.begin(t, id, p, rules)
		c.moving = moving
		if p.InISR(moving.leaving) || p.InISR(moving.lost) {
			c.isr = without(p.ISR, moving.leaving, moving.lost)
		}
		r := c.record()
		if r == nil {
			return true
		}
		if len(recs) >= limit {
			left = &image.Place{Topic: t.Name, Partition: id}
			return false
		}
		if len(recs) == cap(recs) { // by half or less at a time, as append does it, most of what is made would be copies
			recs = slices.Grow(recs, max(len(recs), 64))
		}
		recs = append(recs, r)
		return true
	})
	return recs, left
}

// ElectLeaderless elects leaders for partitions that have none and now can have one: topics whose unclean elections were
// just allowed, and what an unfencing left undone because of [MaxRecords]. It does at most MaxRecords of them; call
// it again while it returns that many.
func ElectLeaderless(v *View) Result {
	recs, _ := v.moveLeaders(nil, MaxRecords, stay, v.Image.EachLeaderless)
	return Result{Records: recs}
}

// without returns the list without these ids, in the same order, in new memory unless nothing goes.
func without(list []int32, ids ...int32) []int32 {
	if !slices.ContainsFunc(list, func(id int32) bool { return slices.Contains(ids, id) }) {
		return list
	}
	kept := make([]int32, 0, len(list))
	for _, id := range list {
		if !slices.Contains(ids, id) {
			kept = append(kept, id)
		}
	}
	return kept
}

func containsAll(list, ids []int32) bool {
	for _, id := range ids {
		if !slices.Contains(list, id) {
			return false
		}
	}
	return true
}

// sameMembers compares lists whose order means nothing.
func sameMembers(a, b []int32) bool { return len(a) == len(b) && containsAll(a, b) }

// present returns the list as a record has to say it: nil would be "unchanged".
func present(list []int32) []int32 {
	if list == nil {
		return []int32{}
	}
	return list
}

package sim

import (
	"slices"
	"strconv"
	"strings"

	"yakt/controller/image"
	"yakt/records"
)

// rules are the configs of a topic that elections obey.
type rules struct {
	minISR  int
	unclean bool
}

// rulesOf looks them up as Kafka does: for the topic, for all brokers, then what the controllers were given.
func (o *oracle) rulesOf(img *image.Image, topic string) rules {
	r := rules{int(o.w.settings.MinISR), o.w.settings.UncleanElection}
	look := func(key string, use func(string)) {
		if v, ok := img.Config(image.ConfigTopic, topic, key); ok {
			use(v)
		} else if v, ok := img.Config(image.ConfigBroker, "", key); ok {
			use(v)
		}
	}
	look(minISR, func(v string) { r.minISR, _ = strconv.Atoi(v) })
	look(uncleanElection, func(v string) { r.unclean = strings.EqualFold(v, "true") })
	return r
}

// changeCheck is a change of a partition that is held against the rules.
type changeCheck struct {
	*oracle
	record *records.PartitionChange
	topic  *image.Topic
	offset int64
	api    string
	rules  rules
	before image.Partition

	isr, elr, replicas, adding, removing []int32 // afterwards
}

func (c *changeCheck) fail(invariant, why string) {
	violate(invariant, "%s at %d changes %s-%d, %+v: %s: before %+v, change %+v", c.api, c.offset, c.topic.Name, c.record.PartitionID, c.rules, why, c.before, *c.record)
}

// checkChange checks what one change may do to a partition: a twin of the rules by which plan elects leaders, keeps ISR and ELR
// and moves replicas, as conditions on the outcome. now is the image before this record.
func (o *oracle) checkChange(now *image.Image, r *records.PartitionChange, offset int64, by author) {
	t, ok := now.Topic(r.TopicID)
	if !ok {
		return // replaying it will say so
	}
	before, ok := t.Partition(r.PartitionID)
	if !ok {
		return
	}
	or := func(list, otherwise []int32) []int32 {
		if list == nil {
			return otherwise
		}
		return list
	}
	c := &changeCheck{
		oracle: o, record: r, topic: t, offset: offset, api: by.API, rules: o.rulesOf(now, t.Name), before: before,
		isr: or(r.ISR, before.ISR), elr: or(r.EligibleLeaderReplicas, before.ELR), replicas: or(r.Replicas, before.Replicas),
		adding: or(r.AddingReplicas, before.Adding), removing: or(r.RemovingReplicas, before.Removing),
	}
	clean := c.checkLeader(strings.HasSuffix(by.Client, uncleanClient))
	c.checkISR()
	if clean {
		c.checkELR(now)
	}
	c.checkReplicas()
}

// checkLeader: who is elected has every acknowledged record, or the partition says that it may not. byHand says that somebody asked for
// an election that loses records.
func (c *changeCheck) checkLeader(byHand bool) (clean bool) {
	r, before := c.record, c.before
	if r.Leader < 0 || r.Leader == before.Leader {
		return true
	}
	lost := 0
	if c.api == "BrokerRegistration" {
		lost = 1 // ISR or ELR may have held the broker that comes back without its log's end
	}
	recovering := r.LeaderRecoveryState == image.Recovering || before.RecoveryState == image.Recovering && r.LeaderRecoveryState == records.RecoveryStateUnchanged
	clean = slices.Contains(before.ISR, r.Leader) || len(before.ISR) <= 1 && slices.Contains(before.ELR, r.Leader) // the last in the ISR may be who goes
	if c.api == "AlterPartition" && slices.Contains(c.isr, r.Leader) {
		clean = true // a reassignment ends without the leader, which says itself who is in sync
	}
	if r.LeaderRecoveryState == image.Recovering {
		clean = false // an ISR that nobody can lead stands before the ELR
	}
	switch {
	case clean:
	case c.calledOff(): // Kafka does not count this as recovering
	case !recovering:
		c.fail("elections-are-clean", "the leader may lack records")
	case c.rules.unclean || byHand:
	case len(before.ISR)+len(before.ELR) > lost || !slices.Equal(before.LastKnownELR, []int32{r.Leader}):
		c.fail("elections-are-clean", "others have every record, or unclean elections are off")
	}
	if c.api == "BalanceLeaders" && (!clean || r.Leader != before.Preferred()) && before.HasLeader() {
		c.fail("balance-prefers-the-first", "another than the preferred leader")
	}
	return clean
}

// calledOff says whether a reassignment is called off at a moment when only replicas are in sync that it has added. The first
// of those that were there before takes over, if the topic allows that.
func (c *changeCheck) calledOff() bool {
	onlyAdded := c.before.Reassigning() && len(without(c.before.ISR, c.before.Adding)) == 0
	return c.api == "AlterPartitionAssignments" && c.rules.unclean && onlyAdded && slices.Equal(c.isr, c.replicas[:1])
}

// checkISR: the ISR grows only by its leader's word, or by the leader that is elected.
func (c *changeCheck) checkISR() {
	for _, id := range c.isr {
		if c.api != "AlterPartition" && !c.calledOff() && id != c.record.Leader && !slices.Contains(c.before.ISR, id) {
			c.fail("isr-grows-by-its-leader", "a replica comes into the ISR")
		}
	}
}

// checkELR: who leaves an ISR that is too small for writes still has every acknowledged record. Once it is large enough
// others may have more.
func (c *changeCheck) checkELR(now *image.Image) {
	if !now.ELREnabled() {
		return
	}
	// Kafka asks for no more than partition 0 has replicas, and the operation itself may have changed that.
	least, most := c.rules.minISR, 0
	for _, img := range []*image.Image{c.oracle.before(), now} {
		if t, ok := img.Topic(c.topic.ID); ok {
			first, _ := t.Partition(0)
			least, most = min(least, len(first.Replicas)), max(most, min(c.rules.minISR, len(first.Replicas)))
		}
	}
	fromELR := slices.Contains(c.before.ELR, c.record.Leader) // and so when the ISR was empty
	if len(c.isr) >= most && len(c.elr) > 0 && !fromELR {
		c.fail("elr-below-min-isr", "the ISR is large enough, and there are eligible leader replicas")
	}
	if len(c.isr) >= least || c.api == "BrokerRegistration" {
		return
	}
	for _, id := range slices.Concat(c.before.ISR, c.before.ELR) {
		if slices.Contains(c.replicas, id) && !slices.Contains(c.isr, id) && !slices.Contains(c.elr, id) {
			c.fail("elr-keeps-who-leaves", "a replica that has everything is forgotten")
		}
	}
}

package sim

import (
	"slices"

	"yakt/controller/image"
	"yakt/records"
)

// checkChange checks what one change may do to a partition: a twin of the rules by which plan elects leaders and keeps
// ISR and ELR, as conditions on the outcome. The operation begins at o.head; it changes a partition at most once.
func (o *oracle) checkChange(r *records.PartitionChange, offset int64, api string) {
	t, ok := o.head.Topic(r.TopicID)
	if !ok {
		return // replaying it will say so
	}
	before, ok := t.Partition(r.PartitionID)
	if !ok {
		return
	}
	fail := func(invariant, why string) {
		violate(invariant, "%s at %d changes %s-%d: %s: before %+v, change %+v", api, offset, t.Name, r.PartitionID, why, before, *r)
	}
	isr, elr := before.ISR, before.ELR
	if r.ISR != nil {
		isr = r.ISR
	}
	if r.EligibleLeaderReplicas != nil {
		elr = r.EligibleLeaderReplicas
	}

	// Who is elected has every acknowledged record, or the partition says that it may not.
	clean, lost := true, 0
	if api == "BrokerRegistration" {
		lost = 1 // the ELR may have held the broker that comes back without its log's end
	}
	if r.Leader >= 0 && r.Leader != before.Leader {
		recovering := r.LeaderRecoveryState == image.Recovering || before.RecoveryState == image.Recovering && r.LeaderRecoveryState == records.RecoveryStateUnchanged
		clean = slices.Contains(before.ISR, r.Leader) || len(before.ISR) <= 1 && slices.Contains(before.ELR, r.Leader) // the last in the ISR may be who goes
		switch {
		case clean:
		case !recovering:
			fail("elections-are-clean", "the leader may lack records")
		case o.w.settings.UncleanElection:
		case len(before.ISR) > 0 || len(before.ELR) > lost || !slices.Equal(before.LastKnownELR, []int32{r.Leader}):
			fail("elections-are-clean", "others have every record, or unclean elections are off")
		}
	}

	// The ISR grows only by its leader's word, or by the leader that is elected.
	for _, id := range isr {
		if api != "AlterPartition" && id != r.Leader && !slices.Contains(before.ISR, id) {
			fail("isr-grows-by-its-leader", "a replica comes into the ISR")
		}
	}

	// Who leaves an ISR that is too small for writes still has every acknowledged record.
	if clean && o.head.ELREnabled() && len(isr) < min(int(o.w.settings.MinISR), len(before.Replicas)) {
		for _, id := range slices.Concat(before.ISR, before.ELR) {
			gone := !slices.Contains(isr, id) && !slices.Contains(elr, id)
			if gone && api != "BrokerRegistration" {
				fail("elr-keeps-who-leaves", "a replica that has everything is forgotten")
			}
		}
	}
}

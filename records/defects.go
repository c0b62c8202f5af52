package records

// Deliberate defects, each behind a build tag of its own, prove that the simulator would notice them.
const (
	skipOffsetCheck = defect == "skip the offset check"
	countCutOff     = defect == "count what was cut off"
)

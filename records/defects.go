//go:build !yakt_skip_offset_check

package records

// A deliberate defect, behind a build tag of its own, proves that the simulator would notice it.
const skipOffsetCheck = false

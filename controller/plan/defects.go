//go:build !yakt_forget_elr

package plan

// A deliberate defect, behind a build tag of its own, proves that the simulator would notice it.
const forgetELR = false

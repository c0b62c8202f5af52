package controller

// Deliberate defects, each behind a build tag of its own, prove that the simulator would notice them.
const (
	publishBeforeCommit  = defect == "publish before commit"
	adoptWithoutIdentity = defect == "adopt without identity"
	keepSessions         = defect == "keep sessions"
)

package controller

// Deliberate defects, each behind a build tag of its own, prove that the simulator would notice them.
const (
	publishBeforeCommit  = defect == "publish before commit"
	adoptWithoutIdentity = defect == "adopt without identity"
	publishInTransaction = defect == "publish in a transaction"
	forgetAbort          = defect == "forget to abort"
	keepSessions         = defect == "keep sessions"
)

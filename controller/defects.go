//go:build !yakt_publish_before_commit && !yakt_adopt_without_identity

package controller

// Deliberate defects, each behind a build tag of its own, prove that the simulator would notice them.
const (
	publishBeforeCommit  = false
	adoptWithoutIdentity = false
)

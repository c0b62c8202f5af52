//go:build yakt_adopt_without_identity

package controller

const (
	publishBeforeCommit  = false
	adoptWithoutIdentity = true
)

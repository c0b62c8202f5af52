//go:build yakt_publish_before_commit

package controller

const (
	publishBeforeCommit  = true
	adoptWithoutIdentity = false
)

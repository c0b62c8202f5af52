//go:build yakt_keep_sessions

package controller

const defect = "keep sessions"

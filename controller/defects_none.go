//go:build !yakt_adopt_without_identity && !yakt_publish_before_commit && !yakt_keep_sessions

package controller

const defect = ""

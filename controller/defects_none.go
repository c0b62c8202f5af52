//go:build !yakt_adopt_without_identity && !yakt_publish_before_commit && !yakt_publish_in_transaction && !yakt_forget_abort && !yakt_keep_sessions

package controller

const defect = ""

//go:build !yakt_skip_offset_check && !yakt_publish_before_commit && !yakt_adopt_without_identity

package sim

const intact = true

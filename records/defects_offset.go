//go:build yakt_skip_offset_check

package records

const skipOffsetCheck = true

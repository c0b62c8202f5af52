//go:build yakt_skip_offset_check

package records

const defect = "skip the offset check"

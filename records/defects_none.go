//go:build !yakt_skip_offset_check && !yakt_count_cut_off

package records

const defect = ""

//go:build yakt_count_cut_off

package records

const defect = "count what was cut off"

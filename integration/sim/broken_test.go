//go:build yakt_skip_offset_check || yakt_publish_before_commit || yakt_adopt_without_identity || yakt_count_cut_off || yakt_emptied_votes || yakt_keep_sessions || yakt_forget_elr || yakt_keep_partition_epoch

package sim

// intact says that this build has no deliberate defect.
const intact = false

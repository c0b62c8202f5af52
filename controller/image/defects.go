//go:build !yakt_keep_partition_epoch

package image

// A deliberate defect, behind a build tag of its own, proves that the simulator would notice it.
const keepPartitionEpoch = false

//go:build yakt_keep_partition_epoch

package image

const keepPartitionEpoch = true

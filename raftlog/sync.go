//go:build !raftlog_nosync

package raftlog

import "github.com/cockroachdb/pebble/v2"

// syncWrites is how every write that raft relies on is made. The build tag raftlog_nosync turns syncing off: the crash
// tests must then fail, which shows that they would notice.
var syncWrites = pebble.Sync

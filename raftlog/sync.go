package raftlog

import "github.com/cockroachdb/pebble/v2"

// syncWrites is how every write that raft relies on is made. One test turns syncing off: the crash tests must then fail,
// which shows that they would notice.
var syncWrites = pebble.Sync

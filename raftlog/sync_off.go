//go:build raftlog_nosync

package raftlog

import "github.com/cockroachdb/pebble/v2"

// syncWrites without a sync: for the test that shows that the crash tests notice, and for nothing else.
var syncWrites = pebble.NoSync

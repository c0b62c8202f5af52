package main

import "log/slog"

// Every connection and every open file takes one of the process's descriptors. When they run out Pebble cannot open a file, and the
// controller ends; so clients are only let have what the store and the quorum do not need.
const (
	// keptDescriptors are for the store (its 100 files, logs and snapshots), raft's connections and the few others that a process has.
	keptDescriptors = 256
	// fewestConnections are served however low the limit is.
	fewestConnections = 16
)

// descriptors is how many may be used for what.
type descriptors struct {
	connections int // of Kafka's protocol, and as many of HTTP, each of which may need another one to the leader
	waiting     int // for their first bytes
}

// share divides what a process may have open, where that is known (not 0), when so many connections are wanted of each kind.
func share(open uint64, wanted int) descriptors {
	const mostWaiting = 1024
	if open == 0 {
		return descriptors{wanted, mostWaiting}
	}
	room := int(min(open, 1<<30)) - keptDescriptors
	waiting := max(fewestConnections, min(room/8, mostWaiting))
	return descriptors{min(wanted, max(fewestConnections, (room-waiting)/3)), waiting}
}

// fit makes a node's limits what this process may have open.
func (s *Settings) fit(open uint64, logger *slog.Logger) (waiting int) {
	d := share(open, s.MaxConnections)
	if d.connections < s.MaxConnections {
		logger.Warn("fewer connections than max.connections says can be served: this process may not have so many files open; raise the limit (ulimit -n), or set max.connections lower",
			"wanted", s.MaxConnections, "limit", d.connections, "files", open)
		s.MaxConnections = d.connections
	}
	return d.waiting
}

package httpapi

import (
	queue "container/list"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections keeps a Server's connections within a limit, or they would use up the process's descriptors, and with them the
// port that Kafka's protocol and raft share. One more than the limit closes the one that has been idle longest; where all are
// at work it is closed itself, as one of Kafka's protocol is. Who holds a connection without using it so shuts nobody out.
type connections struct {
	limit  int
	logger *slog.Logger

	mu   sync.Mutex
	open map[net.Conn]*queue.Element // its place in idle, nil while it is at work
	idle *queue.List                 // of net.Conn, longest idle first
	told time.Time                   // when somebody was last told that there are too many
}

// tellAgain is how long nothing more is said of too many connections.
const tellAgain = time.Minute

func newConnections(limit int, logger *slog.Logger) *connections {
	return &connections{limit: limit, logger: logger, open: map[net.Conn]*queue.Element{}, idle: queue.New()}
}

// changed is what http.Server calls for every change of a connection's state.
func (c *connections) changed(nc net.Conn, state http.ConnState) {
	closing := c.note(nc, state)
	if closing == nil {
		return
	}
	closing.Close()
	if c.tellNow() {
		c.logger.Warn("connections of HTTP are closed: there are too many", "limit", c.limit, "peer", closing.RemoteAddr())
	}
}

// note remembers a connection's state, and returns the connection that has to be closed for it.
func (c *connections) note(nc net.Conn, state http.ConnState) (closing net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew {
		if len(c.open) >= c.limit {
			longest := c.idle.Front()
			if longest == nil {
				return nc
			}
			closing = longest.Value.(net.Conn)
			c.forget(closing)
		}
		c.open[nc] = nil
		return closing
	}
	if _, ok := c.open[nc]; !ok {
		return nil // closed, and not noticed yet by who serves it
	}
	c.forget(nc)
	switch state {
	case http.StateIdle:
		c.open[nc] = c.idle.PushBack(nc)
	case http.StateActive:
		c.open[nc] = nil
	}
	return nil
}

// forget takes a connection out. The caller holds c.mu.
func (c *connections) forget(nc net.Conn) {
	if place := c.open[nc]; place != nil {
		c.idle.Remove(place)
	}
	delete(c.open, nc)
}

func (c *connections) tellNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.told) >= tellAgain {
		c.told = now
		return true
	}
	return false
}

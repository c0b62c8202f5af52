package controller

import (
	"time"

	"yakt/controller/plan"
	"yakt/records"
)

// stall is a gap between two ticks after which the time between them counts for nobody: this process did not run, so
// it could not hear either.
const stall = 20 * tickInterval

// chores does the active controller's periodic work.
func (c *Controller) chores() {
	now := c.clock()
	if gap := now.Sub(c.lastTick); gap > stall {
		c.sessions.extend(gap)
	}
	c.lastTick = now
	if !c.writer.active {
		return
	}
	c.fenceSilent(now)
}

// fenceSilent fences the brokers that have not been heard from for a session, one operation a broker.
func (c *Controller) fenceSilent(now time.Time) {
	for b := range c.writer.head.Brokers() {
		if b.Fenced || b.IncarnationID == records.ZeroUUID || c.fencing[b.ID] || !c.sessions.expired(b.ID, b.Epoch, now) {
			continue
		}
		id := b.ID
		c.logger.Warn("broker fenced: not heard from for a session", "broker", id, "timeout", c.sessions.timeout)
		c.fencing[id] = true
		c.writer.queue = append(c.writer.queue, &operation{
			name:    "BrokerSessionExpiry",
			plan:    func(v *plan.View) plan.Result { return plan.FenceBroker(v, id) },
			settled: func(error) { delete(c.fencing, id) },
		})
	}
	c.writer.mail.signal()
}

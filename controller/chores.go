package controller

import (
	"time"

	"yakt/controller/plan"
)

// stall is a gap between two ticks after which the time between them counts for nobody: this process did not run, so
// it could not hear either.
const stall = 20 * tickInterval

// electionInterval is how often leaderless partitions are looked at again: what an election could not finish in one
// operation, and unclean elections that have been allowed since.
const electionInterval = 30 * time.Second

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
	if now.Sub(c.lastElection) >= electionInterval {
		c.lastElection = now
		c.chore("ElectLeaderless", plan.ElectLeaderless, nil)
	}
	if every := c.writer.settings.LeaderImbalanceInterval; every > 0 && now.Sub(c.lastBalance) >= every {
		c.lastBalance = now
		c.chore("BalanceLeaders", c.balanceLeaders, nil)
	}
}

// balanceLeaders is [plan.BalanceLeaders], again at the next tick while there may be more to do.
func (c *Controller) balanceLeaders(v *plan.View) plan.Result {
	r := plan.BalanceLeaders(v)
	if len(r.Records) == plan.MaxBalanced {
		c.lastBalance = time.Time{}
	}
	return r
}

// chore queues something that the controller does by itself.
func (c *Controller) chore(name string, plan func(*plan.View) plan.Result, settled func(error)) {
	c.writer.queue = append(c.writer.queue, &operation{name: name, plan: plan, settled: settled})
	c.writer.mail.signal()
}

// fenceSilent fences the brokers that have not been heard from for a session, one operation a broker. One that is fenced
// already, because it was told to stop, is fenced once more when its session ends, as Apache does.
func (c *Controller) fenceSilent(now time.Time) {
	for b := range c.writer.head.Brokers() {
		if b.ByHand() || c.fencing[b.ID] {
			continue
		}
		if b.Fenced && !c.sessions.lapsed(b.ID, b.Epoch, now) || !b.Fenced && !c.sessions.expired(b.ID, b.Epoch, now) {
			continue
		}
		id, epoch := b.ID, b.Epoch
		if !b.Fenced {
			c.logger.Warn("broker fenced: not heard from for a session", "broker", id, "timeout", c.sessions.timeout)
		}
		c.fencing[id] = true
		fence := whileSilent(id, epoch, func(v *plan.View) plan.Result { return plan.FenceBroker(v, id) }, false)
		c.chore("BrokerSessionExpiry", fence, func(error) { delete(c.fencing, id) })
	}
}

// whileSilent is f, and all that is left of it, for as long as the broker is not heard from: while it waits for its turn the broker
// may be, or another process of it register. Begun says that f took steps before, which may have left partitions without a leader.
func whileSilent(id int32, epoch int64, f func(*plan.View) plan.Result, begun bool) func(*plan.View) plan.Result {
	return func(v *plan.View) plan.Result {
		now, ok := v.Image.Broker(id)
		heard := !ok || now.Epoch != epoch || v.Sessions.Alive(id, epoch, v.Now)
		switch {
		case heard && begun:
			return plan.ElectLeaderless(v)
		case heard:
			return plan.Result{}
		}
		result := f(v)
		if result.Rest != nil {
			result.Rest = whileSilent(id, epoch, result.Rest, true)
		}
		return result
	}
}

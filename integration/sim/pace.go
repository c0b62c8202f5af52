package sim

import "time"

// pace is how fast things go. Where a pause varies, it is the mean.
type pace struct {
	election  time.Duration // raft's election timeout, at least; lease and idle contacts follow from it
	tick      time.Duration // of a controller
	session   time.Duration // broker.session.timeout.ms
	heartbeat time.Duration // between a broker's heartbeats
	hurry     time.Duration // between those of a broker that waits for something
	fetch     time.Duration // between a broker's fetches
	change    time.Duration // between a broker's changes
	act       time.Duration // between an administrator's requests
	patience  time.Duration // until a client asks somebody else
	faults    float64       // how much rarer faults are than they say
}

// brisk packs much into few events.
var brisk = pace{
	election: 150 * time.Millisecond, tick: 155 * time.Millisecond, session: 3 * time.Second,
	heartbeat: 450 * time.Millisecond, hurry: 85 * time.Millisecond, fetch: 105 * time.Millisecond,
	change: 165 * time.Millisecond, act: 50 * time.Millisecond, patience: time.Second, faults: 1,
}

// everyday is about as fast as brokers and controllers with Kafka's own settings are, for long times.
var everyday = pace{
	election: time.Second, tick: 500 * time.Millisecond, session: 9 * time.Second,
	heartbeat: 2 * time.Second, hurry: 400 * time.Millisecond, fetch: 700 * time.Millisecond,
	change: 2 * time.Second, act: 1500 * time.Millisecond, patience: 2 * time.Second, faults: 12,
}

// around is a random time with this mean.
func (w *world) around(mean time.Duration) time.Duration { return w.between(mean/8, mean*15/8) }

package sim

import (
	"slices"
	"time"
)

// fault is something that goes wrong, or that someone does, now and then.
type fault struct {
	name    string
	every   time.Duration // on average
	happens func(w *world)
}

var faults = []fault{
	{"a node crashes", 6 * time.Second, func(w *world) {
		n := w.someNode()
		if !n.up || w.unwell() > 0 && !w.chance(0.2) {
			return
		}
		n.crash()
		n.w.after(w.between(20*time.Millisecond, 3*time.Second), func() {
			if !n.up && !n.out {
				n.boot()
			}
		})
	}},
	{"a node stalls", 3 * time.Second, func(w *world) {
		n := w.someNode()
		if !n.up || w.unwell() > 0 && !w.chance(0.2) {
			return
		}
		d := w.between(10*time.Millisecond, 4*time.Second)
		w.tracef("node %d: stalls for %v", n.id, d)
		w.count("stalls")
		n.pausedUntil = max(n.pausedUntil, w.now+d)
	}},
	{"a node is cut off", 3 * time.Second, func(w *world) {
		n := w.someNode()
		if w.unwell() > 0 && !w.chance(0.2) {
			return
		}
		w.tracef("node %d: is cut off", n.id)
		w.count("partitions")
		in, out := !w.chance(0.2), !w.chance(0.2)
		for _, m := range w.nodes {
			w.cut[link{m.id, n.id}], w.cut[link{n.id, m.id}] = in, out
		}
		w.after(w.between(50*time.Millisecond, 3*time.Second), w.mend)
	}},
	{"two nodes do not reach each other", 4 * time.Second, func(w *world) {
		n := w.someNode()
		m := n.somePeer()
		if m == nil {
			return
		}
		w.tracef("nodes %d and %d: do not reach each other", n.id, m.id)
		w.count("partitions")
		w.cut[link{n.id, m.id}] = true
		if w.chance(0.5) {
			w.cut[link{m.id, n.id}] = true
		} else {
			w.count("partitions of one direction")
		}
		w.after(w.between(50*time.Millisecond, 2*time.Second), w.mend)
	}},
	{"leadership is transferred", 1500 * time.Millisecond, func(w *world) {
		n := w.leader()
		if n == nil {
			return
		}
		w.tracef("node %d: begins to transfer its leadership of term %d", n.id, n.term)
		w.count("transfers")
		n.refusing = true
		term := n.term
		n.after(w.between(2*time.Millisecond, 60*time.Millisecond), func() {
			if !n.leading || n.term != term {
				return
			}
			n.refusing = false
			if to := n.somePeer(); to != nil && w.chance(0.5) && n.reaches(to) {
				n.contact(to)
				to.campaign(true)
			}
		})
	}},
	{"leadership goes round while the run loop looks away", 3 * time.Second, func(w *world) {
		n := w.leader()
		if n == nil {
			return
		}
		n.busyUntil = w.now + w.between(50*time.Millisecond, 1500*time.Millisecond)
		if w.chance(0.5) {
			n.deafUntil = n.busyUntil
		}
		w.tracef("node %d: its run loop is busy until %v", n.id, n.busyUntil)
		to := n.somePeer()
		if to == nil {
			return
		}
		w.after(w.between(0, 50*time.Millisecond), func() {
			if n.leading && n.reaches(to) {
				n.contact(to)
				to.campaign(true)
			}
		})
		w.after(w.between(20*time.Millisecond, 600*time.Millisecond), func() {
			if to.leading && to.reaches(n) {
				w.count("leadership went round")
				to.contact(n)
				n.campaign(true)
			}
		})
	}},
	{"a disk is slow", 10 * time.Second, func(w *world) {
		n := w.someNode()
		n.slowUntil = w.now + w.between(0, w.pace.session)
		w.tracef("node %d: its disk is slow until %v", n.id, n.slowUntil)
		w.count("slow disks")
	}},
	{"a node wants to lead", 4 * time.Second, func(w *world) {
		if n := w.someNode(); n.up && !n.paused() && !n.leading {
			n.campaign(true)
		}
	}},
	{"a checkpoint is taken", 1200 * time.Millisecond, func(w *world) {
		if n := w.someNode(); n.up && !n.paused() {
			n.checkpoint()
		}
	}},
	{"a clock jumps", 5 * time.Second, func(w *world) {
		n := w.someNode()
		n.skew += w.between(-time.Second, 5*time.Second)
		if w.chance(0.3) {
			n.skew = 0
		}
		w.tracef("node %d: its clock is off by %v", n.id, n.skew)
		w.count("clock jumps")
	}},
	{"a node announces another address", 8 * time.Second, func(w *world) {
		n := w.someNode()
		v := w.voters[n.member()]
		v.Endpoints = append(v.Endpoints[:0:0], v.Endpoints...)
		v.Endpoints[0].Port = uint16(9000 + w.rand.IntN(1000))
		w.voters[n.member()] = v
		w.tracef("node %d: announces %s:%d", n.id, v.Endpoints[0].Host, v.Endpoints[0].Port)
		for _, m := range w.nodes {
			m.signal()
		}
	}},
	{"a broker falls silent", 1500 * time.Millisecond, func(w *world) {
		if b := w.someBroker(); b.state == brokerRunning && b.silent <= w.now {
			b.silent = w.now + w.between(200*time.Millisecond, 3*w.pace.session)
			w.tracef("broker %d: silent until %v", b.id, b.silent)
			w.count("silences")
		}
	}},
	{"a broker dies", 4 * time.Second, func(w *world) {
		if b := w.someBroker(); b.state != brokerDown {
			w.count("brokers killed")
			b.stop(false, w.between(0, 2*w.pace.session))
		}
	}},
	{"a broker is told to stop", 3 * time.Second, func(w *world) {
		if b := w.someBroker(); b.state == brokerRunning {
			w.tracef("broker %d: wants to stop", b.id)
			b.stopping = true
		}
	}},
}

// scheduleFaults lets each fault happen at random times for as long as there are faults.
func (w *world) scheduleFaults() {
	for _, f := range slices.Concat(faults, quorumFaults, directoryFaults, lies) {
		var next func()
		next = func() {
			w.after(time.Duration(w.pace.faults*w.roughness*float64(w.between(f.every/5, 2*f.every))), func() {
				if w.calm {
					return
				}
				w.count("faults")
				f.happens(w)
				next()
			})
		}
		next()
	}
}

func (w *world) someNode() *node { return w.nodes[w.rand.IntN(len(w.nodes))] }

func (w *world) someBroker() *broker { return w.brokers[w.rand.IntN(len(w.brokers))] }

// leader is a node that leads and runs, in the highest term if there are several.
func (w *world) leader() *node {
	var found *node
	for _, n := range w.nodes {
		if n.up && !n.paused() && n.leading && (found == nil || n.term > found.term) {
			found = n
		}
	}
	return found
}

// unwell counts the nodes that do not take part.
func (w *world) unwell() int {
	count := 0
	for _, n := range w.nodes {
		alone := !slices.ContainsFunc(w.nodes, func(m *node) bool { return m != n && n.reaches(m) })
		if !n.out && (!n.up || n.paused() || alone) {
			count++
		}
	}
	return count
}

// mend lets all nodes reach each other again.
func (w *world) mend() {
	if len(w.cut) > 0 {
		w.tracef("all nodes reach each other")
		clear(w.cut)
	}
}

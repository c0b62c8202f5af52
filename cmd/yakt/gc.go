package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is a heap size below which there is no point in collecting garbage. What lives of a small cluster is a few
// MiB; at Go's default pace the collector would run for every few MiB allocated, dozens of times a second under load.
const heapFloor = 40 << 20

// keepHeapFloor makes the collector wait for the floor, and go back to Go's usual pace once more than that lives. Nothing changes
// where the operator has set GOGC. It is called after each collection, by the finalizer of an object that nobody holds.
func keepHeapFloor() {
	if os.Getenv("GOGC") != "" {
		return
	}
	type sentinel struct{ _ [16]byte }
	var next func(*sentinel)
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	pace := 0
	next = func(*sentinel) {
		metrics.Read(sample)
		live := max(sample[0].Value.Uint64(), 1<<20)
		if p := max(100, int(heapFloor*100/live)-100); p != pace {
			pace = p
			debug.SetGCPercent(p)
		}
		runtime.SetFinalizer(&sentinel{}, next)
	}
	next(nil)
}

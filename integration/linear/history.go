// Package linear lets clients loose on three real processes while a nemesis kills, stops and cuts them off, and checks
// what the clients were told: all answers together must be possible for one controller that does one thing at a time.
//
//	linear_test.go   one run: so long, from this seed
//	nemesis.go       what goes wrong, and when it is made good again
//	clients.go       who asks for what, of whom
//	requests.go      operations of the model as Kafka's requests, and back
//	readers.go       one reader a node: what a node knows never goes back, and is what others know at the same offset
//	history.go       what was asked and answered, with times of one clock
//	check.go         porcupine over it, one object at a time, and what porcupine is not asked
//	model            what one thing at a time would answer
package linear

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"yakt/integration/linear/model"
)

// operation is one request of a client: when it was sent, to which process, and what came of it when.
type operation struct {
	Client int
	Node   int // its place among the nodes
	Life   int // of that node: how often its process had ended before
	In     model.Input
	Out    model.Output
	Call   time.Duration
	Return time.Duration // when Out is not known: when the client gave up
}

// event is something that the nemesis did: from when until when, and when all was well again.
type event struct {
	What               string
	Leader             int // the id of the node that led before
	From, Healed, Well time.Duration
}

// history collects what happens. Any goroutine may add to it.
type history struct {
	start  time.Time
	events []event // of the nemesis' goroutine

	mu         sync.Mutex
	operations []operation
	producers  map[int64]int // ids that InitProducerId gave, and how often
	sightings  map[sighting]sighted
	problems   []string
	writes     int
	asked      map[string]int // requests that are not operations of the model, and operations without an answer, by kind
	acked      chan struct{}  // closed and replaced at every acknowledged write
}

func newHistory() *history {
	return &history{start: time.Now(), producers: map[int64]int{}, sightings: map[sighting]sighted{}, asked: map[string]int{}, acked: make(chan struct{})}
}

// now is the time since the beginning, by a clock that does not jump.
func (h *history) now() time.Duration { return time.Since(h.start) }

func (h *history) add(op operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, op)
	if changes(op.In.Kind) && !op.Out.Unknown && op.Out.Code == 0 {
		h.writes++
		close(h.acked)
		h.acked = make(chan struct{})
	}
}

// acknowledged is how many writes have been acknowledged so far, and a channel that is closed at the next one.
func (h *history) acknowledged() (int, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writes, h.acked
}

// count counts a request that is not among the operations.
func (h *history) count(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[what]++
}

// sighting is something that a node has shown: a topic by its id, or a value of a config of a topic.
type sighting struct {
	topic         string
	id            [16]byte
	config, value string
}

// sighted is where and when it was shown first.
type sighted struct {
	client, node int
	at           time.Duration
}

func (h *history) saw(what sighting, by sighted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, ok := h.sightings[what]; !ok || by.at < before.at {
		h.sightings[what] = by
	}
}

func (h *history) producer(id int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked["init producer id"]++
	h.producers[id]++
}

// problem notes something that must never be.
func (h *history) problem(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problems = append(h.problems, fmt.Sprintf("at %v: ", h.now().Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// changes tells whether an operation of this kind can leave something behind that the model knows.
func changes(k model.Kind) bool {
	return !slices.Contains([]model.Kind{model.ValidateTopic, model.Heartbeat, model.Look, model.SeeTopic}, k)
}

// never is a return after all others.
const never = int64(1) << 62

// porcupine is the operation as porcupine takes it. Without an answer it may happen at any later time.
func (o operation) porcupine() porcupine.Operation {
	end := int64(o.Return)
	if o.Out.Unknown {
		end = never
	}
	return porcupine.Operation{ClientId: o.Client, Input: o.In, Output: o.Out, Call: int64(o.Call), Return: end}
}

// byObject splits operations by what they are about, in the order in which they were called.
func byObject(operations []operation) map[model.Object][]operation {
	all := map[model.Object][]operation{}
	for _, op := range operations {
		all[op.In.Object] = append(all[op.In.Object], op)
	}
	for _, ops := range all {
		slices.SortStableFunc(ops, func(a, b operation) int { return int(a.Call - b.Call) })
	}
	return all
}

// write leaves the history in a directory, one operation or event a line.
func (h *history) write(dir string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	out := json.NewEncoder(f)
	for _, e := range h.events {
		line := struct{ Fault, From, Healed, Well string }{fmt.Sprintf("%s (node %d leads)", e.What, e.Leader), e.From.String(), e.Healed.String(), e.Well.String()}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	for _, op := range h.operations {
		line := struct {
			Client, Node, Life int
			From, To, What     string
		}{op.Client, op.Node, op.Life, op.Call.String(), op.Return.String(), model.Describe(op.In, op.Out)}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return f.Close()
}

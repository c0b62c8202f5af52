// Package model is what a cluster would answer if it did one thing at a time: the specification against which porcupine checks
// histories of concurrent clients, those of the simulator and those of real processes alike.
//
// Parts: this file has operations and how they are told apart, topics.go, configs.go, brokers.go and producerids.go one kind of object
// each, reads.go what one node's answers to questions must keep to.
//
// Rules: pure, no I/O. Objects are independent, so a history is checked object by object. What a model of one object cannot
// know (are there enough brokers, does a broker's session last) it lets pass: such a refusal is right at any time and changes nothing.
//
// An operation whose answer was lost, or that was refused by a controller on its way out, may have happened or not. Give it
// [Output.Unknown] and the end of the history as its time of return. What did not happen is then found to come last.
package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Kind is what is asked.
type Kind int8

// The kinds of operations, and the fields of Input and Output that they use besides Object, Unknown and Code.
const (
	CreateTopic         Kind = iota // Partitions, Configs → ID
	ValidateTopic                   // as CreateTopic with validate_only: nothing happens
	DeleteTopic                     // ID (zero: by name) → ID
	GrowTopic                       // Partitions: how many there are afterwards
	SetConfigs                      // Configs: nil values are deleted
	ReplaceConfigs                  // Configs: all that there are afterwards
	RegisterBroker                  // ID of the process → Epoch
	UnregisterBroker                //
	Heartbeat                       // Epoch
	AllocateProducerIDs             // → First, Count
	Look                            // → State: all there is to know, seen while nothing is under way
	SeeTopic                        // Configs: some that it had → ID, unless zero: what a node showed, and since when it may have known it
)

var kindNames = [...]string{"create", "validate", "delete", "grow", "set configs of", "replace configs of", "register", "unregister", "heartbeat of", "allocate", "look at", "see"}

func (k Kind) String() string { return kindNames[k] }

// Object is what an operation is about.
type Object struct {
	Type ObjectType
	Name string // of a topic, of a resource with configs, the id of a broker
}

// ObjectType says which model an object has.
type ObjectType int8

// Topics have their configs with them: those go when the topic goes. Configs are those of brokers and of the cluster.
const (
	Topic ObjectType = iota
	Configs
	Broker
	ProducerIDs
)

// Input is what was asked.
type Input struct {
	Kind       Kind
	Object     Object
	ID         [16]byte
	Partitions int32
	Configs    map[string]*string
	Epoch      int64
}

// Output is what was answered.
type Output struct {
	Unknown bool  // it may have happened or not; nothing else is set
	Code    int16 // Kafka's error
	ID      [16]byte
	Epoch   int64
	First   int64
	Count   int64
	State   State
}

// State is the state of one object. Values are immutable.
type State interface {
	// step is what the operation does, and whether it could have been answered so.
	step(in Input, out Output) (State, bool)
	// looks says whether somebody who knows everything could see the state as this one.
	looks(State) bool
	equal(State) bool
}

// None is the state of an object of which nothing is known to the cluster.
func None(t ObjectType) State {
	switch t {
	case Topic:
		return TopicState{}
	case Configs:
		return ConfigState{}
	case Broker:
		return BrokerState{}
	}
	return ProducerIDState{}
}

// New returns porcupine's model of histories that begin where initial says; an object that it returns nil for is not there.
// Initial itself may be nil.
func New(initial func(Object) State) porcupine.Model {
	begin := func(o Object) State {
		if initial != nil {
			if s := initial(o); s != nil {
				return s
			}
		}
		return None(o.Type)
	}
	return porcupine.Model{
		Partition: partition,
		Init:      func() any { return nil }, // the first operation says of what
		Step: func(state, input, output any) (bool, any) {
			in := input.(Input)
			s, ok := state.(State)
			if !ok {
				s = begin(in.Object)
			}
			out := output.(Output)
			if in.Kind == Look {
				return s.looks(out.State), out.State
			}
			next, ok := s.step(in, out)
			return ok, next
		},
		Equal: func(a, b any) bool {
			s, ok := a.(State)
			t, too := b.(State)
			return ok == too && (!ok || s.equal(t))
		},
		DescribeOperation: func(input, output any) string { return Describe(input.(Input), output.(Output)) },
	}
}

// partition splits a history by object, in the order of their first operations.
func partition(history []porcupine.Operation) [][]porcupine.Operation {
	at := map[Object]int{}
	var parts [][]porcupine.Operation
	for _, op := range history {
		o := op.Input.(Input).Object
		i, ok := at[o]
		if !ok {
			i = len(parts)
			at[o], parts = i, append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

// Describe says in a few words what was asked and answered.
func Describe(in Input, out Output) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", in.Kind, in.Object.Name)
	if in.ID != [16]byte{} {
		fmt.Fprintf(&b, " %x", in.ID[:4])
	}
	if in.Partitions != 0 {
		fmt.Fprintf(&b, " %d partitions", in.Partitions)
	}
	for _, key := range slices.Sorted(maps.Keys(in.Configs)) {
		if v := in.Configs[key]; v != nil {
			fmt.Fprintf(&b, " %s=%s", key, *v)
		} else {
			fmt.Fprintf(&b, " without %s", key)
		}
	}
	if in.Kind == Heartbeat {
		fmt.Fprintf(&b, " epoch %d", in.Epoch)
	}
	switch {
	case out.Unknown:
		b.WriteString(" → unknown")
	case in.Kind == Look:
		fmt.Fprintf(&b, " → %+v", out.State)
	case out.Code != 0:
		fmt.Fprintf(&b, " → %v", kerr.ErrorForCode(out.Code))
	default:
		fmt.Fprintf(&b, " → done, id %x, epoch %d, %d from %d", out.ID[:4], out.Epoch, out.Count, out.First)
	}
	return b.String()
}

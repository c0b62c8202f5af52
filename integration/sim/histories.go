package sim

import (
	"maps"
	"strconv"
	"strings"

	"github.com/anishathalye/porcupine"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/integration/linear/model"
	"yakt/records"
)

// What clients asked and were told is kept as histories, one for each topic, broker, resource with configs and for the producer ids,
// and each must be that of something that did one thing at a time (integration/linear/model). It begins with the state that the
// quorum had agreed on while nothing was under way, and ends with another such state.
//
// A request that a node refused on its way out, or that its node did not survive, may have been carried out. That is open
// until nothing can be committed any more of what the node had proposed by then.

// history is what happened to one object since it was known last.
type history struct {
	object    model.Object
	initial   model.State
	done      []porcupine.Operation
	underWay  int // operations whose outcome is open
	abandoned bool
}

const (
	historyEnds  = 30  // operations after which a history is checked as soon as nothing is under way
	historyLimit = 300 // after which it is given up, because something always is
)

// open is an operation that nobody will get an answer for, while it may still happen.
type open struct {
	history     *history
	node        *node
	incarnation int
	term        int32  // in which it may have been proposed, at most
	serial      uint64 // of the world when it was given up
}

// histories is what is kept of a simulation.
type histories struct {
	w     *world
	clock int64
	of    map[model.Object]*history
	open  []open
	names map[records.UUID]string // of topics that there were
}

func newHistories(w *world) *histories {
	return &histories{w: w, of: map[model.Object]*history{}, names: map[records.UUID]string{}}
}

func (h *histories) tick() int64 { h.clock++; return h.clock }

// asked is one operation of a request.
type asked struct {
	history *history
	input   model.Input
}

// begin notes that a request reaches an active controller.
func (h *histories) begin(k *call) {
	for _, in := range h.inputs(k.request) {
		one := h.of[in.Object]
		if one == nil || one.underWay == 0 && len(one.done) == 0 {
			one = &history{object: in.Object, initial: stateOf(h.w.oracle.head.Stable(), in.Object)}
			h.of[in.Object] = one
		}
		one.underWay++
		k.operations = append(k.operations, asked{one, in})
	}
}

// end notes an answer.
func (h *histories) end(k *call, resp kmsg.Response) {
	if len(k.operations) == 0 {
		return
	}
	outs := outputs(resp)
	now := h.tick()
	for i, op := range k.operations {
		op.history.done = append(op.history.done, porcupine.Operation{Input: op.input, Output: outs[i], Call: k.began, Return: now})
		op.history.underWay--
		h.check(op.history, false)
	}
}

// unknown notes that a request may be carried out or not.
func (h *histories) unknown(k *call) {
	for _, op := range k.operations {
		if op.input.Kind != model.AllocateProducerIDs {
			op.history.done = append(op.history.done, porcupine.Operation{Input: op.input, Output: model.Output{Unknown: true}, Call: k.began, Return: 1 << 60})
		}
		h.open = append(h.open, open{op.history, k.node, k.node.incarnation, k.node.led, h.w.serial})
	}
	k.operations = nil
}

// committed closes what cannot happen any more after a batch of this entry: logs have terms in order, and a node's own proposals of a
// term in theirs.
func (h *histories) committed(e *entry) {
	kept := h.open[:0]
	for _, o := range h.open {
		p := e.proposal
		if e.term > o.term || e.term == o.term && p.node == o.node && p.incarnation == o.incarnation && p.serial > o.serial {
			o.history.underWay--
			h.check(o.history, false)
			continue
		}
		kept = append(kept, o)
	}
	h.open = kept
}

// check checks a history that is long enough, or the last, and begins anew.
func (h *histories) check(one *history, last bool) {
	if one.underWay > 0 || len(one.done) < historyEnds && !last {
		if len(one.done) > historyLimit {
			h.w.count("histories given up")
			one.done, one.abandoned = nil, true
		}
		return
	}
	delete(h.of, one.object)
	if one.abandoned || len(one.done) == 0 {
		return
	}
	now := h.tick()
	one.done = append(one.done, porcupine.Operation{
		Input: model.Input{Kind: model.Look, Object: one.object}, Output: model.Output{State: stateOf(h.w.oracle.head.Stable(), one.object)},
		Call: now, Return: now,
	})
	h.w.count("histories checked")
	h.w.stats["operations in histories"] += len(one.done)
	explained := func(operations []porcupine.Operation) bool {
		return porcupine.CheckOperations(model.New(func(model.Object) model.State { return one.initial }), operations)
	}
	// What is not known to have happened may come after all the rest, so nothing more is asked of a history that is explained without it. With
	// dozens of such operations the search would not end.
	if explained(answered(one.done)) || explained(one.done) {
		return
	}
	var b strings.Builder
	for _, op := range one.done {
		b.WriteString("\n" + strconv.FormatInt(op.Call, 10) + "–" + strconv.FormatInt(op.Return, 10) + " " + model.Describe(op.Input.(model.Input), op.Output.(model.Output)))
	}
	violate("histories-linearizable", "no order explains what happened to %v from %+v on:%s", one.object, one.initial, b.String())
}

// answered are the operations whose outcome is known.
func answered(all []porcupine.Operation) (known []porcupine.Operation) {
	for _, op := range all {
		if !op.Output.(model.Output).Unknown {
			known = append(known, op)
		}
	}
	return known
}

// finish checks what is left. Whatever is open then stays so.
func (h *histories) finish() {
	for _, one := range h.of {
		h.check(one, true)
	}
}

// stateOf is the state of an object in an image.
func stateOf(img *image.Image, o model.Object) model.State {
	switch o.Type {
	case model.Topic:
		t, ok := img.TopicByName(o.Name)
		if !ok {
			return model.TopicState{}
		}
		return model.TopicState{
			Exists: true, ID: t.ID, Partitions: int32(t.NumPartitions()),
			Configs: maps.Collect(img.Configs(image.ConfigTopic, o.Name)),
		}
	case model.Configs:
		return model.ConfigState{Set: maps.Collect(img.Configs(image.ConfigBroker, o.Name))}
	case model.Broker:
		id, _ := strconv.Atoi(o.Name)
		b, ok := img.Broker(int32(id))
		if !ok {
			return model.BrokerState{}
		}
		return model.BrokerState{Registered: true, Process: b.IncarnationID, Epoch: b.Epoch}
	}
	return model.ProducerIDState{Next: img.NextProducerID()}
}

// inputs are the operations of a request; none if there is no model of it, or if it only asks what could be.
func (h *histories) inputs(req kmsg.Request) []model.Input {
	topic := func(name string) model.Object { return model.Object{Type: model.Topic, Name: name} }
	broker := func(id int32) model.Object { return model.Object{Type: model.Broker, Name: strconv.Itoa(int(id))} }
	var out []model.Input
	switch req := req.(type) {
	case *kmsg.CreateTopicsRequest:
		for _, t := range req.Topics {
			in := model.Input{
				Kind: model.CreateTopic, Object: topic(t.Topic), Partitions: max(t.NumPartitions, int32(len(t.ReplicaAssignment))),
				Configs: map[string]*string{},
			}
			if req.ValidateOnly {
				in.Kind = model.ValidateTopic
			}
			for _, c := range t.Configs {
				in.Configs[c.Name] = c.Value
			}
			out = append(out, in)
		}
	case *kmsg.CreatePartitionsRequest:
		out = append(out, model.Input{Kind: model.GrowTopic, Object: topic(req.Topics[0].Topic), Partitions: req.Topics[0].Count})
	case *kmsg.DeleteTopicsRequest:
		for _, name := range req.TopicNames {
			out = append(out, model.Input{Kind: model.DeleteTopic, Object: topic(name)})
		}
		for _, t := range req.Topics {
			name := h.names[t.TopicID] // an id that only a validation has named is that of no topic, and of none there will be
			if t.Topic != nil {
				name = *t.Topic
			}
			out = append(out, model.Input{Kind: model.DeleteTopic, Object: topic(name), ID: t.TopicID})
		}
	case *kmsg.BrokerRegistrationRequest:
		out = append(out, model.Input{Kind: model.RegisterBroker, Object: broker(req.BrokerID), ID: req.IncarnationID})
	case *kmsg.UnregisterBrokerRequest:
		out = append(out, model.Input{Kind: model.UnregisterBroker, Object: broker(req.BrokerID)})
	case *kmsg.BrokerHeartbeatRequest:
		out = append(out, model.Input{Kind: model.Heartbeat, Object: broker(req.BrokerID), Epoch: req.BrokerEpoch})
	case *kmsg.AllocateProducerIDsRequest:
		out = append(out, model.Input{Kind: model.AllocateProducerIDs, Object: model.Object{Type: model.ProducerIDs}})
	}
	if c, ok := configChangeOf(req); ok && !c.validate {
		in := model.Input{Kind: model.SetConfigs, Object: topic(c.name), Configs: c.set}
		if c.kind == image.ConfigBroker {
			in.Object.Type = model.Configs
		}
		if c.replaces {
			in.Kind = model.ReplaceConfigs
		}
		out = append(out, in)
	}
	return out
}

// outputs are what a response says of the operations of its request, in the same order.
func outputs(resp kmsg.Response) []model.Output {
	var out []model.Output
	switch resp := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range resp.Topics {
			out = append(out, model.Output{Code: t.ErrorCode, ID: t.TopicID})
		}
	case *kmsg.CreatePartitionsResponse:
		out = append(out, model.Output{Code: resp.Topics[0].ErrorCode})
	case *kmsg.DeleteTopicsResponse:
		for _, t := range resp.Topics {
			out = append(out, model.Output{Code: t.ErrorCode, ID: t.TopicID})
		}
	case *kmsg.BrokerRegistrationResponse:
		out = append(out, model.Output{Code: resp.ErrorCode, Epoch: resp.BrokerEpoch})
	case *kmsg.UnregisterBrokerResponse:
		out = append(out, model.Output{Code: resp.ErrorCode})
	case *kmsg.BrokerHeartbeatResponse:
		out = append(out, model.Output{Code: resp.ErrorCode})
	case *kmsg.AllocateProducerIDsResponse:
		out = append(out, model.Output{Code: resp.ErrorCode, First: resp.ProducerIDStart, Count: int64(resp.ProducerIDLen)})
	case *kmsg.IncrementalAlterConfigsResponse:
		out = append(out, model.Output{Code: resp.Resources[0].ErrorCode})
	case *kmsg.AlterConfigsResponse:
		out = append(out, model.Output{Code: resp.Resources[0].ErrorCode})
	}
	return out
}

package model

import (
	"math"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/twmb/franz-go/pkg/kerr"
)

var orders = Object{Topic, "orders"}

// op is one operation from call to return; the end of time stands for no answer.
func op(in Input, out Output, call, ret int64) porcupine.Operation {
	return porcupine.Operation{Input: in, Output: out, Call: call, Return: ret}
}

func TestHistoriesAreToldApart(t *testing.T) {
	const never = math.MaxInt64
	one, two := [16]byte{1}, [16]byte{2}
	value := func(s string) map[string]*string { return map[string]*string{"retention.ms": &s} }
	broker := Object{Broker, "101"}
	broker101 := Object{Configs, "101"}
	ids := Object{Type: ProducerIDs}
	create := Input{Kind: CreateTopic, Object: orders, Partitions: 3}
	remove := Input{Kind: DeleteTopic, Object: orders}
	exists := Output{Code: kerr.TopicAlreadyExists.Code}
	for name, h := range map[string]struct {
		history []porcupine.Operation
		right   bool
	}{
		"created once, and told so twice": {[]porcupine.Operation{
			op(create, Output{ID: one}, 1, 2), op(create, Output{ID: two}, 3, 4),
		}, false},
		"exists before it was created": {[]porcupine.Operation{
			op(create, exists, 1, 2), op(create, Output{ID: one}, 3, 4),
		}, false},
		"exists by a creation that was not answered": {[]porcupine.Operation{
			op(create, Output{Unknown: true}, 1, never), op(create, exists, 2, 3), op(remove, Output{ID: one}, 4, 5),
		}, true},
		"a creation that was not answered did not happen": {[]porcupine.Operation{
			op(create, Output{Unknown: true}, 1, never), op(create, Output{ID: one}, 2, 3),
		}, true},
		"a creation that was not answered happens twice": {[]porcupine.Operation{
			op(create, Output{Unknown: true}, 1, never), op(create, exists, 2, 3), op(remove, Output{ID: one}, 4, 5), op(create, exists, 6, 7),
		}, false},
		"deleted under another id": {[]porcupine.Operation{
			op(create, Output{ID: one}, 1, 2), op(remove, Output{ID: two}, 3, 4),
		}, false},
		"deleted and then there is none": {[]porcupine.Operation{
			op(create, Output{ID: one}, 1, 2), op(remove, Output{ID: one}, 3, 6), op(remove, Output{Code: kerr.UnknownTopicOrPartition.Code}, 4, 5),
		}, true},
		"could be created though it was": {[]porcupine.Operation{
			op(create, Output{ID: one}, 1, 2), op(Input{Kind: ValidateTopic, Object: orders}, Output{}, 3, 4),
		}, false},
		"grown to what it had": {[]porcupine.Operation{
			op(create, Output{ID: one}, 1, 2), op(Input{Kind: GrowTopic, Object: orders, Partitions: 3}, Output{}, 3, 4),
		}, false},
		"configs of no topic": {[]porcupine.Operation{
			op(Input{Kind: SetConfigs, Object: orders, Configs: value("1")}, Output{}, 1, 2),
		}, false},
		"configs that nobody has set": {[]porcupine.Operation{
			op(Input{Kind: SetConfigs, Object: broker101, Configs: value("1")}, Output{}, 1, 4),
			op(Input{Kind: SetConfigs, Object: broker101, Configs: value("2")}, Output{}, 2, 3),
			op(Input{Kind: Look, Object: broker101}, Output{State: ConfigState{map[string]string{"retention.ms": "3"}}}, 5, 5),
		}, false},
		"configs of whoever came last": {[]porcupine.Operation{
			op(Input{Kind: SetConfigs, Object: broker101, Configs: value("1")}, Output{}, 1, 4),
			op(Input{Kind: ReplaceConfigs, Object: broker101, Configs: value("2")}, Output{}, 2, 3),
			op(Input{Kind: Look, Object: broker101}, Output{State: ConfigState{map[string]string{"retention.ms": "1"}}}, 5, 5),
		}, true},
		"a topic that somebody saw has to go before there is another": {[]porcupine.Operation{
			op(create, Output{Unknown: true}, 1, never), op(Input{Kind: SeeTopic, Object: orders}, Output{ID: one}, 1, 4), op(create, Output{ID: two}, 5, 6),
		}, false},
		"a config is seen late": {[]porcupine.Operation{
			op(create, Output{ID: one}, 1, 2), op(Input{Kind: SetConfigs, Object: orders, Configs: value("1")}, Output{}, 3, 4), op(remove, Output{ID: one}, 5, 6),
			op(Input{Kind: SeeTopic, Object: orders, Configs: value("1")}, Output{}, 3, 9),
		}, true},
		"a process keeps its epoch": {[]porcupine.Operation{
			op(Input{Kind: RegisterBroker, Object: broker, ID: one}, Output{Epoch: 7}, 1, 2),
			op(Input{Kind: RegisterBroker, Object: broker, ID: one}, Output{Epoch: 8}, 3, 4),
		}, false},
		"another process has a later epoch": {[]porcupine.Operation{
			op(Input{Kind: RegisterBroker, Object: broker, ID: one}, Output{Epoch: 7}, 1, 2),
			op(Input{Kind: RegisterBroker, Object: broker, ID: two}, Output{Epoch: 6}, 3, 4),
		}, false},
		"an epoch that was not told is found out": {[]porcupine.Operation{
			op(Input{Kind: RegisterBroker, Object: broker, ID: one}, Output{Epoch: 7}, 1, 2),
			op(Input{Kind: RegisterBroker, Object: broker, ID: two}, Output{Unknown: true}, 3, never),
			op(Input{Kind: RegisterBroker, Object: broker, ID: two}, Output{Epoch: 9}, 4, 5),
			op(Input{Kind: Heartbeat, Object: broker, Epoch: 7}, Output{Code: kerr.StaleBrokerEpoch.Code}, 6, 7),
		}, true},
		"a heartbeat of who was unregistered": {[]porcupine.Operation{
			op(Input{Kind: RegisterBroker, Object: broker, ID: one}, Output{Epoch: 7}, 1, 2),
			op(Input{Kind: UnregisterBroker, Object: broker}, Output{}, 3, 4),
			op(Input{Kind: Heartbeat, Object: broker, Epoch: 7}, Output{}, 5, 6),
		}, false},
		"producer ids out of order": {[]porcupine.Operation{
			op(Input{Kind: AllocateProducerIDs, Object: ids}, Output{First: 1000, Count: 1000}, 1, 2),
			op(Input{Kind: AllocateProducerIDs, Object: ids}, Output{First: 0, Count: 1000}, 3, 4),
		}, false},
		"producer ids of two who asked at once": {[]porcupine.Operation{
			op(Input{Kind: AllocateProducerIDs, Object: ids}, Output{First: 1000, Count: 1000}, 1, 4),
			op(Input{Kind: AllocateProducerIDs, Object: ids}, Output{First: 0, Count: 1000}, 2, 3),
		}, true},
	} {
		if got := porcupine.CheckOperations(New(nil), h.history); got != h.right {
			t.Errorf("%s: linearizable: %v", name, got)
		}
	}
}

func TestHistoriesBeginWhereTheyAreSaidTo(t *testing.T) {
	there := New(func(o Object) State {
		if o == orders {
			return TopicState{Exists: true, ID: [16]byte{1}, Partitions: 3}
		}
		return nil
	})
	removed := []porcupine.Operation{op(Input{Kind: DeleteTopic, Object: orders}, Output{ID: [16]byte{1}}, 1, 2)}
	if !porcupine.CheckOperations(there, removed) || porcupine.CheckOperations(New(nil), removed) {
		t.Error("a topic can be deleted if it was there before the history, and only then")
	}
}

func TestReadsOfOneNodeNeverGoBack(t *testing.T) {
	one, two := [16]byte{1}, [16]byte{2}
	var r Reads
	for _, ok := range []error{
		r.Topic("orders", one, []SeenPartition{{0, 1, 1}}),
		r.Topic("orders", one, []SeenPartition{{0, 1, 2}, {1, 0, 0}}),
		r.Topic("orders", two, []SeenPartition{{0, 0, 0}}),
		r.Topic("orders", two, []SeenPartition{{0, 3, 4}}),
	} {
		if ok != nil {
			t.Error(ok)
		}
	}
	for why, err := range map[string]error{
		"a topic that was replaced": r.Topic("orders", one, []SeenPartition{{0, 9, 9}}),
		"an older leader":           r.Topic("orders", two, []SeenPartition{{0, 2, 5}}),
		"fewer partitions":          r.Topic("orders", two, nil),
	} {
		if err == nil {
			t.Errorf("%s is taken", why)
		}
	}
	r.NoTopic("orders")
	if r.Topic("orders", two, []SeenPartition{{0, 3, 4}}) == nil {
		t.Error("a topic that was gone is taken")
	}
}

package linear

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"yakt/integration/linear/model"
)

// made is an operation of a history made by hand, in milliseconds; to 0: it was not answered.
func made(kind model.Kind, object model.Object, out model.Output, from, to int) operation {
	op := operation{In: model.Input{Kind: kind, Object: object}, Out: out, Call: time.Duration(from) * time.Millisecond, Return: time.Duration(to) * time.Millisecond}
	if to == 0 {
		op.Out, op.Return = model.Output{Unknown: true}, op.Call
	}
	return op
}

// TestAnomaliesAreFound: the answer of a leader that was deposed and did not know it is found, drawn, and the rest is not blamed.
func TestAnomaliesAreFound(t *testing.T) {
	orders, users := model.Object{Type: model.Topic, Name: "orders"}, model.Object{Type: model.Topic, Name: "users"}
	one := model.Output{ID: [16]byte{1}}
	exists := model.Output{Code: kerr.TopicAlreadyExists.Code}
	history := []operation{
		made(model.CreateTopic, orders, one, 1, 2),
		made(model.CreateTopic, users, one, 1, 2),
		made(model.DeleteTopic, orders, one, 3, 4),
		made(model.DeleteTopic, users, model.Output{}, 3, 0),
		made(model.ValidateTopic, users, exists, 5, 6),
		made(model.ValidateTopic, orders, exists, 5, 6),
	}
	found := anomalies(history)
	if len(found) != 1 || found[0].object != orders {
		t.Fatalf("found: %v", found)
	}
	path, err := found[0].draw(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if picture, err := os.ReadFile(path); err != nil || !strings.Contains(string(picture), "validate orders") {
		t.Errorf("the picture has no operations in it (%v)", err)
	}
}

func TestProducerIDsGivenTwiceAreFound(t *testing.T) {
	ids := model.Object{Type: model.ProducerIDs}
	block := func(first int64) operation {
		return made(model.AllocateProducerIDs, ids, model.Output{First: first, Count: 1000}, 1, 9)
	}
	right := []operation{block(3000), block(0), block(1000)}
	if found := twice(right, map[int64]int{2000: 1, 2001: 1}); len(found) != 0 {
		t.Errorf("in a right history: %v", found)
	}
	for name, test := range map[string]struct {
		blocks []operation
		single map[int64]int
	}{
		"two blocks overlap":         {append(right, block(3500)), nil},
		"an id of a block":           {right, map[int64]int{1999: 1}},
		"a block's first id":         {right, map[int64]int{3000: 1}},
		"one producer after another": {right, map[int64]int{2500: 2}},
	} {
		if len(twice(test.blocks, test.single)) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}

func TestNodesThatGoBackOrDifferAreFound(t *testing.T) {
	s := &sight{values: map[string]string{}, lefts: map[string]string{}}
	for _, value := range []string{"1", "1", "2", "", "3"} {
		if err := s.config("orders retention.ms", value); err != nil {
			t.Error(err)
		}
	}
	for _, old := range []string{"1", "2"} {
		if s.config("orders retention.ms", old) == nil {
			t.Errorf("a value of %s that was replaced is taken again", old)
		}
	}
	var all images
	for _, err := range []error{all.compare(7, 0, "a\nb"), all.compare(8, 0, "a\nc"), all.compare(7, 1, "a\nb")} {
		if err != nil {
			t.Error(err)
		}
	}
	if all.compare(8, 2, "a\nd") == nil {
		t.Error("two nodes show different images at one offset, and nobody notices")
	}
}

// TestPausesAreTheLongestSilence between topics, from a fault's beginning on.
func TestPausesAreTheLongestSilence(t *testing.T) {
	var history []operation
	for _, at := range []int{1, 5, 40, 41, 90} {
		history = append(history, made(model.CreateTopic, model.Object{}, model.Output{}, 0, at))
	}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	got := pauses(history, []event{{What: "kill", From: ms(10), Healed: ms(30), Well: ms(60)}})["kill"]
	if len(got) != 1 || got[0] != ms(49) {
		t.Errorf("pauses: %v", got)
	}
}

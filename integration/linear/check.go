package linear

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/linear/model"
)

// undecided is how long porcupine may think about one object's history.
const undecided = time.Minute

// anomaly is an object whose history no order explains.
type anomaly struct {
	object model.Object
	why    string
	info   porcupine.LinearizationInfo
}

func (a anomaly) String() string {
	return fmt.Sprintf("%s %s: %s", objectTypes[a.object.Type], a.object.Name, a.why)
}

var objectTypes = [...]string{"topic", "configs", "broker", "producer ids"}

// anomalies checks a history, one object after another.
func anomalies(operations []operation) []anomaly {
	var found []anomaly
	m := model.New(nil)
	m.Partition = nil
	objects := byObject(operations)
	for _, object := range slices.SortedFunc(maps.Keys(objects), func(a, b model.Object) int {
		return strings.Compare(fmt.Sprint(a.Type, a.Name), fmt.Sprint(b.Type, b.Name))
	}) {
		var ops []porcupine.Operation
		for _, op := range objects[object] {
			ops = append(ops, op.porcupine())
		}
		switch result, info := porcupine.CheckOperationsVerbose(m, ops, undecided); result {
		case porcupine.Illegal:
			found = append(found, anomaly{object, "no order of its operations explains the answers", info})
		case porcupine.Unknown:
			found = append(found, anomaly{object, fmt.Sprintf("%d operations were not decided within %v", len(ops), undecided), info})
		}
	}
	return found
}

// addSightings makes operations of what readers saw. When a node learned what it shows is not known: it may be as long
// ago as somebody asked for it. What is shown has to have been so, though: nobody may see what is not committed.
func (h *history) addSightings() {
	objects := byObject(h.operations)
	for what, by := range h.sightings {
		object := model.Object{Type: model.Topic, Name: what.topic}
		op := operation{Client: by.client, Node: by.node, In: model.Input{Kind: model.SeeTopic, Object: object}, Call: -1, Return: by.at}
		if what.config == "" {
			op.Out.ID = what.id
		} else {
			op.In.Configs = map[string]*string{what.config: &what.value}
		}
		for _, cause := range objects[object] {
			if causes(cause, what) && (op.Call < 0 || cause.Call < op.Call || cause.Out.ID == what.id && what.config == "") {
				op.Call = cause.Call
			}
		}
		if op.Call < 0 {
			h.problem("node %d has shown what nobody asked for: %s", by.node+1, model.Describe(op.In, op.Out))
			continue
		}
		h.add(op)
	}
}

// causes tells whether an operation may have made what was seen.
func causes(op operation, what sighting) bool {
	if what.config != "" {
		value := op.In.Configs[what.config]
		return value != nil && *value == what.value
	}
	return op.In.Kind == model.CreateTopic && (op.Out.Unknown || op.Out.ID == what.id)
}

// draw leaves porcupine's picture of an anomaly in a directory.
func (a anomaly) draw(dir string) (string, error) {
	path := filepath.Join(dir, fmt.Sprintf("%s-%s.html", strings.ReplaceAll(objectTypes[a.object.Type], " ", "-"), a.object.Name))
	return path, porcupine.VisualizePath(model.New(nil), a.info, path)
}

// twice finds producer ids that were given to more than one.
func twice(operations []operation, single map[int64]int) []string {
	var found []string
	type block struct{ first, end int64 }
	var blocks []block
	for _, op := range operations {
		if op.In.Kind == model.AllocateProducerIDs && !op.Out.Unknown && op.Out.Code == 0 {
			blocks = append(blocks, block{op.Out.First, op.Out.First + op.Out.Count})
		}
	}
	slices.SortFunc(blocks, func(a, b block) int { return int(a.first - b.first) })
	for i := 1; i < len(blocks); i++ {
		if blocks[i].first < blocks[i-1].end {
			found = append(found, fmt.Sprintf("the blocks from %d and from %d overlap", blocks[i-1].first, blocks[i].first))
		}
	}
	for id, times := range single {
		i, exact := slices.BinarySearchFunc(blocks, id, func(b block, id int64) int { return int(b.first - id) })
		within := exact || i > 0 && id < blocks[i-1].end
		if times > 1 || within {
			found = append(found, fmt.Sprintf("id %d was given %d times by InitProducerId, in a broker's block: %v", id, times, within))
		}
	}
	return found
}

// lookAtTopics asks a node for all topics that the history is about. The node must have everything that was acknowledged.
func (c *client) lookAtTopics(ctx context.Context) error {
	c.stays = true
	if !c.connect(ctx) {
		return fmt.Errorf("node %d cannot be reached", c.node+1)
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.SetVersion(12)
	call := c.now()
	resp, err := c.conn.Request(metadata)
	if err != nil {
		return err
	}
	there := map[string]model.TopicState{}
	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.SetVersion(4)
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		there[*t.Topic] = model.TopicState{Exists: true, ID: t.TopicID, Partitions: int32(len(t.Partitions))}
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, *t.Topic, configNames[:]
		configs.Resources = append(configs.Resources, resource)
	}
	if resp, err = c.conn.Request(configs); err != nil {
		return err
	}
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		topic := there[r.ResourceName]
		topic.Configs = setOf(r)
		there[r.ResourceName] = topic
	}
	for object := range byObject(c.operations) {
		if object.Type != model.Topic {
			continue
		}
		c.add(operation{
			Client: c.id, Node: c.node, Life: c.life, Call: call, Return: c.now(),
			In: model.Input{Kind: model.Look, Object: object}, Out: model.Output{State: there[object.Name]},
		})
		delete(there, object.Name)
	}
	for name := range there {
		c.problem("node %d has a topic %s that nobody asked for", c.node+1, name)
	}
	return nil
}

// pauses is, for each kind of fault, the longest time without a topic created, each time from its beginning until all was well again.
func pauses(operations []operation, events []event) map[string][]time.Duration {
	var created []time.Duration
	for _, op := range operations {
		if op.In.Kind == model.CreateTopic && !op.Out.Unknown && op.Out.Code == 0 {
			created = append(created, op.Return)
		}
	}
	slices.Sort(created)
	all := map[string][]time.Duration{}
	for _, e := range events {
		longest, last := time.Duration(0), e.From
		i, _ := slices.BinarySearch(created, e.From)
		for ; i < len(created) && last < e.Well; i++ {
			longest, last = max(longest, created[i]-last), created[i]
		}
		all[e.What] = append(all[e.What], longest)
	}
	return all
}

package linear

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
	"yakt/integration/linear/model"
)

// readEvery is how often a node's whole image is fetched.
const readEvery = 300 * time.Millisecond

// images is what nodes have shown at each offset: all must show the same.
type images struct {
	mu sync.Mutex
	at map[int64]shown
}

type shown struct {
	node int
	text string
}

// compare keeps what a node shows at an offset, or says that another has shown something else there.
func (s *images) compare(offset int64, node int, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[int64]shown{}
	}
	before, ok := s.at[offset]
	if !ok {
		s.at[offset] = shown{node, text}
		if len(s.at) > 1000 {
			for o := range s.at {
				if o < offset-10_000 {
					delete(s.at, o)
				}
			}
		}
		return nil
	}
	if before.text != text {
		return fmt.Errorf("at offset %d node %d shows %s and node %d %s", offset, node+1, first(text, before.text), before.node+1, first(before.text, text))
	}
	return nil
}

// first is the first line of a text that another has not.
func first(text, other string) string {
	for line := range strings.Lines(text) {
		if !strings.Contains(other, line) {
			return strings.TrimSpace(line)
		}
	}
	return "less"
}

// sight is what one process of a node has shown so far; it never goes back.
type sight struct {
	life          int
	reads         model.Reads
	offset        int64
	epoch         int32
	values, lefts map[string]string // configs by topic and name; values that were replaced or deleted
}

// read asks one node what it knows, again and again, whether it leads or not.
func (c *client) read(ctx context.Context, all *images) {
	c.stays = true
	var seen *sight
	var next time.Duration
	for ctx.Err() == nil {
		if !c.connect(ctx) {
			wait(ctx, 10*pause)
			continue
		}
		if seen == nil || seen.life != c.life {
			seen = &sight{life: c.life, values: map[string]string{}, lefts: map[string]string{}}
		}
		if err := c.readTopics(seen); err != nil {
			c.hangUp()
			wait(ctx, pause)
		}
		if now := c.now(); now > next && c.conn != nil {
			next = now + readEvery
			c.readImage(seen, all)
		}
		wait(ctx, pause)
	}
}

var errEnded = errors.New("the process has ended meanwhile")

// same tells whether the process that was asked is still the one that answered.
func (c *client) same(seen *sight) bool { return int(c.lives[c.node].Load()) == seen.life }

// readTopics asks for the topics that are quarrelled about. The error is the connection's.
func (c *client) readTopics(seen *sight) error {
	c.topics.mu.Lock()
	names := append([]string(nil), c.topics.now...)
	c.topics.mu.Unlock()
	metadata, configs := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrDescribeConfigsRequest()
	metadata.SetVersion(12)
	configs.SetVersion(4)
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		metadata.Topics = append(metadata.Topics, topic)
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, name, configNames[:]
		configs.Resources = append(configs.Resources, resource)
	}
	resp, err := c.conn.RequestWithin(metadata, patience)
	if err != nil {
		return err
	}
	c.count("metadata")
	if !c.same(seen) {
		return errEnded
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if t.ErrorCode != 0 {
			seen.reads.NoTopic(*t.Topic)
			continue
		}
		var partitions []model.SeenPartition
		for _, p := range t.Partitions {
			partitions = append(partitions, model.SeenPartition{ID: p.Partition, LeaderEpoch: p.LeaderEpoch})
		}
		c.saw(sighting{topic: *t.Topic, id: t.TopicID}, sighted{c.id, c.node, c.now()})
		if err := seen.reads.Topic(*t.Topic, t.TopicID, partitions); err != nil {
			c.problem("node %d goes back: %v", c.node+1, err)
		}
	}
	if resp, err = c.conn.RequestWithin(configs, patience); err != nil {
		return err
	}
	c.count("describe configs")
	if !c.same(seen) {
		return errEnded
	}
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		set := setOf(r)
		for _, name := range configNames {
			if set[name] != "" {
				c.saw(sighting{topic: r.ResourceName, config: name, value: set[name]}, sighted{c.id, c.node, c.now()})
			}
			if err := seen.config(r.ResourceName+" "+name, set[name]); err != nil {
				c.problem("node %d goes back: %v", c.node+1, err)
			}
		}
	}
	return nil
}

// config takes a config's value, "" for none. Each value is set once, so one that was left never comes back.
func (s *sight) config(key, value string) error {
	was := s.values[key]
	if was == value {
		return nil
	}
	if was != "" {
		s.lefts[key+"="+was] = value
	}
	s.values[key] = value
	if after, ok := s.lefts[key+"="+value]; ok && value != "" {
		return fmt.Errorf("%s is %s again after it was %q", key, value, after)
	}
	return nil
}

// setOf are a topic's own configs in an answer.
func setOf(r kmsg.DescribeConfigsResponseResource) map[string]string {
	set := map[string]string{}
	for _, c := range r.Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig && c.Value != nil {
			set[c.Name] = *c.Value
		}
	}
	return set
}

// readImage fetches the whole image by HTTP.
func (c *client) readImage(seen *sight, all *images) {
	offset, epoch, text, err := image(c.quorum.Nodes[c.node])
	if err != nil || !c.same(seen) {
		return
	}
	c.count("images")
	if offset < seen.offset || epoch < seen.epoch {
		c.problem("node %d goes back: its image is at offset %d of epoch %d after %d of %d", c.node+1, offset, epoch, seen.offset, seen.epoch)
	}
	seen.offset, seen.epoch = offset, epoch
	if err := all.compare(offset, c.node, text); err != nil {
		c.problem("two nodes differ: %v", err)
	}
}

// image is a node's image as text, and where it ends, without what a node may forget with a checkpoint: who the leader was, and who
// got which producer ids.
func image(y *harness.Yakt) (offset int64, epoch int32, text string, err error) {
	body, err := y.Get("/get_metadata")
	if err != nil {
		return 0, 0, "", err
	}
	var at struct {
		Offset int64 `json:"offset"`
		Epoch  int32 `json:"epoch"`
	}
	if err := json.Unmarshal(body, &at); err != nil {
		return 0, 0, "", err
	}
	var lines []string
	for line := range strings.Lines(string(body)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), `,"blocks":`)
		if !strings.HasPrefix(line, `"controllerId":`) {
			lines = append(lines, line)
		}
	}
	return at.Offset, at.Epoch, strings.Join(lines, "\n"), err
}

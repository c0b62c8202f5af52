package image

import (
	"iter"
	"slices"
	"strings"

	"yakt/records"
)

// Topic is one topic of one image. It is for reading: what an image hands out never changes.
type Topic struct {
	ID   records.UUID
	Name string

	by     *owner
	count  int
	chunks []*chunk // partition id / chunkSize; nil where there are none
}

const (
	chunkSize = 32 // partitions that are copied together when one of them changes
	chunkBits = 5

	// MaxPartitions is how many partitions a topic can have: a senseless record is not to take memory for those that do not exist.
	MaxPartitions = 1 << 24
)

// chunk holds up to chunkSize partitions with consecutive ids.
type chunk struct {
	by      *owner
	present uint32 // one bit for each id: a checkpoint of Apache Kafka may bring partitions in any order
	parts   []partition
}

// NumPartitions is the number of partitions.
func (t *Topic) NumPartitions() int { return t.count }

// Partition returns the partition with this id.
func (t *Topic) Partition(id int32) (Partition, bool) {
	p := t.at(id)
	if p == nil {
		return Partition{}, false
	}
	var v Partition
	p.view(&v)
	return v, true
}

// Partitions iterates over the partitions by id.
func (t *Topic) Partitions() iter.Seq2[int32, Partition] {
	return func(yield func(int32, Partition) bool) {
		var v Partition
		t.each(func(id int32, p *partition) bool {
			p.view(&v)
			return yield(id, v)
		})
	}
}

// at returns the partition with this id, to read, or nil.
func (t *Topic) at(id int32) *partition {
	n := int(id) >> chunkBits
	if id < 0 || n >= len(t.chunks) {
		return nil
	}
	c := t.chunks[n]
	if i := id % chunkSize; c != nil && c.present&(1<<i) != 0 {
		return &c.parts[i]
	}
	return nil
}

func (t *Topic) each(yield func(int32, *partition) bool) bool {
	return t.between(0, MaxPartitions, yield)
}

// between is each for the partitions from one id on and below another.
func (t *Topic) between(from, below int32, yield func(int32, *partition) bool) bool {
	for n := int(from) >> chunkBits; n < len(t.chunks); n++ {
		c, base := t.chunks[n], int32(n)<<chunkBits
		if base >= below {
			break
		}
		if c == nil {
			continue
		}
		for i := max(from-base, 0); i < min(below-base, int32(len(c.parts))); i++ {
			if c.present&(1<<i) != 0 && !yield(base+i, &c.parts[i]) {
				return false
			}
		}
	}
	return true
}

// topics is the topics' part of an image.
type topics struct {
	byName tree[string, *Topic]
	byID   tree[string, string] // names; the key is the id's 16 bytes
	// alike holds the names with a '.' or '_' under what they are called in metrics, where both are '_'.
	alike tree[string, string]
	lists lists

	numPartitions int
}

// Topic returns the topic with this id.
func (i *Image) Topic(id records.UUID) (*Topic, bool) {
	name, ok := i.topics.byID.get(string(id[:]))
	if !ok {
		return nil, false
	}
	return i.topics.byName.get(name)
}

// TopicByName returns the topic with this name.
func (i *Image) TopicByName(name string) (*Topic, bool) { return i.topics.byName.get(name) }

// Topics iterates over the topics by name.
func (i *Image) Topics() iter.Seq[*Topic] { return i.topics.byName.values() }

// TopicsFrom iterates over the topics whose names are not less than name, by name.
func (i *Image) TopicsFrom(name string) iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		i.topics.byName.from(name, func(_ string, t *Topic) bool { return yield(t) })
	}
}

// NumTopics is the number of topics.
func (i *Image) NumTopics() int { return i.topics.byName.len() }

// NumPartitions is the number of partitions of all topics.
func (i *Image) NumPartitions() int { return i.topics.numPartitions }

// CollidingTopics iterates over the names of other topics that become name once every '.' is a '_', as in metrics:
// Kafka refuses a second one of them.
func (i *Image) CollidingTopics(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		prefix := alikeKey(name, "")
		i.topics.alike.from(prefix, func(key, other string) bool {
			if !strings.HasPrefix(key, prefix) {
				return false
			}
			return other == name || yield(other)
		})
	}
}

// alikeKey is the key of name in topics.alike, or the prefix of all keys that collide with like.
func alikeKey(like, name string) string {
	var buf [64]byte
	key := appendText(buf[:0], strings.ReplaceAll(like, ".", "_"))
	return string(append(key, name...))
}

// EachPartition calls yield for every partition, by topic name and id, until it returns false. It is the way to look
// at a million of them: nothing is allocated, and p is only good until yield returns.
func (i *Image) EachPartition(yield func(t *Topic, id int32, p *Partition) bool) {
	var v Partition
	i.topics.byName.scan(func(_ string, t *Topic) bool {
		return t.each(func(id int32, p *partition) bool {
			p.view(&v)
			return yield(t, id, &v)
		})
	})
}

// EachPartitionOf is EachPartition for the partitions that the broker leads or is in sync with, or that have it among
// their eligible or last known leader replicas: all that may change when its state does.
func (i *Image) EachPartitionOf(broker int32, yield func(t *Topic, id int32, p *Partition) bool) {
	i.EachPartitionOfFrom(Place{}, broker, yield)
}

// Place is a place in the order of EachPartition, whether there is a partition or not; the zero value is the beginning.
type Place struct {
	Topic     string
	Partition int32
}

// EachPartitionOfFrom is EachPartitionOf, beginning at a place: after the last partition it goes on with the first, so that it has
// seen every one when it is back at the place.
func (i *Image) EachPartitionOfFrom(from Place, broker int32, yield func(t *Topic, id int32, p *Partition) bool) {
	var v Partition
	var topic *Topic
	look := func(id int32, p *partition) bool {
		if !p.concerns(broker) {
			return true
		}
		p.view(&v)
		return yield(topic, id, &v)
	}
	more := true
	i.topics.byName.from(from.Topic, func(name string, t *Topic) bool {
		topic = t
		if name == from.Topic {
			more = t.between(from.Partition, MaxPartitions, look)
		} else {
			more = t.each(look)
		}
		return more
	})
	if !more || from == (Place{}) {
		return
	}
	i.topics.byName.scan(func(name string, t *Topic) bool {
		topic = t
		if name >= from.Topic {
			if name == from.Topic {
				t.between(0, from.Partition, look)
			}
			return false
		}
		return t.each(look)
	})
}

func (p *partition) concerns(broker int32) bool {
	return p.leader == broker || p.isr.has(broker) || p.rare != nil && (p.rare.elr.has(broker) || p.rare.lastKnownELR.has(broker))
}

// EachLeaderless is EachPartition for the partitions without a leader.
func (i *Image) EachLeaderless(yield func(t *Topic, id int32, p *Partition) bool) {
	i.EachPartitionOf(records.NoLeader, yield)
}

func (e *Edit) replayTopic(o *owner, r *records.Topic, offset int64) {
	ts := &e.head.topics
	if other, ok := ts.byName.get(r.Name); ok {
		refuse(r, offset, "topic %q exists already, with id %v", r.Name, other.ID)
	}
	if name, ok := ts.byID.get(string(r.TopicID[:])); ok {
		refuse(r, offset, "topic id %v is already that of %q", r.TopicID, name)
	}
	t := &Topic{ID: r.TopicID, Name: r.Name, by: o}
	ts.byName.set(o, t.Name, t)
	ts.byID.set(o, string(t.ID[:]), t.Name)
	if strings.ContainsAny(t.Name, "._") {
		ts.alike.set(o, alikeKey(t.Name, t.Name), t.Name)
	}
	e.topic = t
}

func (e *Edit) replayRemoveTopic(o *owner, r *records.RemoveTopic, offset int64) {
	ts := &e.head.topics
	name, ok := ts.byID.get(string(r.TopicID[:]))
	if !ok {
		refuse(r, offset, "no topic has id %v", r.TopicID)
	}
	t, _ := ts.byName.get(name)
	ts.numPartitions -= t.count
	ts.byName.delete(o, name)
	ts.byID.delete(o, string(r.TopicID[:]))
	ts.alike.delete(o, alikeKey(name, name))
	e.head.configs.delete(o, configKey(ConfigTopic, name))
	e.topic = nil
}

func (e *Edit) replayPartition(o *owner, r *records.Partition, offset int64) {
	if r.PartitionID < 0 || r.PartitionID >= MaxPartitions {
		refuse(r, offset, "partition id %d", r.PartitionID)
	}
	t := e.writableTopic(o, r, r.TopicID, offset)
	c, i := t.writableChunk(o, r.PartitionID), int(r.PartitionID%chunkSize)
	p := newPartition(&e.head.topics.lists, o, r, offset)
	if i >= len(c.parts) {
		c.grow(i + 1)
	}
	c.parts[i] = p
	if c.present&(1<<i) == 0 {
		c.present |= 1 << i
		t.count++
		e.head.topics.numPartitions++
	}
}

// grow makes room for n partitions, with little to spare: most topics are small and stay so, and doubling would waste
// what chunks of values are to save.
func (c *chunk) grow(n int) {
	if n > cap(c.parts) {
		c.parts = append(make([]partition, 0, min(chunkSize, n+n/4)), c.parts...)
	}
	c.parts = c.parts[:n]
}

func (e *Edit) replayPartitionChange(o *owner, r *records.PartitionChange, offset int64) {
	t := e.writableTopic(o, r, r.TopicID, offset)
	if t.at(r.PartitionID) == nil {
		refuse(r, offset, "topic %q has no partition %d", t.Name, r.PartitionID)
	}
	c := t.writableChunk(o, r.PartitionID)
	c.parts[r.PartitionID%chunkSize].change(&e.head.topics.lists, o, r, offset)
}

func (e *Edit) replayClearELR(o *owner, r *records.ClearELR, offset int64) {
	if r.TopicName != "" {
		t, ok := e.head.topics.byName.get(r.TopicName)
		if !ok {
			refuse(r, offset, "there is no topic %q", r.TopicName)
		}
		e.clearELR(o, t)
		return
	}
	// The tree must not be changed while it is scanned.
	var all []*Topic
	e.head.topics.byName.scan(func(_ string, t *Topic) bool {
		all = append(all, t)
		return true
	})
	for _, t := range all {
		e.clearELR(o, t)
	}
}

func (e *Edit) clearELR(o *owner, t *Topic) {
	t.each(func(id int32, p *partition) bool {
		if u := p.uncommon(); u.elr != nil || u.lastKnownELR != nil {
			t := e.writable(o, t)
			t.writableChunk(o, id).parts[id%chunkSize].clearELR()
		}
		return true
	})
}

// writableTopic returns the topic with this id so that it can be changed in place.
func (e *Edit) writableTopic(o *owner, r records.Record, id records.UUID, offset int64) *Topic {
	if e.topic != nil && e.topic.ID == id {
		return e.topic
	}
	name, ok := e.head.topics.byID.get(string(id[:]))
	if !ok {
		refuse(r, offset, "no topic has id %v", id)
	}
	t, _ := e.head.topics.byName.get(name)
	e.topic = e.writable(o, t)
	return e.topic
}

// writable returns the head's version of the topic so that it can be changed in place.
func (e *Edit) writable(o *owner, t *Topic) *Topic {
	if t.by == o {
		return t
	}
	if e.topic != nil && e.topic.ID == t.ID {
		return e.topic
	}
	c := *t
	c.by, c.chunks = o, slices.Clone(t.chunks)
	e.head.topics.byName.set(o, c.Name, &c)
	e.topic = &c
	return &c
}

// writableChunk returns the chunk with this partition so that it can be changed in place, a new one if need be.
// The topic must be writable.
func (t *Topic) writableChunk(o *owner, id int32) *chunk {
	n := int(id) >> chunkBits
	for len(t.chunks) <= n {
		t.chunks = append(t.chunks, nil)
	}
	switch c := t.chunks[n]; {
	case c == nil:
		t.chunks[n] = &chunk{by: o}
	case c.by != o:
		t.chunks[n] = &chunk{by: o, present: c.present, parts: slices.Clone(c.parts)}
	}
	return t.chunks[n]
}

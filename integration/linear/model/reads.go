package model

import "fmt"

// Reads are the answers of one node to questions, in the order in which they were asked one after another. A node's
// picture may be old; it never goes back.
type Reads struct {
	topics map[string]seenTopic
	gone   map[[16]byte]bool // ids of topics that were there and then not any more
}

type seenTopic struct {
	id         [16]byte
	partitions map[int32][2]int32 // leader epoch, partition epoch; where an answer has no partition epoch it is 0
}

// SeenPartition is what an answer says of a partition.
type SeenPartition struct{ ID, LeaderEpoch, PartitionEpoch int32 }

// Topic takes what an answer says of a topic that is there. The error says why that cannot be after what came before.
func (r *Reads) Topic(name string, id [16]byte, partitions []SeenPartition) error {
	if r.topics == nil {
		r.topics, r.gone = map[string]seenTopic{}, map[[16]byte]bool{}
	}
	if r.gone[id] {
		return fmt.Errorf("topic %s, id %x, is there again after it was gone", name, id)
	}
	last, ok := r.topics[name]
	if ok && last.id != id {
		r.gone[last.id] = true
		ok = false
	}
	if ok && len(partitions) < len(last.partitions) {
		return fmt.Errorf("topic %s, id %x, has %d partitions after %d", name, id, len(partitions), len(last.partitions))
	}
	seen := seenTopic{id: id, partitions: make(map[int32][2]int32, len(partitions))}
	for _, p := range partitions {
		if before, ok := last.partitions[p.ID]; ok && last.id == id && (p.LeaderEpoch < before[0] || p.PartitionEpoch < before[1]) {
			return fmt.Errorf("partition %d of topic %s, id %x, is at leader epoch %d and partition epoch %d after %d and %d",
				p.ID, name, id, p.LeaderEpoch, p.PartitionEpoch, before[0], before[1])
		}
		seen.partitions[p.ID] = [2]int32{p.LeaderEpoch, p.PartitionEpoch}
	}
	r.topics[name] = seen
	return nil
}

// NoTopic takes an answer that there is no topic of the name.
func (r *Reads) NoTopic(name string) {
	if last, ok := r.topics[name]; ok {
		r.gone[last.id] = true
		delete(r.topics, name)
	}
}

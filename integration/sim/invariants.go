package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"yakt/controller/image"
	"yakt/records"
)

// oracle replays what the quorum agreed on, as soon as it has, and holds every batch and every image against the rules. It
// keeps all states there were, one for each operation, so that answers can be held against them too.
type oracle struct {
	w         *world
	seq       records.Sequence
	held      []*entry // what seq holds back
	verdict   []bool   // of each entry of raft's log: is it a batch that was taken, to count or to be held back
	batches   []records.Batch
	ends      map[int64]*image.Image // at the end of each batch that somebody may be at
	forgotten int64
	states    []state // the last of them
	dropped   int     // how many there were before
	head      *image.Image

	twins     map[partitionKey]twin
	changed   map[partitionKey]bool
	producers int64
	blocks    map[int64]int64 // handed out and acknowledged: first → count
	returned  map[int32]int64 // brokers that were unfenced after a controlled shutdown, and their epochs
	open      *transaction
	// Without a leader when a broker said where its replica lies: elections come later, as with Apache's controller. Or left without one by a
	// step of a fencing, whose broker may lead until the last step.
	placed map[partitionKey]bool
}

// state is what was so between two operations.
type state struct {
	*image.Image
	api     string                // of the operation that led here
	removed map[records.UUID]bool // topics, by it
}

type partitionKey struct {
	topic records.UUID
	id    int32
}

// twin is a partition's epochs, counted from its records and not by the image.
type twin struct {
	leader                      int32
	leaderEpoch, partitionEpoch int32
}

func newOracle(w *world) *oracle {
	empty := new(image.Image)
	return &oracle{
		w: w, head: empty, states: []state{{Image: empty}}, ends: map[int64]*image.Image{0: empty},
		twins: map[partitionKey]twin{}, changed: map[partitionKey]bool{}, blocks: map[int64]int64{}, returned: map[int32]int64{}, placed: map[partitionKey]bool{},
	}
}

// taken says whether an entry of raft's log is a batch that was not dropped.
func (o *oracle) taken(i int) bool { return o.verdict[i] }

// commit takes the next entry that was agreed on.
func (o *oracle) commit(e *entry) {
	if e.kind != entryBatch {
		o.verdict = append(o.verdict, false)
		return
	}
	whole, err := o.seq.Next(e.batch, e.term)
	o.verdict = append(o.verdict, err == nil)
	if err != nil {
		o.w.count("batches dropped")
		o.w.tracef("agreed: dropped [%d,%d) of epoch %d, term %d: %v", e.batch.BaseOffset(), e.batch.EndOffset(), e.batch.LeaderEpoch(), e.term, err)
		return
	}
	o.w.count("batches")
	if e.proposal.settled {
		o.w.count("committed after an error")
	}
	o.w.tracef("agreed: [%d,%d) of epoch %d, %d of which count from now on", e.batch.BaseOffset(), e.batch.EndOffset(), e.batch.LeaderEpoch(), whole)
	o.cutOff(o.held, e, whole)
	var counts []*entry
	o.held, counts = records.Hold(o.held, e, whole)
	for _, e := range counts {
		o.batch(e)
	}
	if o.open != nil {
		violate("transactions-are-whole", "the log ends at %d, inside the transaction of %s that begins at %d", o.head.EndOffset(), o.open.of.api, o.open.of.start)
	}
}

// batch replays a batch that counts and checks all that is to be said about it.
func (o *oracle) batch(e *entry) {
	b, before := e.batch, o.head
	if b.BaseOffset() != before.EndOffset() {
		violate("offsets-dense", "a batch at %d counts where the log ends at %d", b.BaseOffset(), before.EndOffset())
	}
	if b.LeaderEpoch() < before.Epoch() || b.LeaderEpoch() != e.term {
		violate("epochs-monotonic", "the batch at %d of term %d has epoch %d after %d", b.BaseOffset(), e.term, b.LeaderEpoch(), before.Epoch())
	}
	if b.Timestamp() <= before.Timestamp() {
		violate("timestamps-increase", "the batch at %d has timestamp %d after %d", b.BaseOffset(), b.Timestamp(), before.Timestamp())
	}
	if err := b.Check(); err != nil {
		violate("batches-well-formed", "%v", err)
	}
	if o.open == nil {
		clear(o.changed)
	}
	if b.Control() {
		o.control(e)
	} else {
		if b.LeaderEpoch() != before.Epoch() {
			violate("epochs-open-with-their-leader", "the batch at %d is the first of epoch %d", b.BaseOffset(), b.LeaderEpoch())
		}
		o.operations(e)
	}
	o.batches = append(o.batches, b)
	o.ends[b.EndOffset()] = o.head
	o.checkTwins()
	if o.open == nil {
		o.checkImage()
	}
	o.w.past.committed(e)
	if len(o.batches)%500 == 0 {
		o.forget()
	}
}

// remembered is how many batches back images are kept: more than there are in ten minutes.
const remembered = 4000

// forget drops the states that no answer can be held against any more, and images of long ago. Who is still there, or there
// again, is not compared before it has come closer.
func (o *oracle) forget() {
	since := o.latest()
	for _, k := range o.w.calls {
		since = min(since, k.since)
	}
	o.states = append([]state(nil), o.since(since)...)
	o.dropped = since
	if len(o.batches) <= remembered {
		return
	}
	for end := o.batches[len(o.batches)-remembered].EndOffset(); o.forgotten < end; o.forgotten = o.batches[o.after(o.forgotten)].EndOffset() {
		delete(o.ends, o.forgotten)
	}
}

// after is the first batch that ends after an offset.
func (o *oracle) after(offset int64) int {
	i, _ := slices.BinarySearchFunc(o.batches, offset, func(b records.Batch, offset int64) int { return cmp.Compare(b.EndOffset(), offset+1) })
	return i
}

// latest is the number of the state that was so last.
func (o *oracle) latest() int { return o.dropped + len(o.states) - 1 }

// since are the states from one on.
func (o *oracle) since(first int) []state { return o.states[first-o.dropped:] }

func (o *oracle) control(e *entry) {
	b, before := e.batch, o.head
	rs, err := b.DecodeControl()
	if err != nil {
		violate("batches-well-formed", "%v", err)
	}
	edit := before.Edit()
	for i, r := range rs {
		if c, ok := r.(*records.LeaderChange); ok {
			// A second one in the same epoch comes from a take-over that failed half-way and was begun again.
			if i != 0 || c.LeaderID != o.w.leaders[e.term] {
				violate("epochs-open-with-their-leader", "record %d of the batch at %d of epoch %d names leader %d; elected was %d", i, b.BaseOffset(), b.LeaderEpoch(), c.LeaderID, o.w.leaders[e.term])
			}
		} else if i == 0 && b.LeaderEpoch() != before.Epoch() {
			violate("epochs-open-with-their-leader", "the batch at %d opens epoch %d with %T", b.BaseOffset(), b.LeaderEpoch(), r)
		}
		edit.ReplayControl(r, b.BaseOffset()+int64(i))
	}
	edit.Advance(b.EndOffset(), b.LeaderEpoch(), b.Timestamp())
	o.head = edit.Image()
	if o.open == nil {
		o.states = append(o.states, state{Image: o.head})
	}
}

// author says who asked for some of a batch's records.
type author struct {
	Records int    `json:"n"`
	API     string `json:"api"`
	Begin   int64  `json:"begin"` // of the transaction that the records are part of
	Client  string `json:"client"`
}

func authorsOf(b records.Batch, who []byte) []author {
	var authors []author
	if err := json.Unmarshal(who, &authors); err != nil {
		violate("operations-whole", "who asked for the batch at %d: %v: %q", b.BaseOffset(), err, who)
	}
	return authors
}

// operations replays a batch operation by operation; who asked says where each ends.
func (o *oracle) operations(e *entry) {
	b := e.batch
	rs, err := b.Decode()
	if err != nil {
		violate("batches-well-formed", "%v", err)
	}
	authors := authorsOf(b, e.who)
	o.checkOpen(e, authors)
	edit := o.head.Edit()
	at := 0
	for _, a := range authors {
		if a.Records <= 0 || at+a.Records > len(rs) {
			violate("operations-whole", "the batch at %d has %d records; who asked for them: %s", b.BaseOffset(), len(rs), e.who)
		}
		start := b.BaseOffset() + int64(at)
		op := &operation{api: a.API, start: start, removed: map[records.UUID]bool{}}
		if o.open != nil && a.Begin != 0 {
			op = o.open.of
		}
		for _, r := range rs[at : at+a.Records] {
			offset := b.BaseOffset() + int64(at)
			o.record(edit.View(), r, offset, op.start, a)
			switch r := r.(type) {
			case *records.Topic:
				op.created = append(op.created, r)
				o.w.past.names[r.TopicID] = r.Name
			case *records.RemoveTopic:
				op.removed[r.TopicID] = true
			default:
				o.boundary(r, e, op)
			}
			edit.Replay(r, offset)
			at++
		}
		if at == len(rs) {
			edit.Advance(b.EndOffset(), b.LeaderEpoch(), b.Timestamp())
		}
		o.head = edit.Image()
		if o.open != nil {
			continue
		}
		o.states = append(o.states, state{Image: o.head, api: a.API, removed: op.removed})
		o.w.count("operation " + a.API)
		for _, t := range op.created {
			o.checkWhole(t.TopicID, fmt.Sprintf("after %s at %d", a.API, op.start))
		}
	}
	if at != len(rs) {
		violate("operations-whole", "the batch at %d has %d records; who asked for them: %s", b.BaseOffset(), len(rs), e.who)
	}
}

// record checks what can be said of one record before it is replayed on the image now. start is where its operation, by, begins.
func (o *oracle) record(now *image.Image, r records.Record, offset, start int64, by author) {
	switch r := r.(type) {
	case *records.Partition:
		if r.LeaderEpoch != 0 || r.PartitionEpoch != 0 {
			violate("leader-epoch-rule", "partition %d of %v begins with leader epoch %d and partition epoch %d", r.PartitionID, r.TopicID, r.LeaderEpoch, r.PartitionEpoch)
		}
		key := partitionKey{r.TopicID, r.PartitionID}
		o.twins[key] = twin{leader: r.Leader}
		o.changed[key] = true
	case *records.PartitionChange:
		o.checkChange(now, r, offset, by)
		key := partitionKey{r.TopicID, r.PartitionID}
		t := o.twins[key]
		fencing := o.w.settings.StepRecords > 0 && (by.API == "BrokerSessionExpiry" || by.API == "BrokerHeartbeat")
		leaderless := r.Leader == records.NoLeader || r.Leader == records.LeaderUnchanged && t.leader == records.NoLeader
		o.placed[key] = by.API == "AssignReplicasToDirs" && t.leader == records.NoLeader || fencing && leaderless
		t.partitionEpoch++
		if r.Leader != records.LeaderUnchanged {
			if r.Leader == t.leader && r.Replicas == nil {
				violate("leader-epoch-rule", "the change at %d of partition %d of %v names the leader it has, %d, and removes no replica", offset, r.PartitionID, r.TopicID, r.Leader)
			}
			t.leader = r.Leader
			t.leaderEpoch++
		}
		o.twins[key] = t
		o.changed[key] = true
	case *records.ClearELR:
		o.clearELR(now, r.TopicName)
	case *records.RemoveTopic:
		for key := range o.twins {
			if key.topic == r.TopicID {
				delete(o.twins, key)
				delete(o.changed, key)
			}
		}
	case *records.ProducerIDs:
		if r.NextProducerID <= o.producers {
			violate("producer-id-blocks-never-overlap", "the block at %d ends at %d, the one before at %d", offset, r.NextProducerID, o.producers)
		}
		o.producers = r.NextProducerID
	case *records.BrokerRegistrationChange:
		// As with Apache's controller a heartbeat that was late unfences a broker that was let go; it counts as
		// shutting down until it registers again.
		if b, ok := o.head.Broker(r.BrokerID); ok && b.Fenced && b.InControlledShutdown && r.Fenced < 0 {
			o.returned[b.ID] = b.Epoch
		}
	case *records.RegisterBroker:
		old, known := o.head.Broker(r.BrokerID) // as before the operation
		again := known && old.IncarnationID == r.IncarnationID && old.Epoch == r.BrokerEpoch
		if r.BrokerEpoch != start && !again {
			violate("broker-epoch-is-offset", "broker %d registers at %d with epoch %d; its operation begins at %d", r.BrokerID, offset, r.BrokerEpoch, start)
		}
	}
}

// clearELR counts the change of each partition that has eligible leader replicas, or is known to have had one.
func (o *oracle) clearELR(now *image.Image, topic string) {
	now.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		if (topic == "" || t.Name == topic) && len(p.ELR)+len(p.LastKnownELR) > 0 {
			key := partitionKey{t.ID, id}
			twin := o.twins[key]
			twin.partitionEpoch++
			o.twins[key] = twin
			o.changed[key] = true
		}
		return true
	})
}

// checkTwins compares epochs that were counted with those of the image.
func (o *oracle) checkTwins() {
	for key := range o.changed {
		t, ok := o.head.Topic(key.topic)
		if !ok {
			violate("records-replayable", "topic %v has partitions and does not exist", key.topic)
		}
		p, ok := t.Partition(key.id)
		want := o.twins[key]
		if !ok || p.PartitionEpoch != want.partitionEpoch {
			violate("partition-epoch-plus-one", "%s-%d has partition epoch %d after %d changes", t.Name, key.id, p.PartitionEpoch, want.partitionEpoch)
		}
		if p.LeaderEpoch != want.leaderEpoch || p.Leader != want.leader {
			violate("leader-epoch-rule", "%s-%d has leader %d and leader epoch %d; its changes say %d and %d", t.Name, key.id, p.Leader, p.LeaderEpoch, want.leader, want.leaderEpoch)
		}
	}
}

// topicName says how many partitions and replicas a topic of this name is to have, so that nobody need be asked.
func topicName(number, partitions, replicas int) string {
	return fmt.Sprintf("orders-%d-p%dr%d", number, partitions, replicas)
}

// checkWhole checks that a topic has all its partitions.
func (o *oracle) checkWhole(id records.UUID, when string) {
	t, ok := o.head.Topic(id)
	if !ok {
		violate("unacknowledged-whole-or-absent", "%s topic %v does not exist", when, id)
	}
	var partitions, replicas int
	if _, err := fmt.Sscanf(t.Name[strings.LastIndexByte(t.Name, '-'):], "-p%dr%d", &partitions, &replicas); err != nil {
		violate("unacknowledged-whole-or-absent", "%s topic %q exists, which nobody asked for", when, t.Name)
	}
	if t.NumPartitions() != partitions {
		violate("unacknowledged-whole-or-absent", "%s topic %s has %d partitions", when, t.Name, t.NumPartitions())
	}
	for i := range int32(partitions) {
		p, ok := t.Partition(i)
		if !ok || len(p.Replicas) != replicas {
			violate("unacknowledged-whole-or-absent", "%s partition %d of %s is missing or has other than %d replicas: %v", when, i, t.Name, replicas, p.Replicas)
		}
	}
}

// checkImage checks what must be so after every batch, whatever was in it.
func (o *oracle) checkImage() {
	o.checkWholeTopics()
	o.head.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		o.checkPartition(t, id, p)
		return true
	})
}

// checkWholeTopics checks that no topic lacks a partition in between.
func (o *oracle) checkWholeTopics() {
	for t := range o.head.Topics() {
		for i := range t.NumPartitions() {
			if _, ok := t.Partition(int32(i)); !ok {
				violate("unacknowledged-whole-or-absent", "at %d topic %s has %d partitions, and %d is not one of them", o.head.EndOffset(), t.Name, t.NumPartitions(), i)
			}
		}
	}
}

func (o *oracle) checkPartition(t *image.Topic, id int32, p *image.Partition) {
	fail := func(invariant, why string) {
		violate(invariant, "%s-%d at %d: %s: %+v", t.Name, id, o.head.EndOffset(), why, *p)
	}
	for i, r := range p.Replicas {
		if slices.Contains(p.Replicas[:i], r) {
			fail("isr-within-replicas", "a replica is there twice")
		}
	}
	for i, r := range p.ISR {
		switch {
		case !slices.Contains(p.Replicas, r) || slices.Contains(p.ISR[:i], r):
			fail("isr-within-replicas", "ISR")
		case !o.mayLead(r) && (len(p.ISR) > 1 || p.HasLeader()):
			fail("fenced-brokers-lead-nothing", "a broker in the ISR is fenced or shutting down, and not the last that was in sync")
		}
	}
	for _, r := range p.ELR {
		if !slices.Contains(p.Replicas, r) || slices.Contains(p.ISR, r) {
			fail("elr-outside-isr", "ELR")
		}
	}
	if why := checkReassignment(p); why != "" {
		fail("reassigned-within-replicas", why)
	}
	if len(p.ELR) > 0 && !o.head.ELREnabled() {
		fail("elr-outside-isr", "there are eligible leader replicas, and the feature is off")
	}
	if !p.HasLeader() {
		eligible := p.ISR
		if len(eligible) == 0 {
			eligible = p.ELR
		}
		if !o.placed[partitionKey{t.ID, id}] && slices.ContainsFunc(eligible, func(id int32) bool { return reachable(o.head, p, id) }) {
			fail("leaderless-only-when-nobody-may-lead", "a replica that has everything is there")
		}
		return
	}
	if !slices.Contains(p.ISR, p.Leader) {
		fail("leader-in-isr", "leader")
	}
	if b, ok := o.head.Broker(p.Leader); ok {
		if dir, _ := p.Directory(p.Leader); !b.HasOnlineDir(dir) {
			fail("leader-directory-online", "the leader's directory has failed")
		}
	}
	if !o.mayLead(p.Leader) {
		fail("fenced-brokers-lead-nothing", "the leader is fenced, shutting down or not registered")
	}
}

// mayLead is active, but for brokers that came back from a controlled shutdown.
func (o *oracle) mayLead(broker int32) bool {
	b, ok := o.head.Broker(broker)
	return ok && (b.Active() || !b.Fenced && o.returned[broker] == b.Epoch)
}

// same compares an image with the oracle's at the same offset.
func (o *oracle) same(invariant string, n *node, img *image.Image, offset int64) {
	if offset < o.forgotten {
		return
	}
	want, ok := o.ends[offset]
	if !ok {
		violate(invariant, "node %d has an image at %d, where no committed batch ends", n.id, offset)
	}
	if img.EndOffset() != want.EndOffset() || img.Epoch() != want.Epoch() || img.Timestamp() != want.Timestamp() {
		violate(invariant, "node %d has the position %d, epoch %d, timestamp %d; committed is %d, %d, %d",
			n.id, img.EndOffset(), img.Epoch(), img.Timestamp(), want.EndOffset(), want.Epoch(), want.Timestamp())
	}
	if diff := image.Diff(img, want); diff != "" {
		violate(invariant, "node %d at %d differs from what is committed: %s", n.id, offset, diff)
	}
}

// checkPublished checks that what a node shows is what is committed and applied there, no more and no less.
func (n *node) checkPublished() {
	img := n.ctl.Image()
	if n.checked == any(img) {
		return
	}
	if img.InTransaction() {
		violate("transactions-are-whole", "node %d publishes an image at %d, inside a transaction that began at %d", n.id, img.EndOffset(), img.Stable().EndOffset())
	}
	if img.EndOffset() > n.end {
		violate("published-is-committed", "node %d publishes an image at %d; applied is %d", n.id, img.EndOffset(), n.end)
	}
	n.w.oracle.same("published-is-committed", n, img, n.end)
	n.checked = img
}

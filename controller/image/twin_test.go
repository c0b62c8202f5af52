package image_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yakt/controller/image"
	"yakt/records"
)

// twin is the image's dumb twin: maps and no sharing. It takes the same records and must hold the same.
type twin struct {
	held  map[string]records.Record // by a key that says what it is about
	saved map[string]records.Record // as it was when the open transaction began
	next  int64                     // producer id
}

func newTwin() *twin { return &twin{held: map[string]records.Record{}} }

func partitionKey(topic records.UUID, partition int32) string {
	return fmt.Sprintf("partition/%x/%d", topic, partition)
}

func quotaName(r *records.ClientQuota) string {
	var parts []string
	for _, p := range r.Entity {
		if p.Name == nil {
			parts = append(parts, p.Type)
		} else {
			parts = append(parts, p.Type+"="+*p.Name)
		}
	}
	slices.Sort(parts)
	return fmt.Sprintf("quota/%q/%s", parts, r.Key)
}

func (w *twin) apply(r records.Record) {
	switch r := r.(type) {
	case *records.RegisterBroker:
		w.held[fmt.Sprint("broker/", r.BrokerID)] = r
	case *records.UnregisterBroker:
		delete(w.held, fmt.Sprint("broker/", r.BrokerID))
	case *records.FenceBroker:
		w.broker(r.ID, func(b *records.RegisterBroker) { b.Fenced = true })
	case *records.UnfenceBroker:
		w.broker(r.ID, func(b *records.RegisterBroker) { b.Fenced = false })
	case *records.BrokerRegistrationChange:
		w.broker(r.BrokerID, func(b *records.RegisterBroker) {
			if r.Fenced != 0 {
				b.Fenced = r.Fenced == 1
			}
			b.InControlledShutdown = b.InControlledShutdown || r.InControlledShutdown == 1
			if len(r.LogDirs) > 0 {
				b.LogDirs = r.LogDirs
			}
			if r.CordonedLogDirs != nil {
				b.CordonedLogDirs = r.CordonedLogDirs
			}
		})
	case *records.RegisterController:
		w.held[fmt.Sprint("controller/", r.ControllerID)] = r
	case *records.Topic:
		w.held[fmt.Sprintf("topic/%x", r.TopicID)] = r
	case *records.RemoveTopic:
		name := w.held[fmt.Sprintf("topic/%x", r.TopicID)].(*records.Topic).Name
		maps.DeleteFunc(w.held, func(key string, _ records.Record) bool {
			return key == fmt.Sprintf("topic/%x", r.TopicID) || strings.HasPrefix(key, fmt.Sprintf("partition/%x/", r.TopicID)) ||
				strings.HasPrefix(key, fmt.Sprintf("config/2/%q/", name))
		})
	case *records.Partition:
		c := *r
		if len(c.Directories) == 0 {
			c.Directories = make([]records.UUID, len(c.Replicas))
		}
		w.held[partitionKey(r.TopicID, r.PartitionID)] = &c
	case *records.PartitionChange:
		w.change(r)
	case *records.ClearELR:
		for key, held := range w.held {
			p, ok := held.(*records.Partition)
			if ok && (r.TopicName == "" || w.held[fmt.Sprintf("topic/%x", p.TopicID)].(*records.Topic).Name == r.TopicName) {
				c := *p
				if len(c.EligibleLeaderReplicas)+len(c.LastKnownELR) > 0 {
					c.PartitionEpoch++
				}
				c.EligibleLeaderReplicas, c.LastKnownELR = nil, nil
				w.held[key] = &c
			}
		}
	case *records.Config:
		w.put(fmt.Sprintf("config/%d/%q/%s", r.ResourceType, r.ResourceName, r.Name), r, r.Value == nil)
	case *records.ClientQuota:
		c := *r
		c.Entity = slices.SortedFunc(slices.Values(c.Entity), func(a, b records.QuotaEntity) int { return strings.Compare(a.Type, b.Type) })
		w.put(quotaName(r), &c, r.Remove)
	case *records.ProducerIDs:
		w.held["producer ids"] = &records.ProducerIDs{BrokerID: -1, BrokerEpoch: -1, NextProducerID: r.NextProducerID}
		w.next = r.NextProducerID
	case *records.AccessControlEntry:
		w.held[fmt.Sprintf("acl/%x", r.ID)] = r
	case *records.RemoveAccessControlEntry:
		delete(w.held, fmt.Sprintf("acl/%x", r.ID))
	case *records.UserScramCredential:
		w.held[fmt.Sprintf("scram/%q/%d", r.Name, r.Mechanism)] = r
	case *records.RemoveUserScramCredential:
		delete(w.held, fmt.Sprintf("scram/%q/%d", r.Name, r.Mechanism))
	case *records.DelegationToken:
		w.held["token/"+r.TokenID] = r
	case *records.RemoveDelegationToken:
		delete(w.held, "token/"+r.TokenID)
	case *records.FeatureLevel:
		w.put("feature/"+r.Name, r, r.Level == 0)
	case *records.BeginTransaction:
		w.saved = maps.Clone(w.held)
	case *records.EndTransaction:
		w.saved = nil
	case *records.AbortTransaction:
		w.held, w.saved = w.saved, nil
	}
}

func (w *twin) put(key string, r records.Record, remove bool) {
	if remove {
		delete(w.held, key)
	} else {
		w.held[key] = r
	}
}

func (w *twin) broker(id int32, change func(*records.RegisterBroker)) {
	key := fmt.Sprint("broker/", id)
	b := *w.held[key].(*records.RegisterBroker)
	change(&b)
	w.held[key] = &b
}

func (w *twin) change(r *records.PartitionChange) {
	key := partitionKey(r.TopicID, r.PartitionID)
	p := *w.held[key].(*records.Partition)
	p.PartitionEpoch++
	if r.Leader != records.LeaderUnchanged {
		p.Leader = r.Leader
		p.LeaderEpoch++
	}
	if r.LeaderRecoveryState != records.RecoveryStateUnchanged {
		p.LeaderRecoveryState = r.LeaderRecoveryState
	}
	set := func(to *[]int32, from []int32) {
		if from != nil {
			*to = from
		}
	}
	if len(r.Directories) > 0 {
		p.Directories = r.Directories
	} else if r.Replicas != nil {
		was := map[int32]records.UUID{}
		for i, replica := range p.Replicas {
			was[replica] = p.Directories[i]
		}
		p.Directories = nil
		for _, replica := range r.Replicas {
			if dir, ok := was[replica]; ok {
				p.Directories = append(p.Directories, dir)
			} else {
				p.Directories = append(p.Directories, records.DirectoryUnassigned)
			}
		}
	}
	set(&p.Replicas, r.Replicas)
	set(&p.ISR, r.ISR)
	set(&p.RemovingReplicas, r.RemovingReplicas)
	set(&p.AddingReplicas, r.AddingReplicas)
	set(&p.EligibleLeaderReplicas, r.EligibleLeaderReplicas)
	set(&p.LastKnownELR, r.LastKnownELR)
	w.held[key] = &p
}

// lines is what the twin holds, in a form that can be compared.
func (w *twin) lines() []string {
	var all []string
	for r := range maps.Values(w.held) {
		all = append(all, line(r))
	}
	slices.Sort(all)
	return all
}

// lines is what the image holds, in the same form.
func lines(i *image.Image) []string {
	var all []string
	for r := range i.Records() {
		all = append(all, line(r))
	}
	slices.Sort(all)
	return all
}

// line is a record as text; null lists and empty ones are the same but in CordonedLogDirs.
func line(r records.Record) string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		panic(err)
	}
	for name, value := range fields {
		list, isList := value.([]any)
		if (value == nil || value == "" || isList && len(list) == 0) && name != "CordonedLogDirs" {
			delete(fields, name)
		}
	}
	b, _ = json.Marshal(fields)
	return fmt.Sprintf("%T %s", r, b)
}

// generator draws records that make sense after what it has drawn so far.
type generator struct {
	*rapid.T
	image  *image.Image
	offset int64
	ids    byte
}

func pick[T any](g *generator, what string, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(g.T, what)]
}

func (g *generator) id() records.UUID {
	g.ids++
	return id(g.ids)
}

func (g *generator) ints(what string) []int32 {
	return rapid.SliceOfNDistinct(rapid.Int32Range(1, 5), 1, 3, rapid.ID).Draw(g.T, what)
}

// maybe is ints, or nil, or an empty list.
func (g *generator) maybe(what string) []int32 {
	switch rapid.IntRange(0, 4).Draw(g.T, what+"?") {
	case 0:
		return g.ints(what)
	case 1:
		return []int32{}
	}
	return nil
}

func (g *generator) dirs(n int) []records.UUID {
	dirs := make([]records.UUID, n)
	for i := range dirs {
		dirs[i] = pick(g, "dir", []records.UUID{records.DirectoryUnassigned, records.DirectoryLost, {0: 1}, {0: 2}})
	}
	return dirs
}

func (g *generator) next() records.Record {
	for {
		if r := g.draw(rapid.IntRange(0, 31).Draw(g.T, "kind")); r != nil {
			return r
		}
	}
}

// draw returns nil when a record of this kind makes no sense now.
func (g *generator) draw(kind int) records.Record {
	names := []string{"a", "b", "a.b", "a_b", "a\x00"}
	switch kind {
	case 0, 1, 2:
		return g.drawBroker()
	case 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15:
		return g.drawTopic(names)
	case 16, 17:
		r := &records.Config{ResourceType: pick(g, "type", []int8{2, 4, 16, 32, -128}), ResourceName: pick(g, "resource", append(names, "")), Name: pick(g, "key", names)}
		if rapid.Bool().Draw(g.T, "set") {
			r.Value = text(pick(g, "value", names))
		}
		return r
	case 18, 19:
		r := &records.ClientQuota{Key: pick(g, "key", names), Value: 1.5, Remove: rapid.Bool().Draw(g.T, "remove")}
		for _, t := range rapid.Permutation([]string{"user", "client-id"}).Draw(g.T, "types")[rapid.IntRange(0, 1).Draw(g.T, "n"):] {
			e := records.QuotaEntity{Type: t}
			if rapid.Bool().Draw(g.T, "named") {
				e.Name = text(pick(g, "entity", names))
			}
			r.Entity = append(r.Entity, e)
		}
		return r
	case 20:
		return &records.ProducerIDs{BrokerID: 1, BrokerEpoch: 5, NextProducerID: g.image.NextProducerID() + 1000}
	case 21, 22:
		return &records.AccessControlEntry{ID: g.id(), ResourceType: pick(g, "type", []int8{2, 3}), PatternType: pick(g, "pattern", []int8{3, 4}),
			ResourceName: pick(g, "resource", append(names, "*")), Principal: "User:a", Host: "*", Operation: 3, PermissionType: 3}
	case 23:
		for a := range g.image.ACLs() {
			return &records.RemoveAccessControlEntry{ID: a.ID}
		}
	case 24, 25:
		for c := range g.image.ScramCredentials() {
			if kind == 24 {
				return &records.RemoveUserScramCredential{Name: c.User, Mechanism: c.Mechanism}
			}
		}
		return &records.UserScramCredential{Name: pick(g, "user", names), Mechanism: pick(g, "mechanism", []int8{1, 2}), Salt: []byte{g.ids}, Iterations: 4096}
	case 26:
		return &records.DelegationToken{TokenID: pick(g, "token", names), Owner: "User:a", ExpirationTimestamp: g.offset}
	case 27:
		return &records.RemoveDelegationToken{TokenID: pick(g, "token", names)}
	case 28:
		return &records.FeatureLevel{Name: pick(g, "feature", []string{"x", "eligible.leader.replicas.version"}), Level: rapid.Int16Range(0, 2).Draw(g.T, "level")}
	case 29:
		return &records.RegisterController{ControllerID: rapid.Int32Range(1, 3).Draw(g.T, "id"), IncarnationID: g.id()}
	case 30:
		if g.image.InTransaction() {
			return &records.EndTransaction{}
		}
		return &records.BeginTransaction{}
	case 31:
		if g.image.InTransaction() {
			return &records.AbortTransaction{}
		}
		return &records.NoOp{}
	}
	return nil
}

func (g *generator) drawBroker() records.Record {
	broker := rapid.Int32Range(1, 4).Draw(g.T, "broker")
	b, ok := g.image.Broker(broker)
	if !ok {
		r := &records.RegisterBroker{BrokerID: broker, BrokerEpoch: g.offset, IncarnationID: g.id(), Fenced: true, LogDirs: []records.UUID{{0: 1}}}
		if rapid.Bool().Draw(g.T, "rack") {
			r.Rack = text("r")
		}
		return r
	}
	switch rapid.IntRange(0, 5).Draw(g.T, "change") {
	case 0:
		return &records.UnregisterBroker{BrokerID: broker, BrokerEpoch: b.Epoch}
	case 1:
		return &records.FenceBroker{ID: broker, Epoch: b.Epoch}
	case 2:
		return &records.UnfenceBroker{ID: broker, Epoch: b.Epoch}
	case 3:
		return &records.BrokerRegistrationChange{BrokerID: broker, BrokerEpoch: b.Epoch, Fenced: rapid.Int8Range(-1, 1).Draw(g.T, "fenced")}
	case 4:
		return &records.BrokerRegistrationChange{BrokerID: broker, BrokerEpoch: b.Epoch, InControlledShutdown: 1, LogDirs: g.dirs(2)}
	default:
		return &records.BrokerRegistrationChange{BrokerID: broker, BrokerEpoch: b.Epoch, CordonedLogDirs: g.dirs(rapid.IntRange(0, 1).Draw(g.T, "cordoned"))}
	}
}

func (g *generator) drawTopic(names []string) records.Record {
	name := pick(g, "topic", names)
	t, ok := g.image.TopicByName(name)
	if !ok {
		return &records.Topic{Name: name, TopicID: g.id()}
	}
	if t.NumPartitions() == 0 || rapid.IntRange(0, 3).Draw(g.T, "create") == 0 {
		// In any order, with gaps, and some of them again: so checkpoints may bring them.
		r := &records.Partition{TopicID: t.ID, PartitionID: pick(g, "partition", []int32{0, 1, 2, 3, 31, 32, 70}), Replicas: g.ints("replicas"), Leader: 1}
		r.ISR = r.Replicas
		r.LeaderRecoveryState = rapid.Int8Range(0, 1).Draw(g.T, "recovery")
		r.EligibleLeaderReplicas, r.LastKnownELR = g.maybe("elr"), g.maybe("last known")
		r.AddingReplicas, r.RemovingReplicas = g.maybe("adding"), g.maybe("removing")
		if rapid.Bool().Draw(g.T, "directories") {
			r.Directories = g.dirs(len(r.Replicas))
		}
		return r
	}
	switch rapid.IntRange(0, 12).Draw(g.T, "topic change") {
	case 0:
		return &records.RemoveTopic{TopicID: t.ID}
	case 1:
		return &records.ClearELR{TopicName: pick(g, "cleared", []string{"", name})}
	}
	var have []int32
	for i := range t.Partitions() {
		have = append(have, i)
	}
	r := records.NewPartitionChange(t.ID, pick(g, "partition", have))
	p, _ := t.Partition(r.PartitionID)
	r.ISR = g.maybe("isr")
	if rapid.Bool().Draw(g.T, "replicas?") {
		r.Replicas = g.ints("replicas")
	}
	if rapid.Bool().Draw(g.T, "directories?") {
		n := len(p.Replicas)
		if r.Replicas != nil {
			n = len(r.Replicas)
		}
		r.Directories = g.dirs(n)
	}
	r.AddingReplicas, r.RemovingReplicas = g.maybe("adding"), g.maybe("removing")
	r.EligibleLeaderReplicas, r.LastKnownELR = g.maybe("elr"), g.maybe("last known")
	r.Leader = rapid.Int32Range(-2, 3).Draw(g.T, "leader")
	r.LeaderRecoveryState = rapid.Int8Range(-1, 1).Draw(g.T, "recovery")
	return r
}

// TestImageIsItsDumbTwin replays what makes sense, in any order, on the image and on maps, now and then handing an
// image out; all of these must still say at the end what they said then.
func TestImageIsItsDumbTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type kept struct {
			image *image.Image
			said  []string
		}
		var all []kept
		w := newTwin()
		g := &generator{T: t, image: new(image.Image)}
		// The generator looks at images of its own edit: asking the other for one after every record would hide what
		// goes wrong when nobody does.
		e, generated := g.image.Edit(), g.image.Edit()
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			r := g.next()
			e.Replay(r, g.offset)
			generated.Replay(r, g.offset)
			w.apply(r)
			g.offset++
			switch rapid.IntRange(0, 9).Draw(t, "then") {
			case 0: // go on with another edit
				e = e.Image().Edit()
			case 1:
				all = append(all, kept{e.Image(), lines(e.Image())})
			}
			g.image = generated.Image()
			if g.image.EndOffset() != g.offset {
				t.Fatalf("end offset %d, want %d", g.image.EndOffset(), g.offset)
			}
		}
		if diff := image.Diff(e.Image(), g.image); diff != "" {
			t.Fatalf("differs when an image is taken after every record:\n%s", diff)
		}
		if got, want := lines(e.Image()), w.lines(); !slices.Equal(got, want) {
			t.Fatalf("image:\n%s\ntwin:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, k := range all {
			if now := lines(k.image); !slices.Equal(now, k.said) {
				t.Fatalf("an image changed after it was handed out:\n%s\nwas:\n%s", strings.Join(now, "\n"), strings.Join(k.said, "\n"))
			}
		}
		checkCounts(t, e.Image())
		checkRoundTrip(t, e.Image())
	})
}

// checkCounts compares what is counted and indexed with what is there.
func checkCounts(t *rapid.T, i *image.Image) {
	partitions, topics := 0, 0
	for topic := range i.Topics() {
		topics++
		n := 0
		last := int32(-1)
		for id, p := range topic.Partitions() {
			if got, ok := topic.Partition(id); !ok || got.PartitionEpoch != p.PartitionEpoch || id <= last {
				t.Fatalf("partition %d of %q", id, topic.Name)
			}
			last = id
			n++
		}
		if n != topic.NumPartitions() {
			t.Fatalf("%q has %d partitions and says %d", topic.Name, n, topic.NumPartitions())
		}
		partitions += n
		if same, ok := i.Topic(topic.ID); !ok || same != topic {
			t.Fatalf("topic %q is not found by its id", topic.Name)
		}
		plain := strings.ReplaceAll(topic.Name, ".", "_")
		var want []string
		for other := range i.Topics() {
			if other.Name != topic.Name && strings.ReplaceAll(other.Name, ".", "_") == plain {
				want = append(want, other.Name)
			}
		}
		if got := slices.Collect(i.CollidingTopics(topic.Name)); !slices.Equal(got, want) {
			t.Fatalf("%q collides with %q, want %q", topic.Name, got, want)
		}
	}
	if i.NumPartitions() != partitions || i.NumTopics() != topics {
		t.Fatalf("%d partitions of %d topics, counted %d of %d", i.NumPartitions(), i.NumTopics(), partitions, topics)
	}
	for broker := range int32(7) {
		broker -= 1
		var got, want []string
		i.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
			if p.Leader == broker || p.InISR(broker) || slices.Contains(p.ELR, broker) || slices.Contains(p.LastKnownELR, broker) {
				want = append(want, fmt.Sprint(t.Name, id))
			}
			return true
		})
		i.EachPartitionOf(broker, func(t *image.Topic, id int32, _ *image.Partition) bool {
			got = append(got, fmt.Sprint(t.Name, id))
			return true
		})
		if !slices.Equal(got, want) {
			t.Fatalf("partitions of broker %d: %v, want %v", broker, got, want)
		}
		checkGoingRound(t, i, broker)
	}
	for _, name := range []string{"", "*", "a", "ab", "a.b", "a.bc", "a\x00", "zz"} {
		for _, resource := range []int8{2, 3, 4} {
			want := map[*image.ACL]bool{}
			for a := range i.ACLs() {
				if a.ResourceType == resource && (a.PatternType == image.ACLLiteral && (a.ResourceName == name || a.ResourceName == "*") ||
					a.PatternType == image.ACLPrefixed && strings.HasPrefix(name, a.ResourceName)) {
					want[a] = true
				}
			}
			for a := range i.MatchingACLs(resource, name) {
				if !want[a] {
					t.Fatalf("ACL %+v matches %q, or twice", a, name)
				}
				delete(want, a)
			}
			if len(want) != 0 {
				t.Fatalf("%d ACLs that match %q are missing", len(want), name)
			}
		}
	}
}

// checkGoingRound begins everywhere, between topics and behind their last partitions too.
func checkGoingRound(t *rapid.T, i *image.Image, broker int32) {
	var all []image.Place
	i.EachPartitionOf(broker, func(t *image.Topic, id int32, _ *image.Partition) bool {
		all = append(all, image.Place{Topic: t.Name, Partition: id})
		return true
	})
	places := []image.Place{{}, {Topic: "\xff"}}
	for topic := range i.Topics() {
		for id := range int32(topic.NumPartitions()) + 2 {
			places = append(places, image.Place{Topic: topic.Name, Partition: id}, image.Place{Topic: topic.Name + "\x00", Partition: id})
		}
	}
	for _, from := range places {
		n := slices.IndexFunc(all, func(at image.Place) bool {
			return at.Topic > from.Topic || at.Topic == from.Topic && at.Partition >= from.Partition
		})
		if n < 0 {
			n = 0
		}
		want := slices.Concat(all[n:], all[:n])
		var got []image.Place
		i.EachPartitionOfFrom(from, broker, func(t *image.Topic, id int32, _ *image.Partition) bool {
			got = append(got, image.Place{Topic: t.Name, Partition: id})
			return true
		})
		if !slices.Equal(got, want) {
			t.Fatalf("partitions of broker %d from %+v: %v, want %v", broker, from, got, want)
		}
	}
}

// checkRoundTrip turns the image into records and back.
func checkRoundTrip(t *rapid.T, i *image.Image) {
	back := image.FromRecords(i.EndOffset(), i.Epoch(), i.Timestamp(), i.Records())
	if d := image.Diff(i, back); d != "" && !i.InTransaction() || !i.InTransaction() && !image.Equal(i, back) {
		t.Fatalf("differs after image, records, image:\n%s", d)
	}
	first, second := slices.Collect(i.Records()), slices.Collect(back.Records())
	for n := range first {
		if line(first[n]) != line(second[n]) {
			t.Fatalf("the order of records is not fixed: %T, %T at %d", first[n], second[n], n)
		}
	}
	if back.EndOffset() != i.EndOffset() {
		t.Fatalf("end offset %d, want %d", back.EndOffset(), i.EndOffset())
	}
}

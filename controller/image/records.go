package image

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"yakt/records"
)

// Records iterates over the whole image as records, in one fixed order: that of Kafka's checkpoints, and within a kind
// by name or id. Two images are equal if their records are; replayed onto an empty image they give it again.
// Records hold nothing that the image's metadata.version cannot carry, and share slices with the image: they are for
// reading. What control records say is not among them, see [Image.Control].
func (i *Image) Records() iter.Seq[records.Record] {
	return func(yield func(records.Record) bool) {
		i.named(func(_ identity, r records.Record) bool { return yield(r) })
	}
}

// FromRecords returns the image that records, in the order of [Image.Records] or another that makes sense, describe at
// the given position.
func FromRecords(endOffset int64, epoch int32, timestamp int64, all iter.Seq[records.Record]) *Image {
	e := new(Image).Edit()
	for r := range all {
		e.Replay(r, endOffset-1)
	}
	e.Advance(endOffset, epoch, timestamp)
	return e.Image()
}

// identity says what a record of [Image.Records] is about. Identities grow along the iteration.
type identity struct {
	group  int // place of the kind of record in a checkpoint
	name   string
	number int64
	part   string
}

func (a identity) compare(b identity) int {
	return cmp.Or(
		cmp.Compare(a.group, b.group),
		strings.Compare(a.name, b.name),
		cmp.Compare(a.number, b.number),
		strings.Compare(a.part, b.part),
	)
}

// named calls yield for every record of the image until it returns false.
func (i *Image) named(yield func(identity, records.Record) bool) { i.walk(false, yield) }

// passing is named for whoever is done with a record when yield returns: all partitions, of which there may be millions, use one.
func (i *Image) passing(yield func(identity, records.Record) bool) { i.walk(true, yield) }

func (i *Image) walk(passing bool, yield func(identity, records.Record) bool) {
	finalized := i.MetadataVersion()
	l := carried(finalized)
	groups := []func(group int, put func(identity, records.Record) bool){
		func(g int, put func(identity, records.Record) bool) {
			if finalized != 0 {
				put(identity{group: g}, &records.FeatureLevel{Name: records.FeatureMetadataVersion, Level: int16(finalized)})
			}
		},
		func(g int, put func(identity, records.Record) bool) {
			i.features.scan(func(name string, level int16) bool {
				return name == records.FeatureMetadataVersion ||
					put(identity{group: g, name: name}, &records.FeatureLevel{Name: name, Level: level})
			})
		},
		func(g int, put func(identity, records.Record) bool) {
			i.brokers.scan(func(id int32, b *Broker) bool {
				return put(identity{group: g, number: int64(id)}, b.record(l))
			})
		},
		func(g int, put func(identity, records.Record) bool) {
			if l.HasControllerRegistration() {
				i.controllers.scan(func(id int32, c *Controller) bool {
					return put(identity{group: g, number: int64(id)}, c.record())
				})
			}
		},
		func(g int, put func(identity, records.Record) bool) { i.namedTopics(l, g, passing, put) },
		func(g int, put func(identity, records.Record) bool) { i.namedConfigs(g, put) },
		func(g int, put func(identity, records.Record) bool) {
			i.quotas.scan(func(key string, q *Quota) bool {
				for r := range q.records() {
					if !put(identity{group: g, name: key, part: r.Key}, r) {
						return false
					}
				}
				return true
			})
		},
		func(g int, put func(identity, records.Record) bool) {
			if next := i.producerIDs.next; next > 0 {
				put(identity{group: g}, &records.ProducerIDs{BrokerID: -1, BrokerEpoch: -1, NextProducerID: next})
			}
		},
		func(g int, put func(identity, records.Record) bool) {
			i.acls.byID.scan(func(id string, a *ACL) bool { return put(identity{group: g, name: id}, a.record()) })
		},
		func(g int, put func(identity, records.Record) bool) {
			if l.HasScram() {
				i.scram.scan(func(key string, c *ScramCredential) bool { return put(identity{group: g, name: key}, c.record()) })
			}
		},
		func(g int, put func(identity, records.Record) bool) {
			if l.HasDelegationTokens() {
				i.tokens.scan(func(id string, t *DelegationToken) bool { return put(identity{group: g, name: id}, t.record()) })
			}
		},
	}
	more := true
	put := func(id identity, r records.Record) bool {
		more = yield(id, r)
		return more
	}
	for g, group := range groups {
		if group(g, put); !more {
			return
		}
	}
}

func (i *Image) namedTopics(l records.MetadataVersion, group int, passing bool, put func(identity, records.Record) bool) {
	r := new(records.Partition)
	i.topics.byName.scan(func(name string, t *Topic) bool {
		if !put(identity{group: group, name: name, number: -1}, &records.Topic{Name: name, TopicID: t.ID}) {
			return false
		}
		var v Partition
		return t.each(func(id int32, p *partition) bool {
			p.view(&v)
			if !passing {
				r = new(records.Partition)
			}
			v.record(r, t.ID, id)
			if !l.HasDirectories() {
				r.Directories = noDirs
			}
			if !l.HasELR() {
				r.EligibleLeaderReplicas, r.LastKnownELR = nil, nil
			}
			return put(identity{group: group, name: name, number: int64(id)}, r)
		})
	})
}

func (i *Image) namedConfigs(group int, put func(identity, records.Record) bool) {
	i.configs.scan(func(key string, res *resource) bool {
		for _, e := range res.entries {
			r := &records.Config{ResourceType: int8(key[0]), ResourceName: res.name, Name: e.name, Value: &e.value}
			if !put(identity{group: group, name: key, part: e.name}, r) {
				return false
			}
		}
		return true
	})
}

// Equal says whether the images hold the same records and control records. Positions may differ, and so may what
// records do not tell: registration offsets, blocks of producer ids, the leader.
func Equal(a, b *Image) bool {
	for range differences(a, b) {
		return false
	}
	return true
}

// maxDifferences is enough to see what is wrong.
const maxDifferences = 20

// Diff says what differs between the images, one line for each thing, and "" when they are Equal. When there are many
// differences it names the first. It prints no secrets.
func Diff(a, b *Image) string {
	var text strings.Builder
	n := 0
	for d := range differences(a, b) {
		if n++; n > maxDifferences {
			text.WriteString("and more\n")
			break
		}
		fmt.Fprintf(&text, "%s: %s, %s\n", d.what, describe(d.a), describe(d.b))
	}
	return text.String()
}

// difference is what two images hold of one thing: a record, nil when that image has no such thing, or some text.
type difference struct {
	what string
	a, b any
}

func describe(v any) string {
	if v == nil {
		return "none"
	}
	switch v := v.(type) {
	case *records.UserScramCredential, *records.DelegationToken:
		return redacted
	case *records.Config: // may be a password
		return redacted
	case *records.RegisterBroker:
		rack := "none"
		if v.Rack != nil {
			rack = *v.Rack
		}
		return fmt.Sprintf("rack %s %+v", rack, *v)
	}
	return fmt.Sprintf("%+v", v)
}

func differences(a, b *Image) iter.Seq[difference] {
	return func(yield func(difference) bool) {
		if a == b {
			return
		}
		if a.KRaftVersion() != b.KRaftVersion() && !yield(difference{records.FeatureKRaftVersion, a.KRaftVersion(), b.KRaftVersion()}) {
			return
		}
		if !reflect.DeepEqual(a.Voters(), b.Voters()) && !yield(difference{"voters", a.Voters(), b.Voters()}) {
			return
		}
		if a.InTransaction() != b.InTransaction() && !yield(difference{"in a transaction", a.InTransaction(), b.InTransaction()}) {
			return
		}
		nextA, stopA := iter.Pull2(a.named)
		defer stopA()
		nextB, stopB := iter.Pull2(b.named)
		defer stopB()
		idA, recA, okA := nextA()
		idB, recB, okB := nextB()
		for okA || okB {
			order := 0
			switch {
			case !okB:
				order = -1
			case !okA:
				order = 1
			default:
				order = idA.compare(idB)
			}
			if order != 0 || !sameRecord(recA, recB) {
				var d difference
				if order <= 0 {
					d.a, d.what = recA, what(recA)
				}
				if order >= 0 {
					d.b, d.what = recB, what(recB)
				}
				if !yield(d) {
					return
				}
			}
			if order <= 0 {
				idA, recA, okA = nextA()
			}
			if order >= 0 {
				idB, recB, okB = nextB()
			}
		}
	}
}

// sameRecord compares records of Image.Records. In these a list is nil only where that means something.
func sameRecord(a, b records.Record) bool {
	x, ok := a.(*records.Partition)
	if !ok {
		return reflect.DeepEqual(a, b)
	}
	y, ok := b.(*records.Partition) // there may be millions, and reflection is slow
	return ok && x.PartitionID == y.PartitionID && x.TopicID == y.TopicID &&
		x.Leader == y.Leader && x.LeaderEpoch == y.LeaderEpoch && x.PartitionEpoch == y.PartitionEpoch &&
		x.LeaderRecoveryState == y.LeaderRecoveryState &&
		slices.Equal(x.Replicas, y.Replicas) && slices.Equal(x.ISR, y.ISR) &&
		slices.Equal(x.RemovingReplicas, y.RemovingReplicas) && slices.Equal(x.AddingReplicas, y.AddingReplicas) &&
		slices.Equal(x.Directories, y.Directories) &&
		slices.Equal(x.EligibleLeaderReplicas, y.EligibleLeaderReplicas) && slices.Equal(x.LastKnownELR, y.LastKnownELR)
}

// what names the thing that a record is about.
func what(r records.Record) string {
	switch r := r.(type) {
	case *records.FeatureLevel:
		return "feature " + r.Name
	case *records.RegisterBroker:
		return fmt.Sprintf("broker %d", r.BrokerID)
	case *records.RegisterController:
		return fmt.Sprintf("controller %d", r.ControllerID)
	case *records.Topic:
		return "topic " + r.Name
	case *records.Partition:
		return fmt.Sprintf("partition %d of %v", r.PartitionID, r.TopicID)
	case *records.Config:
		return fmt.Sprintf("config %s of %q (type %d)", r.Name, r.ResourceName, r.ResourceType)
	case *records.ClientQuota:
		return "quota " + r.Key
	case *records.AccessControlEntry:
		return fmt.Sprintf("ACL %v", r.ID)
	case *records.UserScramCredential:
		return fmt.Sprintf("SCRAM credential of %q (mechanism %d)", r.Name, r.Mechanism)
	case *records.DelegationToken:
		return "delegation token " + r.TokenID
	}
	return fmt.Sprintf("%T", r)
}

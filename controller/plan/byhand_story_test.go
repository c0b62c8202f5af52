package plan

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

func init() {
	storyCommands["create-partitions"] = (*story).cmdCreatePartitions
	storyCommands["by-hand"] = (*story).cmdByHand
}

// create-partitions [version=3] [validate-only], then a line for each topic:
// orders count=3 [replicas=1,2/2,1]: CreatePartitions. With replicas each new partition gets its list; replicas= without a value
// names those of no partition.
func (s *story) cmdCreatePartitions(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version = int16(a.number("version", 3))
	req.ValidateOnly = a.has("validate-only")
	for _, l := range lines(d) {
		name, cmdArgs := s.parseLine(d, l)
		p := args{s.tb, &datadriven.TestData{Pos: d.Pos, CmdArgs: cmdArgs}}
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, int32(p.number("count", 0))
		if p.has("replicas") {
			t.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
			if lists := p.text("replicas", ""); lists != "" {
				for _, list := range strings.Split(lists, "/") {
					t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: parseIDs(s.tb, list)})
				}
			}
		}
		req.Topics = append(req.Topics, t)
	}
	r := s.do(func(v *View) Result { return CreatePartitions(v, req) })
	var b strings.Builder
	for _, t := range r.Response.(*kmsg.CreatePartitionsResponse).Topics {
		b.WriteString(line(t.Topic, t.ErrorCode, t.ErrorMessage))
	}
	return b.String() + s.recordLines(r.Records)
}

// by-hand register broker=1 [host=h1] [port=1] [protocol=0] [rack=r]
// by-hand change broker=1 [fenced=true] [shutdown=true] [dirs=a,b|none]
// by-hand unregister broker=1
// by-hand add [topic=orders] [id=orders] [partition=1] [replicas=1,2|none]
// by-hand producer-ids broker=1
func (s *story) cmdByHand(d *datadriven.TestData) string {
	a := args{s.tb, d}
	broker := int32(a.number("broker", 0))
	var f func(*View) (HandAnswer, Result)
	switch what := d.CmdArgs[0].Key; what {
	case "register":
		h := HandRegistration{
			BrokerID: broker, Host: a.text("host", fmt.Sprintf("h%d", broker)), Port: uint16(a.number("port", 1)), SecurityProtocol: int16(a.number("protocol", 0)),
		}
		if a.has("host") {
			h.Host = a.text("host", "")
		}
		if a.has("rack") {
			h.Rack = kmsg.StringPtr(a.text("rack", ""))
		}
		f = func(v *View) (HandAnswer, Result) { return RegisterByHand(v, h) }
	case "change":
		c := RegistrationChange{BrokerID: broker}
		flag := func(name string) *bool {
			if !a.has(name) {
				return nil
			}
			yes := a.text(name, "") == "true"
			return &yes
		}
		c.Fenced, c.InControlledShutdown = flag("fenced"), flag("shutdown")
		if a.has("dirs") {
			c.LogDirs = []records.UUID{}
			for _, name := range a.list("dirs") {
				c.LogDirs = append(c.LogDirs, dirID(name))
			}
		}
		f = func(v *View) (HandAnswer, Result) { return ChangeRegistration(v, c) }
	case "unregister":
		f = func(v *View) (HandAnswer, Result) { return UnregisterByHand(v, broker) }
	case "add":
		p := NewPartition{TopicName: a.text("topic", "")}
		if id := a.text("id", ""); id != "" {
			p.TopicID = incarnation(id)
			if t, ok := s.image.TopicByName(id); ok {
				p.TopicID = t.ID
			}
		}
		if a.has("partition") {
			n := int32(a.number("partition", 0))
			p.PartitionID = &n
		}
		if a.has("replicas") {
			p.Replicas = append([]int32{}, a.ids("replicas")...)
		}
		f = func(v *View) (HandAnswer, Result) { return CreatePartition(v, p) }
	case "producer-ids":
		f = func(v *View) (HandAnswer, Result) { return AllocateProducerIDsFor(v, broker) }
	default:
		d.Fatalf(s.tb, "nobody does %s by hand", what)
	}
	var answer HandAnswer
	r := s.do(func(v *View) (r Result) {
		answer, r = f(v)
		r.Response = nil
		return r
	})
	return s.handAnswer(answer) + s.recordLines(r.Records)
}

// handAnswer is what came of a request by hand: a refusal, or what is not zero.
func (s *story) handAnswer(a HandAnswer) string {
	if a.Refusal != nil {
		return a.Refusal.Error() + "\n"
	}
	out := "done"
	if a.Rest != nil {
		out = "again"
	}
	if a.BrokerEpoch > 0 {
		out += fmt.Sprintf(" epoch=%d", a.BrokerEpoch)
	}
	if a.TopicID != records.ZeroUUID {
		out += fmt.Sprintf(" %s-%d", s.topicName(a.TopicID), a.PartitionID)
	}
	if a.ProducerIDLength > 0 {
		out += fmt.Sprintf(" %d+%d", a.ProducerIDStart, a.ProducerIDLength)
	}
	return out + "\n"
}

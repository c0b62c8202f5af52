package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

func init() {
	storyCommands["create"] = (*story).cmdCreate
	storyCommands["delete"] = (*story).cmdDelete
}

// create [version=7] [validate-only], then a line for each topic:
// orders [partitions=-1] [replication=-1] [replicas=1,2/2,1] [some.config=value] [some.config] [pad=249]: CreateTopics,
// answered with all that the response says; configs with the number of their source, but for those at their default (5). With replicas each partition gets its list, 3:1,2 that of
// partition 3; a config without a value is null; a name may be quoted,
// and is padded with x to the length that pad says.
func (s *story) cmdCreate(d *datadriven.TestData) string {
	a := args{s.tb, d}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = int16(a.number("version", 7))
	req.ValidateOnly = a.has("validate-only")
	for _, l := range lines(d) {
		name, cmdArgs := s.parseLine(d, l)
		p := args{s.tb, &datadriven.TestData{Pos: d.Pos, CmdArgs: cmdArgs}}
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic = name + strings.Repeat("x", max(0, int(p.number("pad", 0))-len(name)))
		t.NumPartitions = int32(p.number("partitions", -1))
		t.ReplicationFactor = int16(p.number("replication", -1))
		if p.has("replicas") {
			for i, list := range strings.Split(p.text("replicas", ""), "/") {
				if at, rest, ok := strings.Cut(list, ":"); ok {
					i, list = int(parseIDs(s.tb, at)[0]), rest
				}
				t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{
					Partition: int32(i), Replicas: parseIDs(s.tb, list),
				})
			}
		}
		for _, c := range cmdArgs {
			if strings.Contains(c.Key, ".") {
				config := kmsg.CreateTopicsRequestTopicConfig{Name: c.Key}
				if len(c.Vals) > 0 {
					config.Value = kmsg.StringPtr(strings.Join(c.Vals, ","))
				}
				t.Configs = append(t.Configs, config)
			}
		}
		req.Topics = append(req.Topics, t)
	}
	r := s.do(func(v *View) Result { return CreateTopics(v, req) })
	resp := r.Response.(*kmsg.CreateTopicsResponse)
	var b strings.Builder
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 {
			b.WriteString(line(strconv.Quote(t.Topic), t.ErrorCode, t.ErrorMessage))
			if t.TopicID != records.ZeroUUID || t.NumPartitions != -1 || t.ReplicationFactor != -1 || t.Configs == nil || len(t.Configs) > 0 {
				fmt.Fprintf(&b, "  and yet: %+v\n", t)
			}
			continue
		}
		fmt.Fprintf(&b, "%q NONE partitions=%d replication=%d", t.Topic, t.NumPartitions, t.ReplicationFactor)
		for _, c := range t.Configs {
			if c.Source != int8(kmsg.ConfigSourceDefaultConfig) {
				fmt.Fprintf(&b, " %s=%s(%d)", c.Name, *c.Value, c.Source)
			}
		}
		if t.TopicID == records.ZeroUUID || req.Version >= 5 && len(t.Configs) < 33 || req.Version < 5 && t.Configs != nil {
			fmt.Fprintf(&b, "\n  and yet: %+v", t)
		}
		b.WriteString("\n")
	}
	return b.String() + s.recordLines(r.Records)
}

// recordLines prints records, partitions with their directories.
func (s *story) recordLines(recs []records.Record) string {
	var b strings.Builder
	for i, r := range recs {
		if i == 12 {
			fmt.Fprintf(&b, "  … %d records, the last: %s\n", len(recs), s.short(recs[len(recs)-1]))
			break
		}
		b.WriteString("  " + s.short(r))
		if p, ok := r.(*records.Partition); ok && p.Directories != nil {
			b.WriteString(" in " + dirs(p.Directories))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// delete [version=6], then a line for each entry: a name, id=orders for the id that the topic has, or both: DeleteTopics.
func (s *story) cmdDelete(d *datadriven.TestData) string {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version = int16(args{s.tb, d}.number("version", 6))
	name := func(id records.UUID) string {
		if id == records.ZeroUUID {
			return ""
		}
		if t, ok := s.image.Topic(id); ok {
			return "id:" + t.Name
		}
		return "id:" + dirs([]records.UUID{id})
	}
	for _, l := range lines(d) {
		topic, id, hasID := strings.Cut(l, "id=")
		t := kmsg.NewDeleteTopicsRequestTopic()
		if topic = strings.TrimSpace(topic); topic != "" && topic != "nothing" {
			t.Topic = &topic
			req.TopicNames = append(req.TopicNames, topic)
		}
		if known, ok := s.image.TopicByName(id); ok {
			t.TopicID = known.ID
		} else if hasID {
			copy(t.TopicID[:], id)
		}
		req.Topics = append(req.Topics, t)
	}
	var b strings.Builder
	s.do(func(v *View) Result {
		b.Reset() // what is deleted has no name once this is replayed
		r := DeleteTopics(v, req)
		for _, t := range r.Response.(*kmsg.DeleteTopicsResponse).Topics {
			out := "-"
			if t.Topic != nil {
				out = *t.Topic
			}
			b.WriteString(line(strings.TrimSpace(out+" "+name(t.TopicID)), t.ErrorCode, t.ErrorMessage))
		}
		b.WriteString(s.recordLines(r.Records))
		return r
	})
	return b.String()
}

func lines(d *datadriven.TestData) []string {
	if d.Input == "" {
		return nil
	}
	return strings.Split(d.Input, "\n")
}

// parseLine reads a name, which may be quoted, and arguments.
func (s *story) parseLine(d *datadriven.TestData, l string) (string, []datadriven.CmdArg) {
	name, rest := "", l
	if quoted, err := strconv.QuotedPrefix(l); err == nil {
		name, _ = strconv.Unquote(quoted)
		rest = "x" + l[len(quoted):]
	}
	cmd, cmdArgs, err := datadriven.ParseLine(rest)
	if err != nil {
		d.Fatalf(s.tb, "%v", err)
	}
	if rest == l {
		name = cmd
	}
	return name, cmdArgs
}

package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"yakt/controller/image"
	"yakt/records"
)

// TestNothingThatBrokersDoLeavesNonsense lets a few brokers come, go, crash and return, in any order. Every operation is
// checked by the story; besides, a partition that can have a leader has one.
func TestNothingThatBrokersDoLeavesNonsense(t *testing.T) {
	levels := []records.MetadataVersion{11, 17, 25, 30, 30}
	rapid.Check(t, func(rt *rapid.T) {
		s := newStory(t)
		level := rapid.SampledFrom(levels).Draw(rt, "level")
		s.reset(level)
		var done []string
		say := func(format string, a ...any) {
			text := fmt.Sprintf(format, a...)
			done = append(done, text)
			command, input, _ := strings.Cut(text, " | ")
			cmd, cmdArgs, err := datadriven.ParseLine(command)
			if err != nil {
				rt.Fatal(err)
			}
			s.run(&datadriven.TestData{Cmd: cmd, CmdArgs: cmdArgs, Input: input})
			if t.Failed() {
				rt.Fatalf("after\n%s", strings.Join(done, "\n"))
			}
		}
		if rapid.Bool().Draw(rt, "unclean") {
			say("config unclean.leader.election.enable=true")
		}
		say("config min.insync.replicas=%d", rapid.IntRange(1, 3).Draw(rt, "min-isr"))
		for id := 1; id <= 4; id++ {
			say("register broker=%d dirs=d%d,e%d", id, id, id)
			say("heartbeat broker=%d", id)
		}
		say("create-topics a replicas=1,2,3/2,3,4/3,4,1/4,1,2")
		say("create-topics b replicas=1/2/3/4")
		for id := int32(1); id <= 4; id++ {
			s.placeSomewhere(id)
		}

		incarnations := 0
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			id := rapid.Int32Range(1, 4).Draw(rt, "broker")
			var epoch int64
			if b, ok := s.image.Broker(id); ok {
				epoch = b.Epoch
			}
			switch rapid.IntRange(0, 11).Draw(rt, "what") {
			case 0, 1, 2:
				say("heartbeat broker=%d", id)
			case 3:
				say("heartbeat broker=%d fence", id)
			case 4:
				say("heartbeat broker=%d stop", id)
			case 5:
				say("expire broker=%d", id)
			case 6:
				incarnations++
				say("silent broker=%d", id)
				say("register broker=%d incarnation=i%d dirs=d%d,e%d previous=%d", id, incarnations, id, id, epoch)
			case 7:
				incarnations++
				say("silent broker=%d", id)
				say("register broker=%d incarnation=i%d dirs=d%d,e%d", id, incarnations, id, id)
			case 8:
				// Of a broker whose last directory failed no record says so: it stops by itself.
				if b, ok := s.image.Broker(id); !ok || len(b.LogDirs) < 2 {
					continue
				}
				say("heartbeat broker=%d offline=%s%d", id, rapid.SampledFrom([]string{"d", "e"}).Draw(rt, "dir"), id)
			case 9:
				say("unregister broker=%d", id)
			default:
				s.shuffleISR(rt, say)
			}
		}
		if r := s.do(ElectLeaderless); len(r.Records) > 0 {
			rt.Fatalf("after\n%s\nthere could have been leaders:\n%s", strings.Join(done, "\n"), s.result(r))
		}
	})
}

// placeSomewhere says for each replica of the broker in which of its directories it lies.
func (s *story) placeSomewhere(broker int32) {
	var recs []records.Record
	s.image.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		if i := slices.Index(p.Replicas, broker); i >= 0 && records.MetadataVersion(s.image.MetadataVersion()).HasDirectories() {
			r := records.NewPartitionChange(t.ID, id)
			r.Directories = slices.Clone(p.Directories)
			r.Directories[i] = dirID(fmt.Sprintf("%c%d", "de"[id%2], broker))
			recs = append(recs, r)
		}
		return true
	})
	s.write(recs...)
}

// shuffleISR lets a leader ask for some ISR with itself in it.
func (s *story) shuffleISR(rt *rapid.T, say func(string, ...any)) {
	var led []string
	s.image.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		if p.HasLeader() {
			led = append(led, fmt.Sprintf("%s-%d", t.Name, id))
		}
		return true
	})
	if len(led) == 0 {
		return
	}
	name := rapid.SampledFrom(led).Draw(rt, "partition")
	t, _ := s.image.TopicByName(name[:1])
	p, _ := t.Partition(int32(name[2] - '0'))
	isr := []int32{p.Leader}
	for _, r := range p.Replicas {
		if r != p.Leader && rapid.Bool().Draw(rt, "in sync") {
			isr = append(isr, r)
		}
	}
	say("alter-partition broker=%d | %s isr=%s", p.Leader, name, ids(isr))
}

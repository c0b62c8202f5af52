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
			switch rapid.IntRange(0, 15).Draw(rt, "what") {
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
			case 10, 11:
				s.moveSomewhere(rt, say)
				say("elect-leaderless") // Kafka leaves unclean elections to the timer here
			case 12:
				say("elect type=%d all", rapid.IntRange(0, 1).Draw(rt, "election"))
			case 13:
				say("assign-dirs broker=%d | a-%d dir=%s%d", id, rapid.IntRange(0, 3).Draw(rt, "partition"),
					rapid.SampledFrom([]string{"d", "e", "gone"}).Draw(rt, "dir"), id)
				say("elect-leaderless") // a failed replica may have come to a directory that works
			default:
				s.shuffleISR(rt, say)
			}
		}
		// It may still end a reassignment of a partition that has no leader.
		if r := s.do(ElectLeaderless); slices.ContainsFunc(r.Records, func(r records.Record) bool { return r.(*records.PartitionChange).Leader >= 0 }) {
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

// moveSomewhere begins reassignments of one partition or calls them off, sometimes two in one request.
func (s *story) moveSomewhere(rt *rapid.T, say func(string, ...any)) {
	partition := rapid.SampledFrom([]string{"a-0", "a-1", "a-2", "b-0", "b-1"}).Draw(rt, "partition")
	var input []string
	for range rapid.IntRange(1, 2).Draw(rt, "times") {
		how := "cancel"
		if rapid.IntRange(0, 3).Draw(rt, "cancel") > 0 {
			all := rapid.Permutation([]int32{1, 2, 3, 4}).Draw(rt, "replicas")
			how = "replicas=" + ids(all[:rapid.IntRange(1, 4).Draw(rt, "factor")])
		}
		input = append(input, partition+" "+how)
	}
	say("alter-reassignments | %s", strings.Join(input, "\n"))
}

package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// What Apache Kafka 4.3.0's controller answered and wrote, taken down from a recording of it: brokers b0, b1, b2 of the
// recording are 1, 2, 3 here. Unlike in the stories nothing here may be regenerated: if it differs, the plan is wrong.
// Versions and the fields that are present are compared, too; lists that are empty but present read "none".
var goldenScenarios = []struct {
	name     string
	before   string // commands that the recording does not compare
	commands string // commands, each followed by "→" and the answer
	records  string
}{
	{
		name:   "fence-last-in-sync-replica",
		before: "brokers 1\ncreate-topics a replicas=1",
		commands: `
			heartbeat broker=1 fence → NONE caught-up fenced
			heartbeat broker=1 → NONE caught-up`,
		records: `
			v2 PartitionChange(a-0 leader=-1 isr=none elr=1 last-known-elr=1)
			v0 BrokerRegistrationChange(1 fenced)
			v0 BrokerRegistrationChange(1 unfenced)
			v2 PartitionChange(a-0 leader=1 isr=1 elr=none last-known-elr=none)`,
	},
	{
		name:   "fence-moves-leaders",
		before: "brokers 1..3\ncreate-topics a replicas=1,2,3/2,1,3/3,2,1",
		commands: `
			heartbeat broker=1 fence → NONE caught-up fenced
			heartbeat broker=1 → NONE caught-up`,
		records: `
			v2 PartitionChange(a-0 leader=2 isr=2,3)
			v2 PartitionChange(a-1 isr=2,3)
			v2 PartitionChange(a-2 isr=3,2)
			v0 BrokerRegistrationChange(1 fenced)
			v0 BrokerRegistrationChange(1 unfenced)`,
	},
	{
		name:   "shutdown-moves-leaders",
		before: "brokers 1..3\ncreate-topics a replicas=1,2,3/1,2,3/2,3,1",
		commands: `
			heartbeat broker=1 stop → NONE caught-up
			heartbeat broker=2 → NONE caught-up
			heartbeat broker=3 → NONE caught-up
			heartbeat broker=1 stop → NONE caught-up fenced may-stop
			heartbeat broker=1 stop → NONE caught-up fenced may-stop`,
		records: `
			v1 BrokerRegistrationChange(1 in-controlled-shutdown)
			v2 PartitionChange(a-0 leader=2 isr=2,3)
			v2 PartitionChange(a-1 leader=2 isr=2,3)
			v2 PartitionChange(a-2 isr=2,3)
			v0 BrokerRegistrationChange(1 fenced)
			v0 BrokerRegistrationChange(1 fenced)`,
	},
	{
		name:   "shutdown-cancelled",
		before: "brokers 1..2\ncreate-topics a replicas=1,2",
		commands: `
			heartbeat broker=1 stop → NONE caught-up
			heartbeat broker=1 → NONE caught-up
			heartbeat broker=1 fence → NONE caught-up`,
		records: `
			v1 BrokerRegistrationChange(1 in-controlled-shutdown)
			v2 PartitionChange(a-0 leader=2 isr=2)`,
	},
	{
		name:   "shutdown-only-replica",
		before: "brokers 1\ncreate-topics a replicas=1",
		commands: `
			heartbeat broker=1 stop → NONE caught-up
			heartbeat broker=1 stop → NONE caught-up fenced may-stop`,
		records: `
			v1 BrokerRegistrationChange(1 in-controlled-shutdown)
			v2 PartitionChange(a-0 leader=-1 isr=none elr=1 last-known-elr=1)
			v0 BrokerRegistrationChange(1 fenced)`,
	},
	{
		name:     "unregister-leader",
		before:   "brokers 1..2\ncreate-topics a replicas=1,2/2,1\ncreate-topics b replicas=1",
		commands: `unregister broker=1 → NONE`,
		records: `
			v2 PartitionChange(a-0 leader=2 isr=2)
			v2 PartitionChange(a-1 isr=2)
			v2 PartitionChange(b-0 leader=-1 isr=none elr=1 last-known-elr=1)
			v0 UnregisterBroker(1 epoch=9)`,
	},
	{
		name:   "cordoned-dirs",
		before: "register broker=1 dirs=d,e\nheartbeat broker=1",
		commands: `
			heartbeat broker=1 cordoned=e → NONE caught-up
			heartbeat broker=1 cordoned=e → NONE caught-up
			heartbeat broker=1 → NONE caught-up
			heartbeat broker=1 cordoned=none → NONE caught-up`,
		records: `
			v3 BrokerRegistrationChange(1 cordoned=e)
			v3 BrokerRegistrationChange(1 cordoned=none)`,
	},
	{
		name:   "offline-dirs",
		before: "register broker=1 dirs=d,e\nheartbeat broker=1",
		commands: `
			heartbeat broker=1 offline=e → NONE caught-up
			heartbeat broker=1 offline=e → NONE caught-up
			heartbeat broker=1 → NONE caught-up`,
		records: `v2 BrokerRegistrationChange(1 dirs=d)`,
	},
	{
		name:   "elr-elected-when-isr-gone",
		before: "brokers 1..3\ncreate-topics a replicas=1,2,3 min.insync.replicas=2",
		commands: `
			heartbeat broker=3 fence → NONE caught-up fenced
			heartbeat broker=2 fence → NONE caught-up fenced
			heartbeat broker=1 fence → NONE caught-up fenced
			heartbeat broker=2 → NONE caught-up`,
		records: `
			v2 PartitionChange(a-0 isr=1,2)
			v0 BrokerRegistrationChange(3 fenced)
			v2 PartitionChange(a-0 isr=1 elr=2)
			v0 BrokerRegistrationChange(2 fenced)
			v2 PartitionChange(a-0 leader=-1 isr=none elr=1,2 last-known-elr=1)
			v0 BrokerRegistrationChange(1 fenced)
			v0 BrokerRegistrationChange(2 unfenced)
			v2 PartitionChange(a-0 leader=2 isr=2 elr=1 last-known-elr=none)`,
	},
	{
		name:   "unclean-config-on-topic",
		before: "brokers 1..2\ncreate-topics a replicas=1,2 unclean.leader.election.enable=true",
		commands: `
			heartbeat broker=2 fence → NONE caught-up fenced
			heartbeat broker=1 fence → NONE caught-up fenced
			heartbeat broker=2 → NONE caught-up`,
		records: `
			v2 PartitionChange(a-0 isr=1)
			v0 BrokerRegistrationChange(2 fenced)
			v2 PartitionChange(a-0 leader=-1 isr=none elr=1 last-known-elr=1)
			v0 BrokerRegistrationChange(1 fenced)
			v0 BrokerRegistrationChange(2 unfenced)
			v2 PartitionChange(a-0 leader=2 isr=2 elr=none last-known-elr=none recovering)`,
	},
	{
		name:   "elr-below-min-isr",
		before: "brokers 1..3\ncreate-topics a replicas=1,2,3 min.insync.replicas=2",
		commands: `
			alter-partition broker=1 | a-0 isr=1,2 → NONE a-0 NONE leader=1/0 isr=1,2 epoch=1
			alter-partition broker=1 | a-0 isr=1 → NONE a-0 NONE leader=1/0 isr=1 epoch=2
			alter-partition broker=1 | a-0 isr=1,2 → NONE a-0 NONE leader=1/0 isr=1,2 epoch=3`,
		records: `
			v2 PartitionChange(a-0 isr=1,2)
			v2 PartitionChange(a-0 isr=1 elr=2)
			v2 PartitionChange(a-0 isr=1,2 elr=none)`,
	},
	{
		name:     "completes-reassignment",
		before:   "brokers 1..3\ncreate-topics a replicas=1,2\nreassign topic=a partition=0 replicas=1,3,2 adding=3 removing=2 dirs=d1,d3,d2",
		commands: `alter-partition broker=1 | a-0 isr=1,2,3 → NONE a-0 NONE leader=1/1 isr=1,3 epoch=2`,
		records:  `v2 PartitionChange(a-0 leader=1 isr=1,3 replicas=1,3 adding=none removing=none dirs=d1,d3)`,
	},
	{
		name:   "two-brokers",
		before: "brokers 1..2",
		commands: `
			alloc-producer-ids broker=1 → NONE 0+1000
			alloc-producer-ids broker=2 → NONE 1000+1000
			alloc-producer-ids broker=1 → NONE 2000+1000`,
		records: `
			v0 ProducerIDs(1 next=1000)
			v0 ProducerIDs(2 next=2000)
			v0 ProducerIDs(1 next=3000)`,
	},
}

func TestWhatApacheAnswersAndWrites(t *testing.T) {
	for _, g := range goldenScenarios {
		t.Run(g.name, func(t *testing.T) {
			s := newStory(t)
			say := func(command string) string {
				command, input, _ := strings.Cut(command, " | ")
				cmd, cmdArgs, err := datadriven.ParseLine(command)
				if err != nil {
					t.Fatal(err)
				}
				return s.run(&datadriven.TestData{Cmd: cmd, CmdArgs: cmdArgs, Input: input})
			}
			for _, l := range trimmedLines(g.before) {
				say(l)
			}
			s.written = nil
			for _, l := range trimmedLines(g.commands) {
				command, want, _ := strings.Cut(l, " → ")
				// Records come after the answer, each in a line that begins with two spaces.
				got, _, _ := strings.Cut(say(command), "\n  ")
				if got = strings.Join(strings.Fields(got), " "); got != want {
					t.Errorf("%s\ngot  %s\nwant %s", command, got, want)
				}
			}
			if want := trimmedLines(g.records); !slices.Equal(s.written, want) {
				t.Errorf("wrote\n%s\nwant\n%s", strings.Join(s.written, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func trimmedLines(text string) (out []string) {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

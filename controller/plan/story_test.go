package plan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// story is one controller's life in a test: every operation is planned, checked against what must always hold, and
// replayed, as the writer does it, but one at a time and with a clock that moves only when told to.
type story struct {
	tb       testing.TB
	image    *image.Image
	now      time.Time
	seed     uint64
	settings Settings
	sessions *storySessions
	written  []string // the records so far: version and short form

	commands map[string]func(*story, *datadriven.TestData) string
}

// storySessions is the writer's soft state, without a clock: a broker is alive from its first heartbeat until it is
// said to be silent.
type storySessions struct {
	alive    map[int32]int64 // id → epoch
	offsets  map[int32]int64
	shutdown map[int32]int64
}

func newStorySessions() *storySessions {
	return &storySessions{alive: map[int32]int64{}, offsets: map[int32]int64{}, shutdown: map[int32]int64{}}
}

func (s *storySessions) is(id int32, epoch int64) bool {
	e, ok := s.alive[id]
	return ok && e == epoch
}

func (s *storySessions) Alive(id int32, epoch int64, _ time.Time) bool { return s.is(id, epoch) }

func (s *storySessions) MetadataOffset(id int32, epoch int64) int64 {
	if o, ok := s.offsets[id]; ok && s.is(id, epoch) {
		return o
	}
	return -1
}

func (s *storySessions) ShutdownOffset(id int32, epoch int64) (int64, bool) {
	o, ok := s.shutdown[id]
	return o, ok && s.is(id, epoch)
}

func (s *storySessions) forget(id int32) {
	delete(s.alive, id)
	delete(s.offsets, id)
	delete(s.shutdown, id)
}

// touch is what the writer does before it plans a heartbeat.
func (s *storySessions) touch(id int32, epoch int64) {
	if e, ok := s.alive[id]; !ok || e != epoch {
		s.forget(id)
	}
	s.alive[id] = epoch
}

func (s *storySessions) change(c *SessionChange, end int64) {
	if !s.is(c.BrokerID, c.Epoch) {
		return
	}
	if c.MetadataOffset >= 0 {
		s.offsets[c.BrokerID] = c.MetadataOffset
	}
	if c.BeginShutdown {
		s.shutdown[c.BrokerID] = end
	}
	if c.EndShutdown {
		delete(s.shutdown, c.BrokerID)
	}
	if c.End {
		s.forget(c.BrokerID)
	}
}

const storyCluster = "story-cluster"

// newStory begins with a cluster that was just formatted, at the latest metadata.version.
func newStory(tb testing.TB) *story {
	s := &story{tb: tb, commands: storyCommands}
	s.reset(records.LatestMetadataVersion)
	return s
}

// reset begins anew with a cluster at this metadata.version.
func (s *story) reset(level records.MetadataVersion) {
	s.image, s.now, s.seed, s.sessions = &image.Image{}, time.UnixMilli(1_700_000_000_000), 1, newStorySessions()
	s.settings = Settings{
		ClusterID:                storyCluster,
		ControllerIDs:            func(id int32) bool { return id >= 3000 && id < 3003 },
		SessionTimeout:           9 * time.Second,
		NumPartitions:            1,
		DefaultReplicationFactor: 1,
		MinISR:                   1,
		MetadataVersion:          level,
		Properties:               map[string]string{},
	}
	s.do(Activation)
}

// view is what the next operation sees.
func (s *story) view() *View {
	return &View{
		Image: s.image, Now: s.now, NextOffset: s.image.EndOffset(), Sessions: s.sessions,
		Rand: rand.New(rand.NewPCG(s.seed, 1)), Settings: &s.settings,
	}
}

// do plans an operation twice, since a plan must not depend on anything but its view, and replays what it decided.
func (s *story) do(plan func(*View) Result) Result {
	s.tb.Helper()
	before := s.image
	r, again := plan(s.view()), plan(s.view())
	if len(r.Records) != len(again.Records) || len(r.Records) < 100 && !reflect.DeepEqual(r, again) {
		s.tb.Fatalf("the same view was planned in two ways:\n%s\n%s", s.result(r), s.result(again))
	}
	if s.image != before {
		s.tb.Fatal("a plan moved the image")
	}
	s.seed++
	s.write(r.Records...)
	if r.Session != nil {
		s.sessions.change(r.Session, s.image.EndOffset())
	}
	return r
}

// write replays records, after making sure that the log could hold them.
func (s *story) write(recs ...records.Record) {
	s.tb.Helper()
	limit := MaxRecords
	if n := len(recs); n > 0 && recs[n-1].APIKey() == records.KeyUnregisterBroker {
		limit = MaxWhole
	}
	if len(recs) > limit {
		s.tb.Fatalf("%d records in one operation", len(recs))
	}
	level := records.MetadataVersion(s.image.MetadataVersion())
	edit := s.image.Edit()
	for i, r := range recs {
		if i >= 1000 && i < len(recs)-10 {
			edit.Replay(r, s.image.EndOffset()+int64(i)) // more of the same
			continue
		}
		if f, ok := r.(*records.FeatureLevel); ok && f.Name == records.FeatureMetadataVersion {
			level = records.MetadataVersion(f.Level)
		}
		version := records.VersionOf(r, level)
		value, err := records.AppendRecord(nil, r, version)
		if err != nil {
			s.tb.Fatalf("a record that cannot be written: %s: %v", s.short(r), err)
		}
		back, _, err := records.ReadRecordStrict(value)
		if err != nil {
			s.tb.Fatalf("a record that cannot be read: %s: %v", s.short(r), err)
		}
		if value2, err := records.AppendRecord(nil, back, version); err != nil || !bytes.Equal(value, value2) {
			s.tb.Fatalf("a record that changes when read: %s: %v", s.short(r), err)
		}
		s.written = append(s.written, fmt.Sprintf("v%d %s", version, s.short(r)))
		edit.Replay(back, s.image.EndOffset()+int64(i))
	}
	s.image = edit.Image()
	if len(recs) < 1000 {
		s.checkInvariants()
	}
}

// checkInvariants says what must hold after every operation.
func (s *story) checkInvariants() {
	s.tb.Helper()
	elr := s.image.ELREnabled()
	s.image.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		bad := func(format string, a ...any) {
			s.tb.Errorf("%s-%d %s: %s", t.Name, id, partitionText(p), fmt.Sprintf(format, a...))
		}
		if p.HasLeader() {
			b, ok := s.image.Broker(p.Leader)
			switch {
			case !p.InISR(p.Leader):
				bad("the leader is not in the ISR")
			case !ok:
				bad("the leader is not registered")
			case b.Fenced:
				bad("the leader is fenced")
			}
		}
		for i, r := range p.ISR {
			if !p.HasReplica(r) || slices.Contains(p.ISR[:i], r) {
				bad("a wrong ISR")
			}
			if slices.Contains(p.ELR, r) {
				bad("a member of the ISR in the ELR")
			}
		}
		if len(p.ISR) == 0 && (!elr || p.HasLeader()) {
			bad("an empty ISR")
		}
		for i, r := range p.ELR {
			if !p.HasReplica(r) || slices.Contains(p.ELR[:i], r) {
				bad("a wrong ELR")
			}
		}
		if len(p.Directories) != len(p.Replicas) {
			bad("%d directories", len(p.Directories))
		}
		return true
	})
}

// run answers one command of a story file.
func (s *story) run(d *datadriven.TestData) string {
	f, ok := s.commands[d.Cmd]
	if !ok {
		d.Fatalf(s.tb, "unknown command %s", d.Cmd)
	}
	return f(s, d)
}

// result is what an operation did, for people: the answer, then a line for each record.
func (s *story) result(r Result) string {
	var b strings.Builder
	if a := s.answer(r); a != "" {
		b.WriteString(a + "\n")
	}
	for i, rec := range r.Records {
		if i == 20 {
			fmt.Fprintf(&b, "  … %d records, the last: %s\n", len(r.Records), s.short(r.Records[len(r.Records)-1]))
			break
		}
		b.WriteString("  " + s.short(rec) + "\n")
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// answer is the response in short.
func (s *story) answer(r Result) string {
	var out string
	switch a := r.Response.(type) {
	case nil:
	case *kmsg.BrokerRegistrationResponse:
		out = fmt.Sprintf("%s epoch=%d", code(a.ErrorCode), a.BrokerEpoch)
	case *kmsg.BrokerHeartbeatResponse:
		out = code(a.ErrorCode)
		for _, f := range []struct {
			on   bool
			name string
		}{{a.IsCaughtUp, "caught-up"}, {a.IsFenced, "fenced"}, {a.ShouldShutdown, "may-stop"}} {
			if f.on {
				out += " " + f.name
			}
		}
	case *kmsg.UnregisterBrokerResponse:
		out = code(a.ErrorCode)
	case *kmsg.ControllerRegistrationResponse:
		out = code(a.ErrorCode)
	case *kmsg.AllocateProducerIDsResponse:
		out = fmt.Sprintf("%s %d+%d", code(a.ErrorCode), a.ProducerIDStart, a.ProducerIDLen)
	case *kmsg.AlterPartitionResponse:
		out = code(a.ErrorCode)
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				out += fmt.Sprintf("\n%s-%d %s", s.topicName(t.TopidID), p.Partition, code(p.ErrorCode))
				if p.ErrorCode == 0 {
					out += fmt.Sprintf(" leader=%d/%d isr=%s epoch=%d", p.LeaderID, p.LeaderEpoch, ids(p.ISR), p.PartitionEpoch)
					if p.LeaderRecoveryState != 0 {
						out += " recovering"
					}
				}
			}
		}
	case *kmsg.CreateTopicsResponse:
		for _, t := range a.Topics {
			out += line(t.Topic, t.ErrorCode, t.ErrorMessage)
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range a.Topics {
			name := ""
			if t.Topic != nil {
				name = *t.Topic
			}
			out += line(name, t.ErrorCode, t.ErrorMessage)
		}
	default:
		out = fmt.Sprintf("%T", a)
	}
	out = strings.TrimRight(out, "\n")
	if r.Refusal != nil {
		out += "\n" + r.Refusal.Message
	}
	return out
}

func line(name string, errorCode int16, message *string) string {
	out := name + " " + code(errorCode)
	if message != nil && *message != "" {
		out += ": " + *message
	}
	return out + "\n"
}

func code(c int16) string {
	if c == 0 {
		return "NONE"
	}
	return kerr.TypedErrorForCode(c).Message
}

func (s *story) topicName(id records.UUID) string {
	if t, ok := s.image.Topic(id); ok {
		return t.Name
	}
	return id.String()
}

// short is a record in one line: what it is about and what it changes.
func (s *story) short(r records.Record) string {
	switch r := r.(type) {
	case *records.RegisterBroker:
		out := fmt.Sprintf("RegisterBroker(%d epoch=%d", r.BrokerID, r.BrokerEpoch)
		if r.Fenced {
			out += " fenced"
		}
		if r.InControlledShutdown {
			out += " in-controlled-shutdown"
		}
		if r.Rack != nil {
			out += " rack=" + *r.Rack
		}
		return out + " dirs=" + dirs(r.LogDirs) + ")"
	case *records.RegisterController:
		return controllerText(r)
	case *records.UnregisterBroker:
		return fmt.Sprintf("UnregisterBroker(%d epoch=%d)", r.BrokerID, r.BrokerEpoch)
	case *records.BrokerRegistrationChange:
		out := fmt.Sprintf("BrokerRegistrationChange(%d", r.BrokerID)
		switch r.Fenced {
		case 1:
			out += " fenced"
		case -1:
			out += " unfenced"
		}
		if r.InControlledShutdown != 0 {
			out += " in-controlled-shutdown"
		}
		if r.LogDirs != nil {
			out += " dirs=" + dirs(r.LogDirs)
		}
		if r.CordonedLogDirs != nil {
			out += " cordoned=" + dirs(r.CordonedLogDirs)
		}
		return out + ")"
	case *records.Topic:
		return "Topic(" + r.Name + ")"
	case *records.RemoveTopic:
		return "RemoveTopic(" + s.topicName(r.TopicID) + ")"
	case *records.Partition:
		return fmt.Sprintf("Partition(%d replicas=%s leader=%d isr=%s)", r.PartitionID, ids(r.Replicas), r.Leader, ids(r.ISR))
	case *records.PartitionChange:
		out := fmt.Sprintf("PartitionChange(%s-%d", s.topicName(r.TopicID), r.PartitionID)
		if r.Leader != records.LeaderUnchanged {
			out += fmt.Sprintf(" leader=%d", r.Leader)
		}
		for _, l := range []struct {
			name string
			ids  []int32
		}{{"isr", r.ISR}, {"elr", r.EligibleLeaderReplicas}, {"last-known-elr", r.LastKnownELR}, {"replicas", r.Replicas}, {"adding", r.AddingReplicas}, {"removing", r.RemovingReplicas}} {
			if l.ids != nil {
				out += " " + l.name + "=" + ids(l.ids)
			}
		}
		switch r.LeaderRecoveryState {
		case 0:
			out += " recovered"
		case 1:
			out += " recovering"
		}
		if r.Directories != nil {
			out += " dirs=" + dirs(r.Directories)
		}
		return out + ")"
	case *records.Config:
		value := "nothing"
		if r.Value != nil {
			value = *r.Value
		}
		return fmt.Sprintf("Config(%d %q %s=%s)", r.ResourceType, r.ResourceName, r.Name, value)
	case *records.FeatureLevel:
		return fmt.Sprintf("FeatureLevel(%s %d)", r.Name, r.Level)
	case *records.ClearELR:
		return "ClearELR(" + r.TopicName + ")"
	case *records.ProducerIDs:
		return fmt.Sprintf("ProducerIDs(%d next=%d)", r.BrokerID, r.NextProducerID)
	case *records.BeginTransaction:
		return fmt.Sprintf("BeginTransaction(%s)", *r.Name)
	case *records.EndTransaction:
		return "EndTransaction()"
	}
	return fmt.Sprintf("%T%+v", r, r)
}

func ids(list []int32) string {
	if len(list) == 0 {
		return "none"
	}
	var out []string
	for _, id := range list {
		out = append(out, strconv.Itoa(int(id)))
	}
	return strings.Join(out, ",")
}

// dirID is the id of the directory that stories call by this name.
func dirID(name string) (id records.UUID) {
	switch name {
	case "MIGRATING":
		return records.DirectoryMigrating
	case "UNASSIGNED":
		return records.DirectoryUnassigned
	case "LOST":
		return records.DirectoryLost
	}
	copy(id[:], name)
	return id
}

func dirs(list []records.UUID) string {
	if len(list) == 0 {
		return "none"
	}
	var out []string
	for _, id := range list {
		switch id {
		case records.DirectoryMigrating:
			out = append(out, "MIGRATING")
		case records.DirectoryUnassigned:
			out = append(out, "UNASSIGNED")
		case records.DirectoryLost:
			out = append(out, "LOST")
		default:
			out = append(out, strings.TrimRight(string(id[:]), "\x00"))
		}
	}
	return strings.Join(out, ",")
}

func partitionText(p *image.Partition) string {
	out := fmt.Sprintf("replicas=%s leader=%d/%d isr=%s epoch=%d", ids(p.Replicas), p.Leader, p.LeaderEpoch, ids(p.ISR), p.PartitionEpoch)
	for _, l := range []struct {
		name string
		ids  []int32
	}{{"elr", p.ELR}, {"last-known-elr", p.LastKnownELR}, {"adding", p.Adding}, {"removing", p.Removing}} {
		if len(l.ids) > 0 {
			out += " " + l.name + "=" + ids(l.ids)
		}
	}
	if p.RecoveryState == image.Recovering {
		out += " recovering"
	}
	return out
}

// args are a command's arguments by name; stories read them with defaults.
type args struct {
	tb testing.TB
	d  *datadriven.TestData
}

func (a args) has(name string) bool { return a.d.HasArg(name) }

func (a args) text(name, otherwise string) string {
	for _, arg := range a.d.CmdArgs {
		if arg.Key == name && len(arg.Vals) > 0 {
			return strings.Join(arg.Vals, ",")
		}
	}
	return otherwise
}

func (a args) number(name string, otherwise int64) int64 {
	text := a.text(name, "")
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		a.d.Fatalf(a.tb, "%s: %v", name, err)
	}
	return n
}

func (a args) list(name string) []string {
	text := a.text(name, "")
	if text == "" || text == "none" {
		return nil
	}
	return strings.Split(text, ",")
}

func (a args) ids(name string) []int32 {
	return parseIDs(a.tb, a.text(name, ""))
}

func parseIDs(tb testing.TB, text string) []int32 {
	tb.Helper()
	if text == "" || text == "none" {
		return nil
	}
	var out []int32
	for _, s := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(s, "..")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil {
			tb.Fatalf("%q is no list of ids", text)
		}
		for id := first; id <= last; id++ {
			out = append(out, int32(id))
		}
	}
	return out
}

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := newStory(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.tb = t
			return s.run(d)
		})
	})
}

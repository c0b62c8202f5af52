package apache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"yakt/integration/harness"
)

// arrival is how long what one tool did may take to show in what the next one says.
const arrival = 20 * time.Second

// TestToolsSayWhatTheySayOfApachesController runs the same tools against a cluster with Apache's controller, through a
// broker of YAKt's, and bootstrapped from YAKt itself. What they say has to be the same, but for what is nobody's business
// (ids, ports, times) and for the exceptions that the script names.
func TestToolsSayWhatTheySayOfApachesController(t *testing.T) {
	tools := OpenToolbox(t)
	var said [2][]string
	t.Run("Apache", func(t *testing.T) {
		id := "AAAAAAAAQACAAAAAAAAAAA"
		c := startCluster(t, tools, id, StartController(t, tools, id), nil)
		apache := &way{name: "Apache", cluster: c, broker: c.brokers[0].Addr}
		said[0] = apache.play(t, tools, bothBrokersUp, nil)
		c.brokers[1].Stop(t)
		said[1] = apache.play(t, tools, oneBrokerDown, nil)
	})
	if t.Failed() {
		return
	}
	y := harness.StartYakt(t)
	c := startCluster(t, tools, y.ClusterID, y.Addr, y)
	ways := []*way{
		{name: throughBroker, cluster: c, broker: c.brokers[0].Addr},
		{name: throughYakt, cluster: c, broker: y.Addr},
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { w.play(t, tools, bothBrokersUp, said[0]) })
	}
	t.Run("Clients", func(t *testing.T) { clients(t, y, c.brokers[0]) })
	c.brokers[1].Stop(t)
	for _, w := range ways {
		t.Run(w.name+"WithABrokerDown", func(t *testing.T) { w.play(t, tools, oneBrokerDown, said[1]) })
	}
}

// Names of the two ways to YAKt.
const (
	throughBroker = "ThroughABroker"
	throughYakt   = "ThroughYAKt"
)

// cluster is one controller, YAKt or Apache's, with two brokers.
type cluster struct {
	id, controller string
	brokers        []*Broker
}

// startCluster starts brokers 101 and 102 for a controller that is up, and waits until both serve.
func startCluster(t *testing.T, tools *Toolbox, id, controller string, yakt *harness.Yakt) *cluster {
	t.Helper()
	c := &cluster{id: id, controller: controller}
	for _, broker := range []int32{101, 102} {
		b := newBroker(t, Current, broker, "controller.quorum.bootstrap.servers="+controller,
			"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1", "share.coordinator.state.topic.num.partitions=5")
		b.yakt = yakt
		tools.MustRun(t, storageTool, "format", "-t", id, "-c", b.file)
		b.Start(t)
		c.brokers = append(c.brokers, b)
	}
	for _, b := range c.brokers {
		b.WaitServing(t)
	}
	return c
}

// way is a cluster and the address that the tools are given as --bootstrap-server.
type way struct {
	name    string
	cluster *cluster
	broker  string
}

// play runs the script and returns what each step said, or compares that with what was said before.
func (w *way) play(t *testing.T, tools *Toolbox, script []step, before []string) []string {
	t.Helper()
	files := w.writeFiles(t)
	began := time.Now()
	said := make([]string, len(script))
	for i, s := range script {
		words := strings.Fields(strings.NewReplacer(
			"@broker", "--bootstrap-server "+w.broker, "@controller", "--bootstrap-controller "+w.cluster.controller, "@files", files,
		).Replace(s.run))
		class, ok := toolClasses[words[0]]
		if !ok {
			t.Fatalf("there is no class for %s", words[0])
		}
		last := "" // what a tool reads from Apache's cluster is taken for true when it is told twice: a broker learns of a change a moment later
		err := harness.Poll(arrival, func() error {
			ran := tools.Run(t, class, words[1:]...)
			said[i] = w.normalise(s, fmt.Sprintf("%s%sstatus %d", ran.Out, ran.Err, ran.Status))
			var err error
			if before == nil {
				err = s.settled(said[i])
				if was := last; err == nil && s.onlyReads() && was != said[i] {
					last, err = said[i], fmt.Errorf("it said before:\n%s", was)
				}
			} else {
				err = s.compare(w.name, before[i], said[i])
			}
			if err != nil && !s.onlyReads() {
				t.Errorf("%s: %v", s.run, err)
				return nil
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", s.run, err)
		}
	}
	t.Logf("%d tools took %v", len(script), time.Since(began).Round(time.Millisecond))
	return said
}

// writeFiles writes what the script's tools read.
func (w *way) writeFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range toolFiles {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// step is one run of a tool, and what is asked of it.
type step struct {
	run      string     // as it is typed; @broker and @controller are the options that say where to connect, @files a directory
	until    string     // what the answer contains once everything before has arrived
	gone     string     // what it does not contain any more then
	forget   string     // expression for what differs from run to run
	sorted   bool       // the order of the lines means nothing
	shuffled bool       // the order of the brokers means nothing: it is that of a hash of their ports
	except   exceptions // where YAKt differs
}

// exceptions are the differences that are known, by way.
type exceptions map[string]exception

// exception is one known difference and its reason. Once it is gone it has to go from the script.
type exception struct {
	why     string
	adds    string // expression for what is said in addition
	instead string // what is said instead
}

var reading = regexp.MustCompile(`--describe|--list|--verify|cluster-id|list-endpoints|get-offsets|api-versions| describe| list`)

// onlyReads says whether the step may be repeated.
func (s step) onlyReads() bool { return reading.MatchString(s.run) }

// settled says whether this is what the script waits for.
func (s step) settled(said string) error {
	if !strings.Contains(said, s.until) {
		return fmt.Errorf("%q is not in\n%s", s.until, said)
	}
	if s.gone != "" && strings.Contains(said, s.gone) {
		return fmt.Errorf("%q is in\n%s", s.gone, said)
	}
	return nil
}

// compare says in what an answer differs from what Apache's controller had the tool say.
func (s step) compare(way, want, got string) error {
	e, known := s.except[way]
	switch {
	case known && e.instead != "":
		if !strings.Contains(got, e.instead) || got == want {
			return fmt.Errorf("%q (%s) is not in\n%s", e.instead, e.why, got)
		}
		return nil
	case known:
		added := regexp.MustCompile(e.adds)
		if !added.MatchString(got) {
			return fmt.Errorf("%q (%s) is not in\n%s", e.adds, e.why, got)
		}
		got = added.ReplaceAllString(got, "")
	}
	if s.shuffled {
		want, got = sortLines(want), sortLines(got)
	}
	if got == want {
		return nil
	}
	return errors.New(difference(want, got))
}

// difference shows the lines that only one of the two has.
func difference(apache, yakt string) string {
	var out strings.Builder
	show := func(name, text, other string) {
		for _, line := range strings.Split(text, "\n") {
			if !slices.Contains(strings.Split(other, "\n"), line) {
				fmt.Fprintf(&out, "\n%s %s", name, line)
			}
		}
	}
	show("- Apache's controller:", apache, yakt)
	show("- YAKt:               ", yakt, apache)
	if out.Len() == 0 {
		return "the same lines in another order, or more often:\n" + apache + "\nand\n" + yakt
	}
	return out.String()
}

// forgotten is what differs between any two runs, and the text of errors: both sides word theirs, the class is what counts.
var forgotten = []struct {
	expression *regexp.Regexp
	by         string
}{
	{regexp.MustCompile(`(TopicId: |Id": "|\t)[A-Za-z0-9_-]{22}\b`), "${1}UUID"},
	{regexp.MustCompile(`\b1[0-9]{12}\b`), "TIME"},
	{regexp.MustCompile(`adminclient-\d+`), "CLIENT"},
	{regexp.MustCompile(`((?:[a-z]+\.)+[A-Z]\w*(?:Exception|Error)): .*`), "$1"},
	{regexp.MustCompile(`Error while executing (\w+) command.*`), "Error while executing $1 command"},
	{regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} `), ""},
	{regexp.MustCompile(`(?m)^\s+(at |\.\.\. \d+ more).*\n`), ""},
}

func (w *way) normalise(s step, text string) string {
	port := func(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }
	pairs := []string{w.cluster.id, "CLUSTER", w.cluster.controller, "CONTROLLER", port(w.cluster.controller), "PORT1"}
	for _, b := range w.cluster.brokers {
		id := fmt.Sprint(b.ID)
		pairs = append(pairs, b.Addr, "BROKER"+id, port(b.Addr), "PORT"+id, filepath.Dir(b.file), "DIR"+id)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	for _, f := range forgotten {
		text = f.expression.ReplaceAllString(text, f.by)
	}
	if s.forget != "" {
		text = regexp.MustCompile(s.forget).ReplaceAllString(text, "…")
	}
	if s.sorted {
		text = sortLines(text)
	}
	return text
}

func sortLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

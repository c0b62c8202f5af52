package linear

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yakt/integration/harness"
)

var (
	durationFlag = flag.Duration("duration", 10*time.Second, "how long clients and nemesis go on")
	faultsFlag   = flag.String("faults", "", "only those whose names contain this")
	keepFlag     = flag.String("keep", "", "leave the history in this directory, though it be right")
	seedFlag     = flag.Uint64("seed", 0, "decides what the nemesis does and clients ask for; 0: by chance")
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// properties makes sessions end and checkpoints come more often than they otherwise would.
const properties = `process.roles=controller
broker.session.timeout.ms=1000
metadata.log.max.record.bytes.between.snapshots=100000
`

// TestHistoriesAreLinearizable is the package's test: what clients were told through all that went wrong could have been
// told by one controller without faults.
func TestHistoriesAreLinearizable(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to see the same faults again: go test ./integration/linear -timeout 0 -seed %d -duration %v", seed, *durationFlag)
	if end, ok := t.Deadline(); ok && time.Until(end) < *durationFlag+2*time.Minute {
		t.Fatalf("go test gives up in %v: add -timeout 0 to go on for %v", time.Until(end).Round(time.Second), *durationFlag)
	}
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &nemesis{cluster: &cluster{}, t: t, rand: rand.New(rand.NewPCG(seed, 0)), only: *faultsFlag, done: map[string]int{}}
	var err error
	if n.network, err = harness.StartNetwork(t, 3); err == nil {
		n.quorum = n.network.StartQuorum(t, "--config", file)
		n.slow = n.network.Slow(0, 1_000_000) == nil
		if err := n.network.Heal(); err != nil {
			t.Fatal(err)
		}
		if !n.slow {
			t.Log("no lines are made slow: this kernel has no token bucket filter")
		}
	} else {
		n.network = nil
		t.Run("partitions", func(t *testing.T) { t.Skipf("nothing is partitioned: there are no network namespaces here: %v", err) })
		n.quorum = harness.StartQuorum(t, "--config", file)
	}
	n.clusterID = n.quorum.Nodes[0].ClusterID
	for _, y := range n.quorum.Nodes {
		n.addrs = append(n.addrs, y.Addr)
	}
	registerByHand(t, n.quorum)
	n.history = newHistory()
	n.topics, n.ids = newNames(8, 120, topicName), newNames(2, 60, brokerName)
	n.clients(seed)
	finish(t, n)
}

// TestBrokenBuildIsCaught builds a controller that shows what is not committed yet, and cuts its leader off: what readers
// of it have seen is not what happened. Chance has a say in it, so there are several attempts.
func TestBrokenBuildIsCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	if _, err := harness.StartNetwork(t, 1); err != nil {
		t.Skipf("a leader cannot be cut off: there are no network namespaces here: %v", err)
	}
	const attempts = 10
	for seed := range attempts {
		var out bytes.Buffer
		cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^TestHistoriesAreLinearizable$", "-duration=6s", "-faults=cut the leader", fmt.Sprintf("-seed=%d", seed+1))
		cmd.Env = append(os.Environ(), "YAKT_TEST_TAGS=yakt_publish_before_commit")
		cmd.Stdout, cmd.Stderr = &out, &out
		err := harness.RunProcess(t.Context(), cmd)
		if caught.Match(out.Bytes()) {
			t.Logf("caught with seed %d: %s", seed+1, caught.Find(out.Bytes()))
			return
		}
		if err != nil {
			t.Fatalf("the broken build fails in another way: %v\n%s", err, out.Bytes())
		}
	}
	t.Errorf("the broken build passes %d times", attempts)
}

// caught is what a run says whose history cannot be.
var caught = regexp.MustCompile(`topic topic-[0-9]+: no order of its operations explains the answers|node \d goes back|two nodes differ`)

// clients lets them loose until the nemesis has done.
func (n *nemesis) clients(seed uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	id := 0
	loose := func(count int, f func(c *client)) {
		for range count {
			c := n.client(seed, id)
			id++
			running.Go(func() {
				f(c)
				if c.conn != nil {
					c.conn.Close()
				}
			})
		}
	}
	var all images
	loose(9, func(c *client) { c.changeTopics(ctx) })
	loose(3, func(c *client) { c.beBrokers(ctx) })
	loose(12, func(c *client) { c.probe(ctx, 3*time.Second) })
	loose(3, func(c *client) { c.probe(ctx, 200*time.Millisecond) })
	loose(3, func(c *client) { c.read(ctx, &all) })
	n.run(*durationFlag)
}

// registerByHand gives topics brokers to be placed on, which need no process.
func registerByHand(t *testing.T, q *harness.Quorum) {
	t.Helper()
	for id := 101; id <= 103; id++ {
		harness.Eventually(t, recovery, "register a broker", func() error {
			body := fmt.Sprintf(`{"brokerId": %d, "brokerHost": "127.0.0.1", "brokerPort": 9092}`, id)
			resp, err := http.Post("http://"+q.Nodes[0].Addr+"/register_broker", "application/json", strings.NewReader(body))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("status %s", resp.Status)
			}
			return nil
		})
	}
}

// finish takes a last look, checks everything and says how it went.
func finish(t *testing.T, n *nemesis) {
	t.Helper()
	n.settle(t.Context())
	for i := range n.addrs {
		c := n.client(0, i)
		if err := c.lookAtTopics(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.conn.Close()
	}
	var outputs []string
	for i := range n.outputs {
		outputs = append(outputs, n.output(i))
	}
	if err := harness.OneLeaderAnEpoch(outputs...); err != nil {
		n.problem("%v", err)
	}
	n.addSightings()
	for _, p := range twice(n.operations, n.producers) {
		n.problem("%s", p)
	}
	began := time.Now()
	found := anomalies(n.operations)
	t.Logf("%s\nchecked in %v", n.report(), time.Since(began).Round(time.Millisecond))
	dir := *keepFlag
	if len(found)+len(n.problems) == 0 && dir == "" {
		return
	}
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "yakt-linear-"); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.write(dir); err != nil {
		t.Error(err)
	}
	for i := range n.outputs {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("node-%d.log", i+1)), []byte(n.output(i)), 0o600); err != nil {
			t.Error(err)
		}
	}
	for _, a := range found {
		path, err := a.draw(dir)
		t.Errorf("%v: see %s (%v)", a, path, err)
	}
	for _, p := range n.problems {
		t.Error(p)
	}
	t.Logf("the history is in %s", dir)
	if len(found)+len(n.problems) > 0 {
		t.Errorf("%d anomalies and %d problems", len(found), len(n.problems))
	}
}

// report is what was done, in figures.
func (n *nemesis) report() string {
	kinds := map[string]int{}
	unknown := 0
	for _, op := range n.operations {
		if op.Out.Unknown {
			unknown++
		}
		kinds[op.In.Kind.String()]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %d operations on %d objects, %d of them without an answer, %d acknowledged writes\n  %s\n  %s\n",
		n.now().Round(time.Second), len(n.operations), len(byObject(n.operations)), unknown, n.writes, counts(kinds), counts(n.asked))
	waits := pauses(n.operations, n.events)
	for _, f := range faults {
		p := waits[f.name]
		if n.done[f.name] == 0 || len(p) == 0 {
			continue
		}
		slices.Sort(p)
		fmt.Fprintf(&b, "  %3d × %-42s longest time without a topic created: median %v, at most %v\n", n.done[f.name], f.name,
			p[len(p)/2].Round(time.Millisecond), p[len(p)-1].Round(time.Millisecond))
	}
	return b.String()
}

func counts(m map[string]int) string {
	var parts []string
	for name, n := range m {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

package apache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// trio is three controllers, YAKt's or Apache's, with node ids 1 to 3.
type trio struct {
	clusterID string
	addrs     []string
	process   func(i int) *harness.Process
	start     func(i int)
}

func yaktTrio(b *testing.B) *trio {
	q := harness.StartQuorum(b)
	t := &trio{clusterID: q.Nodes[0].ClusterID}
	for _, y := range q.Nodes {
		t.addrs = append(t.addrs, y.Addr)
	}
	t.process = func(i int) *harness.Process { return q.Nodes[i].Process() }
	t.start = func(i int) { q.Nodes[i].Start(b) }
	return t
}

// apacheTrio is three of Apache's controllers that were formatted as a static quorum, everything else as it comes.
func apacheTrio(b *testing.B) *trio {
	t := &trio{clusterID: "MkU3OEVBNTcwNTJENDM2Qk"}
	tools := OpenToolbox(b)
	for range 3 {
		t.addrs = append(t.addrs, harness.FreeAddr(b))
	}
	processes := make([]*harness.Process, 3)
	files := make([]string, 3)
	t.start = func(i int) {
		processes[i] = harness.StartProcess(b, fmt.Sprintf("Apache's controller %d", i+1), java(b, Current, brokerHeap, brokerLogLevel, logToStdout, brokerMain, files[i]))
	}
	t.process = func(i int) *harness.Process { return processes[i] }
	for i, addr := range t.addrs {
		dir := harness.TempDir(b)
		files[i] = filepath.Join(dir, "controller.properties")
		text := strings.Join([]string{
			"process.roles=controller", fmt.Sprintf("node.id=%d", i+1), "listeners=CONTROLLER://" + addr, "controller.listener.names=CONTROLLER",
			t.voters(), "log.dirs=" + filepath.Join(dir, "data"),
		}, "\n") + "\n"
		if err := os.WriteFile(files[i], []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		tools.MustRun(b, storageTool, "format", "-t", t.clusterID, "-c", files[i])
		t.start(i)
	}
	return t
}

// voters is how controllers and brokers are told who the voters are.
func (t *trio) voters() string {
	var voters []string
	for i, addr := range t.addrs {
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, addr))
	}
	return "controller.quorum.voters=" + strings.Join(voters, ",")
}

// describe asks every controller until the active one says how far each voter is.
func (t *trio) describe(ctx context.Context) (kmsg.DescribeQuorumResponseTopicPartition, error) {
	q := &harness.Quorum{}
	for _, addr := range t.addrs {
		q.Nodes = append(q.Nodes, &harness.Yakt{Addr: addr}) // asked as one, though it may be Apache's
	}
	return q.Describe(ctx)
}

// whole waits until all three follow closely, and returns the place of the one that leads.
func (t *trio) whole(b *testing.B) (leader int) {
	b.Helper()
	harness.Eventually(b, 2*time.Minute, "three controllers that have everything", func() error {
		p, err := t.describe(b.Context())
		if err != nil {
			return err
		}
		leader = int(p.LeaderID) - 1
		if len(p.CurrentVoters) != 3 {
			return fmt.Errorf("voters: %+v", p.CurrentVoters)
		}
		for _, v := range p.CurrentVoters {
			if v.LogEndOffset < p.HighWatermark-10 {
				return fmt.Errorf("voter %d is at %d of %d", v.ReplicaID, v.LogEndOffset, p.HighWatermark)
			}
		}
		return nil
	})
	return leader
}

// serve starts three brokers beneath the controllers and a producer. They are told the voters, as Apache's static quorum wants it.
func (t *trio) serve(b *testing.B) (brokers []*Broker, steady *steadyProducer) {
	for i := range 3 {
		broker := newBroker(b, Current, int32(101+i), t.voters())
		Tool(b, Current, storageTool, "format", "-t", t.clusterID, "-c", broker.file)
		broker.Start(b)
		brokers = append(brokers, broker)
	}
	for _, broker := range brokers {
		broker.WaitServing(b)
	}
	return brokers, startSteadyProducer(b, brokers[0], partitionsEach, 3)
}

// BenchmarkFailoverBesideApache ends the active controller of three, YAKt's and Apache's in turn, beneath three brokers with a
// producer: by kill -9, and by SIGTERM. Of each it takes the longest time that a client that asks one controller after another
// has to wait for the next acknowledged create. One iteration is one end.
func BenchmarkFailoverBesideApache(b *testing.B) {
	for _, controllers := range []struct {
		name  string
		start func(*testing.B) *trio
	}{{"yakt", yaktTrio}, {"apache", apacheTrio}} {
		b.Run(controllers.name, func(b *testing.B) {
			t := controllers.start(b)
			t.whole(b)
			brokers, steady := t.serve(b)
			b.Run("kill", func(b *testing.B) { t.failover(b, "kill", steady, (*harness.Process).Kill) })
			b.Run("stop", func(b *testing.B) {
				t.failover(b, "stop", steady, func(p *harness.Process) { _ = p.Stop(time.Minute) }) // a JVM's status is 143
			})
			for _, broker := range brokers {
				broker.CheckUp(b)
			}
		})
	}
}

// failover ends the active controller, again and again.
func (t *trio) failover(b *testing.B, how string, steady *steadyProducer, end func(*harness.Process)) {
	var pauses []time.Duration
	steady.pause()
	for b.Loop() {
		b.StopTimer()
		leads := t.whole(b)
		c := startQuickCreator(b, t.addrs, fmt.Sprintf("%s-%d-", how, len(pauses)))
		c.waitFor(b, 2)
		b.StartTimer()
		began := time.Now()
		end(t.process(leads))
		c.waitFor(b, 2)
		b.StopTimer()
		pauses = append(pauses, c.longestSince(began))
		c.stop(b)
		t.start(leads)
		b.StartTimer()
	}
	b.StopTimer()
	steady.waitFor(b, aFew)
	slices.Sort(pauses)
	b.ReportMetric(float64(pauses[len(pauses)/2].Milliseconds()), "ms/median")
	b.ReportMetric(float64(pauses[len(pauses)-1].Milliseconds()), "ms/max")
	b.ReportMetric(float64(steady.pause().Milliseconds()), "ms/producer-max")
	b.Logf("%v", pauses)
}

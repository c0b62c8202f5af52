package sim

import (
	"flag"
	"fmt"
	"iter"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this one simulation and print how it went; 0: several")
	seedsFlag = flag.Int("seeds", 0, "how many simulations to run; 0: a few dozen")
	fromFlag  = flag.Uint64("from", 0, "the first seed of several; 0: 1")
	stepsFlag = flag.Int("steps", 5000, "events in each simulation before the faults stop")

	minutesFlag = flag.Int("minutes", 0, "instead of -steps: simulated minutes before the faults stop, at an everyday pace")
	hoursFlag   = flag.Int("hours", 0, "instead of -steps: simulated hours before the faults stop, at an everyday pace")
)

// TestSeeds runs simulations, each from its own seed: brisk ones of so many events, or everyday ones of so many simulated minutes or hours.
func TestSeeds(t *testing.T) {
	first, count := uint64(1), *seedsFlag
	if count == 0 {
		count = 60
	}
	if *fromFlag != 0 {
		first = *fromFlag
	}
	if *seedFlag != 0 {
		first, count = *seedFlag, 1
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // much is dropped and little kept
	began, totals := time.Now(), map[string]int{}
	var elapsed time.Duration
	for report := range reports(first, count) {
		if f := report.Failure; f != nil {
			t.Fatalf("%s\nseed %d, step %d: invariant %s does not hold: %s\nto see it again: go test ./integration/sim -run TestSeeds -seed %d %s",
				strings.Join(f.Tail, "\n"), report.Seed, f.Step, f.Invariant, f.Message, report.Seed, length())
		}
		for name, n := range report.Stats {
			totals[name] += n
		}
		totals["events"] += report.Events
		elapsed += report.Elapsed
		if report.Time >= 10*time.Minute && report.Stats["faults"] < 5 {
			t.Errorf("seed %d: %d faults in %v", report.Seed, report.Stats["faults"], report.Time)
		}
		if *seedFlag != 0 {
			t.Logf("seed %d: %d events in %v, trace %016x", report.Seed, report.Events, report.Elapsed, report.Hash)
		}
	}
	took := time.Since(began)
	t.Logf("%d simulations: %s", count, summary(totals))
	t.Logf("%v simulated in %v on %d cores: %.0f events a second, %v a simulated hour", elapsed.Round(time.Second), took.Round(time.Millisecond), runtime.GOMAXPROCS(0),
		float64(totals["events"])/took.Seconds(), time.Duration(float64(took)/elapsed.Hours()).Round(time.Millisecond))
	if count < 60 {
		return
	}
	// A simulator in which nothing goes wrong proves nothing.
	for _, name := range mustHappen {
		if totals[name] == 0 {
			t.Errorf("in %d simulations there was nothing of: %s", count, name)
		}
	}
}

// length is how long simulations are, as flags.
func length() string {
	switch {
	case *hoursFlag > 0:
		return fmt.Sprintf("-hours %d", *hoursFlag)
	case *minutesFlag > 0:
		return fmt.Sprintf("-minutes %d", *minutesFlag)
	}
	return fmt.Sprintf("-steps %d", *stepsFlag)
}

// reports runs simulations on all cores and yields what they came to in the order of their seeds.
func reports(first uint64, count int) iter.Seq[Report] {
	return func(yield func(Report) bool) {
		stop := make(chan struct{})
		var running sync.WaitGroup
		defer running.Wait()
		defer close(stop)
		done := make([]chan Report, count)
		for i := range done {
			done[i] = make(chan Report, 1)
		}
		var next atomic.Int64
		for range min(count, runtime.GOMAXPROCS(0)) {
			running.Go(func() {
				for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
					select {
					case <-stop:
						return
					default:
					}
					o := Options{Seed: first + uint64(i), Trace: *seedFlag != 0, Time: time.Duration(*minutesFlag)*time.Minute + time.Duration(*hoursFlag)*time.Hour}
					if o.Time == 0 {
						o.Steps = *stepsFlag
					}
					done[i] <- Run(o)
				}
			})
		}
		for _, c := range done {
			if !yield(<-c) {
				return
			}
		}
	}
}

// mustHappen is what some of many simulations see.
var mustHappen = []string{
	"batches dropped", "proposals refused", "proposals held", "committed after an error", "entries lost", "verifications failed",
	"lease lost", "leadership went round", "signals lost", "crashes", "checkpoints loaded", "checkpoints installed", "checkpoints fetched",
	"operation CreateTopics", "operation DeleteTopics", "operation CreatePartitions", "operation AlterPartition", "operation AllocateProducerIDs",
	"operation BrokerSessionExpiry", "operation UnregisterBroker", "controlled shutdowns", "operation AlterPartitionAssignments",
	"operation ElectLeaders", "operation BalanceLeaders", "operation AlterConfigs", "operation IncrementalAlterConfigs",
	"operation AssignReplicasToDirs", "directories failed", "brokers wiped", "brokers doubled", "epochs lied", "voters added", "voters removed", "leaders removed",
	"directories emptied", "partitions of one direction", "contacts late", "slow disks", "reads", "histories checked", "reassignments completed",
	"transactions", "transactions cut off under their leader", "transactions cut off by the next leader",
}

// TestTenMinutesOfEveryday runs a few of the simulations that -minutes runs many of.
func TestTenMinutesOfEveryday(t *testing.T) {
	last := uint64(3)
	if testing.Short() {
		last = 1
	}
	for seed := uint64(1); seed <= last; seed++ {
		report := Run(Options{Seed: seed, Time: 10 * time.Minute})
		if f := report.Failure; f != nil {
			t.Fatalf("%s\nseed %d, step %d: invariant %s does not hold: %s", strings.Join(f.Tail, "\n"), seed, f.Step, f.Invariant, f.Message)
		}
		if report.Stats["faults"] < 5 || report.Elapsed < report.Time {
			t.Errorf("seed %d: %d faults in %v", seed, report.Stats["faults"], report.Elapsed)
		}
	}
}

// TestEqualSeedsAreEqualHistories is what makes a failure repeatable.
func TestEqualSeedsAreEqualHistories(t *testing.T) {
	hashes := map[uint64]bool{}
	for seed := uint64(1000); seed < 1003; seed++ {
		o := Options{Seed: seed, Steps: 3000, Trace: true}
		first, second := Run(o), Run(o)
		if first.Hash != second.Hash || first.Events != second.Events {
			t.Errorf("seed %d gives %d events with trace %016x, then %d with %016x", seed, first.Events, first.Hash, second.Events, second.Hash)
		}
		hashes[first.Hash] = true
	}
	if len(hashes) != 3 {
		t.Errorf("three seeds give %d histories", len(hashes))
	}
}

// TestBrokenBuildsAreCaught builds the controller with one defect at a time, each behind a build tag, and expects that
// the simulator notices and says which invariant it breaks.
func TestBrokenBuildsAreCaught(t *testing.T) {
	if testing.Short() || !intact {
		t.Skip("not in short mode, nor in a broken build")
	}
	named := regexp.MustCompile(`seed \d+, step \d+: invariant ([a-z-]+) does not hold`)
	for _, build := range []struct{ tag, invariant string }{
		{"yakt_skip_offset_check", "offsets-dense"},
		{"yakt_publish_before_commit", "published-is-committed"},
		{"yakt_adopt_without_identity", "adopt-equals-replay"},
		{"yakt_count_cut_off", "transactions-are-whole"},
		{"yakt_emptied_votes", "acknowledged-survives"},
		{"yakt_keep_sessions", "fenced-only-when-silent"},
		{"yakt_forget_elr", "elr-keeps-who-leaves"},
		{"yakt_keep_partition_epoch", "partition-epoch-plus-one"},
	} {
		t.Run(build.tag, func(t *testing.T) {
			out, err := exec.Command("go", "test", "-tags", build.tag, "-run", "^TestSeeds$", ".").CombinedOutput()
			if err == nil {
				t.Fatalf("the broken build passes:\n%s", out)
			}
			switch m := named.FindSubmatch(out); {
			case m == nil:
				t.Fatalf("the broken build fails without naming an invariant:\n%s", out)
			case string(m[1]) != build.invariant:
				t.Fatalf("the broken build breaks %s; expected was %s:\n%s", m[1], build.invariant, m[0])
			}
		})
	}
}

func summary(totals map[string]int) string {
	var parts []string
	for name, n := range totals {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

package sim

import (
	"flag"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this one simulation and print how it went; 0: several")
	seedsFlag = flag.Int("seeds", 0, "how many simulations to run; 0: a few dozen")
	stepsFlag = flag.Int("steps", 5000, "events in each simulation before the faults stop")
)

// TestSeeds runs simulations, each from its own seed.
func TestSeeds(t *testing.T) {
	first, count := uint64(1), *seedsFlag
	if count == 0 {
		count = 60
	}
	if *seedFlag != 0 {
		first, count = *seedFlag, 1
	}
	totals := map[string]int{}
	for seed := first; seed < first+uint64(count); seed++ {
		report := Run(Options{Seed: seed, Steps: *stepsFlag})
		if f := report.Failure; f != nil {
			t.Fatalf("%s\nseed %d, step %d: invariant %s does not hold: %s\nto see it again: go test ./integration/sim -run TestSeeds -seed %d -steps %d",
				strings.Join(f.Tail, "\n"), seed, f.Step, f.Invariant, f.Message, seed, *stepsFlag)
		}
		for name, n := range report.Stats {
			totals[name] += n
		}
		totals["events"] += report.Events
		if *seedFlag != 0 {
			t.Logf("seed %d: %d events in %v, trace %016x", seed, report.Events, report.Elapsed, report.Hash)
		}
	}
	t.Logf("%d simulations: %s", count, summary(totals))
	if count < 60 {
		return
	}
	// A simulator in which nothing goes wrong proves nothing.
	for _, name := range []string{
		"batches dropped", "proposals refused", "proposals held", "committed after an error", "entries lost", "verifications failed",
		"lease lost", "leadership went round", "signals lost", "crashes", "checkpoints loaded", "checkpoints installed", "checkpoints fetched",
		"operation CreateTopics", "operation DeleteTopics", "operation CreatePartitions", "operation AlterPartition", "operation AllocateProducerIDs",
		"operation BrokerSessionExpiry", "operation UnregisterBroker", "controlled shutdowns", "operation AlterPartitionAssignments",
		"operation ElectLeaders", "operation BalanceLeaders", "operation AlterConfigs", "operation IncrementalAlterConfigs",
		"operation AssignReplicasToDirs", "directories failed", "brokers wiped", "brokers doubled", "epochs lied", "reads", "histories checked", "reassignments completed",
		"transactions", "transactions aborted by their leader", "transactions aborted by the next leader",
	} {
		if totals[name] == 0 {
			t.Errorf("in %d simulations there was nothing of: %s", count, name)
		}
	}
}

// TestEqualSeedsAreEqualHistories is what makes a failure repeatable.
func TestEqualSeedsAreEqualHistories(t *testing.T) {
	hashes := map[uint64]bool{}
	for seed := uint64(1000); seed < 1003; seed++ {
		first, second := Run(Options{Seed: seed, Steps: 3000}), Run(Options{Seed: seed, Steps: 3000})
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
		{"yakt_publish_in_transaction", "readers-see-stable-images"},
		{"yakt_forget_abort", "transactions-are-aborted-first"},
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

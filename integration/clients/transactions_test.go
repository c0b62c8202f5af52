package clients

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yakt/integration/harness"
)

// TestALargeTopicIsShownWholeOrNotAtAll creates a topic whose metadata takes some thirty batches: a metadata transaction.
func TestALargeTopicIsShownWholeOrNotAtAll(t *testing.T) {
	y := harness.StartYakt(t)
	harness.RegisterForLarge(t, y)
	observer := harness.StartObserver(t, y, 300)
	stop := harness.WatchLarge(t, y.Addr, "large")
	start := time.Now()
	if err := harness.CreateLarge(t.Context(), y.Addr, "large"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	none, all := stop()
	if all == 0 {
		t.Error("created, and not shown")
	}
	if !strings.Contains(y.Process().Output().String(), "metadata transaction") {
		t.Error("it was no transaction")
	}
	observer.WaitFor(t, harness.LargePartitions)
	if v := observer.Violations(); v != nil {
		t.Error(v)
	}
	t.Logf("created in %v; asked before and meanwhile %d times", took, none)
}

// TestALargeTopicSurvivesAKillWholeOrNotAtAll kills the controller somewhere in the middle of it, and what observers read is never part
// of one.
func TestALargeTopicSurvivesAKillWholeOrNotAtAll(t *testing.T) {
	y := harness.StartYakt(t)
	harness.RegisterForLarge(t, y)
	observer := harness.StartObserver(t, y, 300)
	observer.WaitFor(t, 60)
	cutOff := 0
	for round := range 5 {
		name := fmt.Sprint("large-", round)
		err := y.CreateLargeAndKill(t, name, int64(round)*harness.LargeBytes/4)
		y.Start(t)
		conn, dialErr := harness.DialKafka(t.Context(), y.Addr, "after")
		if dialErr != nil {
			t.Fatal(dialErr)
		}
		n, askErr := conn.Partitions(name)
		conn.Close()
		if askErr != nil || n != 0 && n != harness.LargePartitions || err == nil && n == 0 {
			t.Errorf("round %d, created: %v; after the restart it has %d partitions, %v", round, err, n, askErr)
		}
		if n == 0 {
			cutOff++
		}
	}
	if v := observer.Violations(); v != nil {
		t.Error(v)
	}
	t.Logf("%d of 5 were cut off", cutOff)
}

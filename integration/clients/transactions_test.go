package clients

import (
	"context"
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
	observer.WaitFor(t, harness.LargePartitions) // batch after batch it has them, too
	if v := observer.Violations(); v != nil {
		t.Error(v)
	}
	t.Logf("created in %v; asked before and meanwhile %d times", took, none)
}

// TestALargeTopicSurvivesAKillWholeOrNotAtAll kills the controller somewhere in the middle of it.
func TestALargeTopicSurvivesAKillWholeOrNotAtAll(t *testing.T) {
	y := harness.StartYakt(t)
	harness.RegisterForLarge(t, y)
	observer := harness.StartObserver(t, y, 300)
	observer.WaitFor(t, 60)
	aborted := 0
	for round := range 4 {
		name := fmt.Sprint("large-", round)
		end, _, _ := observer.Position()
		ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
		created := make(chan error, 1)
		go func() { created <- harness.CreateLarge(ctx, y.Addr, name) }()
		observer.WaitFor(t, end+1+int64(round)*harness.LargePartitions/4)
		y.Kill()
		err := <-created
		cancel()
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
			aborted++
		}
	}
	if v := observer.Violations(); v != nil {
		t.Error(v)
	}
	t.Logf("%d of 4 were aborted", aborted)
}

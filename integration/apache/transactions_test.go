package apache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yakt/integration/harness"
)

// TestBrokerShowsAMetadataTransactionWhole: a topic whose metadata takes some thirty batches appears on a real broker with all of its
// partitions at once, and one whose transaction was cut off by a kill -9 never does.
func TestBrokerShowsAMetadataTransactionWhole(t *testing.T) {
	y := harness.StartYakt(t)
	b := StartBroker(t, Current, 101, y, ByBootstrapServers(y))
	b.WaitServing(t)
	harness.RegisterForLarge(t, y)
	observer := harness.StartObserver(t, y, 300)

	stop := harness.WatchLarge(t, b.Addr, "large")
	start := time.Now()
	if err := harness.CreateLarge(t.Context(), y.Addr, "large"); err != nil {
		t.Fatal(err)
	}
	created := time.Since(start)
	b.WaitLarge(t, "large")
	none, all := stop()
	t.Logf("answered after %v, shown by the broker after %v; it was asked %d times before and %d times after", created, time.Since(start), none, all)

	observer.WaitFor(t, harness.LargePartitions)
	end, _, _ := observer.Position()
	stop = harness.WatchLarge(t, b.Addr, "cut-off")
	failed := make(chan error, 1)
	go func() { failed <- harness.CreateLarge(t.Context(), y.Addr, "cut-off") }()
	observer.WaitFor(t, end+harness.LargePartitions/4)
	y.Kill()
	err := <-failed
	y.Start(t)
	aborted := strings.Contains(y.Process().Output().String(), "metadata transaction aborted")
	if aborted == (err == nil) {
		t.Errorf("created: %v; aborted: %v", err, aborted)
	}
	if err := harness.CreateLarge(t.Context(), y.Addr, "again"); err != nil {
		t.Fatal(err)
	}
	b.WaitLarge(t, "again") // so it has seen what there is of the other
	if none, all := stop(); aborted && all > 0 {
		t.Errorf("aborted, and shown %d times by the broker after %d times", all, none)
	}
	if v := observer.Violations(); v != nil {
		t.Error(v)
	}
	b.Stop(t)
}

// WaitLarge returns when the broker shows a large topic.
func (b *Broker) WaitLarge(t testing.TB, name string) {
	t.Helper()
	conn, err := harness.DialKafka(t.Context(), b.Addr, "wait")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	harness.Eventually(t, runningTimeout, fmt.Sprintf("broker %d shows %s", b.ID, name), func() error {
		b.CheckUp(t)
		n, err := conn.Partitions(name)
		if err == nil && n == 0 {
			err = fmt.Errorf("%s has no partitions", name)
		}
		return err
	})
}

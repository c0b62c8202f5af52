package apache

import (
	"fmt"
	"testing"
	"time"

	"yakt/integration/harness"
)

// TestBrokerShowsAMetadataTransactionWhole: a topic whose metadata takes some thirty batches appears on a real broker with all of its
// partitions at once.
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

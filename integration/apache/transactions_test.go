package apache

import (
	"fmt"
	"testing"
	"time"

	"yakt/integration/harness"
)

// TestBrokerShowsAMetadataTransactionWhole: a topic whose metadata takes some thirty batches appears on a real broker with all of its
// partitions at once, and one that a kill -9 cut off never does, nor after a restart of the broker, which then reads its own log
// from the start.
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
	cut := ""
	for round := range int64(3) {
		name := fmt.Sprint("cut-off-", round)
		stop := harness.WatchLarge(t, b.Addr, name)
		err := y.CreateLargeAndKill(t, name, (round+1)*harness.LargeBytes/8)
		y.Start(t)
		after := fmt.Sprint("after-", round)
		if err := harness.CreateWide(t.Context(), y.Addr, after, 1); err != nil {
			t.Fatal(err)
		}
		b.WaitLarge(t, after) // so it has seen what there is of the other
		if none, all := stop(); err != nil && all > 0 {
			t.Logf("%s: %v, and shown: its end was stored", name, err)
		} else if err != nil {
			cut = name
			t.Logf("%s: %v; the broker was asked %d times", name, err, none)
		}
	}
	if cut == "" {
		t.Fatal("no topic was cut off")
	}
	b.Stop(t)
	b.Start(t)
	b.WaitUnfenced(t)
	b.WaitLarge(t, "large")
	if conn, err := harness.DialKafka(t.Context(), b.Addr, "cut off"); err != nil {
		t.Error(err)
	} else {
		if n, err := conn.Partitions(cut); err != nil || n != 0 {
			t.Errorf("after a restart the broker shows %d partitions of %s: %v", n, cut, err)
		}
		conn.Close()
	}
	if v := observer.Violations(); v != nil {
		t.Error(v)
	}
	b.Stop(t)
}

// WaitLarge returns when the broker shows a large topic.
func (b *Broker) WaitLarge(t testing.TB, name string) {
	t.Helper()
	harness.Eventually(t, runningTimeout, fmt.Sprintf("broker %d shows %s", b.ID, name), func() error {
		b.CheckUp(t)
		conn, err := harness.DialKafka(t.Context(), b.Addr, "wait")
		if err != nil {
			return err
		}
		defer conn.Close()
		n, err := conn.Partitions(name)
		if err == nil && n == 0 {
			err = fmt.Errorf("%s has no partitions", name)
		}
		return err
	})
}

package apache

import (
	"testing"
	"time"

	"yakt/integration/harness"
)

// BenchmarkResidentWithBroker is the controller's memory after a minute with one broker. Run it once (-benchtime 1x).
func BenchmarkResidentWithBroker(b *testing.B) {
	for b.Loop() {
		y := harness.StartYakt(b)
		broker := StartBroker(b, "4.3.0", 101, y, ByBootstrapServers(y))
		broker.WaitUnfenced(b)
		<-time.After(time.Minute)
		resident, err := y.Process().ResidentBytes()
		if err != nil {
			b.Skipf("the memory of a process cannot be read here: %v", err)
		}
		b.ReportMetric(float64(resident)/(1<<20), "MiB")
		broker.Kill()
		y.Kill()
	}
}

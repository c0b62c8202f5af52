package apache

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"yakt/integration/harness"
)

const configsTool = "kafka.admin.ConfigCommand"

// configsThroughTool sets and shows configs with Kafka's tool, through a broker and through YAKt itself: what both say of a
// topic, sources and synonyms included, must be the same.
func configsThroughTool(t *testing.T, y *harness.Yakt, b *Broker) {
	Tool(t, Current, topicsTool, "--bootstrap-server", y.Addr, "--create", "--topic", "configured", "--partitions", "1", "--config", "cleanup.policy=compact")
	alter := func(addr string, args ...string) {
		t.Helper()
		Tool(t, Current, configsTool, append([]string{"--bootstrap-server", addr, "--alter"}, args...)...)
	}
	alter(b.Addr, "--entity-type", "topics", "--entity-name", "configured", "--add-config", "retention.ms=7777777,cleanup.policy=[compact,delete]")
	alter(y.Addr, "--entity-type", "topics", "--entity-name", "configured", "--add-config", "segment.ms=8888888", "--delete-config", "cleanup.policy")
	alter(y.Addr, "--entity-type", "brokers", "--entity-default", "--add-config", "log.index.interval.bytes=5000")

	describe := func(addr string) []string {
		t.Helper()
		out := Tool(t, Current, configsTool, "--bootstrap-server", addr, "--describe", "--all", "--entity-type", "topics", "--entity-name", "configured")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		slices.Sort(lines)
		return lines
	}
	ours := describe(y.Addr)
	harness.Eventually(t, runningTimeout, "the same configs at the broker", func() error {
		theirs := describe(b.Addr)
		if !slices.Equal(ours, theirs) {
			return fmt.Errorf("the broker says\n%s\nand YAKt\n%s", strings.Join(theirs, "\n"), strings.Join(ours, "\n"))
		}
		return nil
	})
	for _, want := range []string{"retention.ms=7777777", "segment.ms=8888888", "cleanup.policy=delete", "index.interval.bytes=5000"} {
		if !strings.Contains(strings.Join(ours, "\n"), want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(ours, "\n"))
		}
	}
	out := Tool(t, Current, topicsTool, "--bootstrap-server", y.Addr, "--describe", "--topic", "configured")
	if !strings.Contains(out, "retention.ms=7777777") || !strings.Contains(out, "segment.ms=8888888") {
		t.Errorf("the topic is described as\n%s", out)
	}
}

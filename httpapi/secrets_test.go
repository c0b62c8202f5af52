package httpapi

import (
	"testing"

	"yakt/controller/image"
)

// TestConfigsAreShownThatDescribeConfigsShows: what nobody knows may be a plug-in's password, whatever it is called.
func TestConfigsAreShownThatDescribeConfigsShows(t *testing.T) {
	for _, c := range []struct {
		kind  int8
		name  string
		shows bool
	}{
		{image.ConfigBroker, "log.cleaner.threads", true},
		{image.ConfigBroker, "listener.name.internal.ssl.keystore.location", true},
		{image.ConfigBroker, "ssl.keystore.password", false},
		{image.ConfigBroker, "listener.name.internal.plain.sasl.jaas.config", false},
		{image.ConfigBroker, "my.plugin.token", false},
		{image.ConfigTopic, "retention.ms", true},
		{image.ConfigTopic, "my.plugin.token", false},
		{image.ConfigClientMetrics, "interval.ms", true},
		{image.ConfigClientMetrics, "my.plugin.token", false},
		{image.ConfigGroup, "consumer.session.timeout.ms", true},
		{image.ConfigGroup, "my.plugin.token", false},
		{99, "retention.ms", false},
	} {
		want := redacted
		if c.shows {
			want = "value"
		}
		if got := shown(c.kind, c.name, "value"); got != want {
			t.Errorf("%s of a resource of type %d is shown as %q", c.name, c.kind, got)
		}
	}
}

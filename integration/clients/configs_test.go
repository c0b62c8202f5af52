package clients

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"yakt/integration/harness"
)

// values gives the configs of one resource by name.
func values(t *testing.T, described kadm.ResourceConfigs, err error, name string) map[string]string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	r, err := described.On(name, nil)
	if err != nil || r.Err != nil {
		t.Fatalf("%s: %v, %v", name, err, r.Err)
	}
	out := map[string]string{}
	for _, c := range r.Configs {
		out[c.Key] = c.MaybeValue()
	}
	return out
}

func TestConfigsAreChangedAndDescribed(t *testing.T) {
	y := harness.StartYakt(t)
	harness.StartStandIn(t, y, 101)
	client, ctx := admin(t, y)
	if _, err := client.CreateTopic(ctx, 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	altered, err := client.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Name: "retention.ms", Value: kadm.StringPtr("5")},
		{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")},
	}, "orders")
	if err != nil || altered[0].Err != nil {
		t.Fatalf("%+v, %v", altered, err)
	}
	defaults, err := client.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Name: "log.segment.bytes", Value: kadm.StringPtr("2000000")}})
	if err != nil || defaults[0].Err != nil {
		t.Fatalf("%+v, %v", defaults, err)
	}
	described, err := client.DescribeTopicConfigs(ctx, "orders")
	got := values(t, described, err, "orders")
	for name, want := range map[string]string{"retention.ms": "5", "cleanup.policy": "delete,compact", "segment.bytes": "2000000", "min.insync.replicas": "1", "preallocate": "false"} {
		if value := got[name]; value != want {
			t.Errorf("%s is %q, not %q", name, value, want)
		}
	}
	described, err = client.DescribeBrokerConfigs(ctx)
	if got := values(t, described, err, ""); got["log.segment.bytes"] != "2000000" || len(got) != 2 {
		t.Errorf("for all brokers: %+v", got)
	}
	replaced, err := client.AlterTopicConfigsState(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: kadm.StringPtr("6")}}, "orders")
	if err != nil || replaced[0].Err != nil {
		t.Fatalf("%+v, %v", replaced, err)
	}
	described, err = client.DescribeTopicConfigs(ctx, "orders")
	if got := values(t, described, err, "orders"); got["retention.ms"] != "6" || got["cleanup.policy"] != "delete" {
		t.Errorf("replaced: %+v", got)
	}
}

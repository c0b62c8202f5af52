package configs

import (
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// clientMetrics are the configs of a subscription to clients' metrics (KIP-714), by name.
var clientMetrics = []Def{
	{Name: "interval.ms", Type: kmsg.ConfigTypeInt, Default: "300000"},
	{Name: "match", Type: kmsg.ConfigTypeList, Default: ""},
	{Name: "metrics", Type: kmsg.ConfigTypeList, Default: ""},
}

// Names of the configs of a subscription to clients' metrics that have rules of their own, and the rule of the first.
const (
	MetricsInterval = "interval.ms"
	MetricsMatch    = "match"

	MinMetricsInterval = 100
	MaxMetricsInterval = 3_600_000
)

// ClientMetrics returns the definition of a config of a subscription to clients' metrics.
func ClientMetrics(name string) (*Def, bool) { return find(clientMetrics, name) }

// AllClientMetrics iterates over the definitions of all configs of a subscription to clients' metrics, by name.
func AllClientMetrics() iter.Seq[*Def] { return each(clientMetrics) }

// clientMatches are what a subscription may look at to choose its clients.
var clientMatches = []string{"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port"}

// notJava finds what is a regular expression to Go, and none to the brokers.
var notJava = regexp.MustCompile(`\(\?P|(^|[^\\pPx])\{(\D|$)`)

// CheckMatch says what is wrong with one selector, name=pattern, of a subscription; nothing when it is fine.
func CheckMatch(selector string) string {
	name, pattern, ok := strings.Cut(selector, "=")
	switch {
	case !ok || pattern == "" || strings.Contains(pattern, "="):
		return Quote(selector) + " is no selector: it must be a name, = and a regular expression."
	case !slices.Contains(clientMatches, trim(name)):
		return Quote(trim(name)) + " selects no clients: it must be one of " + strings.Join(clientMatches, ", ") + "."
	}
	if _, err := regexp.Compile(trim(pattern)); err != nil || notJava.MatchString(pattern) {
		return Quote(trim(pattern)) + " is no regular expression."
	}
	return ""
}

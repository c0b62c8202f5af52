package configs

import (
	"iter"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupConfigs are the group configs of Apache Kafka 4.3.0 by name (KIP-848, KIP-932, KIP-1071).
var groupConfigs = []Def{
	groupInt("consumer.assignment.interval.ms", "1000", 0),
	groupInt("consumer.heartbeat.interval.ms", "5000", 1),
	groupInt("consumer.session.timeout.ms", "45000", 1),
	groupInt("share.assignment.interval.ms", "1000", 0),
	{Name: "share.auto.offset.reset", Type: kmsg.ConfigTypeString, Default: "latest", rule: offsetReset},
	groupInt("share.delivery.count.limit", "5", 2),
	groupInt("share.heartbeat.interval.ms", "5000", 1),
	{Name: "share.isolation.level", Type: kmsg.ConfigTypeString, Default: "read_uncommitted", rule: oneOf("read_committed", "read_uncommitted")},
	groupInt("share.partition.max.record.locks", "2000", 100),
	groupInt("share.record.lock.duration.ms", "30000", 1000),
	{Name: "share.renew.acknowledge.enable", Type: kmsg.ConfigTypeBoolean, Default: "true"},
	groupInt("share.session.timeout.ms", "45000", 1),
	groupInt("streams.assignment.interval.ms", "1000", 0),
	groupInt("streams.heartbeat.interval.ms", "5000", 1),
	groupInt("streams.initial.rebalance.delay.ms", "3000", 0),
	groupInt("streams.num.standby.replicas", "0", 0),
	groupInt("streams.session.timeout.ms", "45000", 1),
}

func groupInt(name, otherwise string, least int64) Def {
	return Def{Name: name, Type: kmsg.ConfigTypeInt, Default: otherwise, rule: atLeast(least), Synonyms: same("group." + name)}
}

// Bound is a property of brokers and controllers that limits a group config.
type Bound struct {
	Property string
	Default  int64
	Above    bool // the config must not be above it; else not below
}

// groupBounds are the limits within which a group's config must lie.
var groupBounds = map[string][]Bound{
	"consumer.assignment.interval.ms":  within("group.consumer", "assignment.interval.ms", 0, 15000),
	"consumer.heartbeat.interval.ms":   within("group.consumer", "heartbeat.interval.ms", 5000, 15000),
	"consumer.session.timeout.ms":      within("group.consumer", "session.timeout.ms", 45000, 60000),
	"share.assignment.interval.ms":     within("group.share", "assignment.interval.ms", 0, 15000),
	"share.delivery.count.limit":       within("group.share", "delivery.count.limit", 2, 10),
	"share.heartbeat.interval.ms":      within("group.share", "heartbeat.interval.ms", 5000, 15000),
	"share.partition.max.record.locks": within("group.share", "partition.max.record.locks", 100, 4000),
	"share.record.lock.duration.ms":    within("group.share", "record.lock.duration.ms", 15000, 60000),
	"share.session.timeout.ms":         within("group.share", "session.timeout.ms", 45000, 60000),
	"streams.assignment.interval.ms":   within("group.streams", "assignment.interval.ms", 0, 15000),
	"streams.heartbeat.interval.ms":    within("group.streams", "heartbeat.interval.ms", 5000, 15000),
	"streams.num.standby.replicas":     {{"group.streams.max.standby.replicas", 2, true}},
	"streams.session.timeout.ms":       within("group.streams", "session.timeout.ms", 45000, 60000),
}

func within(group, name string, least, most int64) []Bound {
	return []Bound{{group + ".min." + name, least, false}, {group + ".max." + name, most, true}}
}

// GroupBounds are the limits of a group config.
func GroupBounds(name string) []Bound { return groupBounds[name] }

// GroupSessions are the kinds of groups whose session timeout must be above their heartbeat interval.
var GroupSessions = []string{"consumer", "share", "streams"}

// Group returns the definition of a group config.
func Group(name string) (*Def, bool) { return find(groupConfigs, name) }

// Groups iterates over the definitions of all group configs, by name.
func Groups() iter.Seq[*Def] { return each(groupConfigs) }

// offsetReset is where a share group begins to read (KIP-932, KIP-1106).
var offsetReset = rule{"latest, earliest or by_duration: and an ISO 8601 duration that is not negative", func(v any) bool {
	s := v.(string)
	if s == "latest" || s == "earliest" {
		return true
	}
	duration, ok := strings.CutPrefix(s, "by_duration:")
	return ok && isoDuration.MatchString(duration) && !strings.HasSuffix(strings.ToUpper(duration), "T") && len(duration) > 1
}}

// isoDuration is the form that Java reads, but for negative parts and fractions.
var isoDuration = regexp.MustCompile(`^(?i)P(\d{1,9}D)?(T(\d{1,9}H)?(\d{1,9}M)?(\d{1,9}([.,]\d{0,9})?S)?)?$`)

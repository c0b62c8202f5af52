package plan

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"yakt/controller/configs"
	"yakt/controller/image"
	"yakt/records"
)

// checkTopicConfigs says why a topic cannot have these configs, all that are set for it; nil when it can.
// was is what was set before. What holds through the controller's properties takes part in the rules between configs.
func (v *View) checkTopicConfigs(set, was map[string]string) *Refusal {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		d, ok := configs.Topic(name)
		if !ok {
			return refuse(kerr.InvalidConfig, "There is no topic config %s; the names are those of Apache Kafka 4.3.", configs.Quote(name))
		}
		if wrong := d.Check(set[name]); wrong != "" {
			return refuse(kerr.InvalidConfig, "%s", wrong)
		}
	}
	held := heldConfigs{set, v.Settings.Properties}
	if least, most := held.number(configs.MinCompactionLag), held.number(configs.MaxCompactionLag); least > most {
		return refuse(kerr.InvalidConfig, "%s (%d) must not be above %s (%d).", configs.MinCompactionLag, least, configs.MaxCompactionLag, most)
	}
	return held.checkRemoteStorage(was)
}

// heldConfigs is what is set for a topic on top of the controller's properties. What is set for all brokers does not
// count: it can change under the topic at any time.
type heldConfigs struct{ topic, static map[string]string }

func (h heldConfigs) value(name string) any {
	d, _ := configs.Topic(name)
	if e := d.Effective(configs.Layers{Topic: h.topic, Static: h.static}); e.Value != nil {
		if value, ok := d.Parse(*e.Value); ok {
			return value
		}
	}
	value, _ := d.Parse(d.Default) // a property that cannot be read
	return value
}

func (h heldConfigs) number(name string) int64  { return h.value(name).(int64) }
func (h heldConfigs) isTrue(name string) bool   { return h.value(name).(bool) }
func (h heldConfigs) list(name string) []string { return h.value(name).([]string) }

// checkRemoteStorage checks the rules of tiered storage (KIP-405, KIP-950).
func (h heldConfigs) checkRemoteStorage(was map[string]string) *Refusal {
	if !h.isTrue(configs.RemoteStorage) {
		if (heldConfigs{topic: was}).isTrue(configs.RemoteStorage) && !h.isTrue(configs.RemoteDelete) {
			return refuse(kerr.InvalidConfig, "%s cannot be turned off while remote data is kept: set %s to true to delete it, or leave %s on and set %s to true to only read it.",
				configs.RemoteStorage, configs.RemoteDelete, configs.RemoteStorage, configs.RemoteCopyDisable)
		}
		return nil
	}
	if on, _ := configs.True(h.static[configs.PropertyRemoteStorage]); !on {
		return refuse(kerr.InvalidConfig, "%s needs tiered storage, which is off: set %s on brokers and controllers first.", configs.RemoteStorage, configs.PropertyRemoteStorage)
	}
	if policy := h.list(configs.CleanupPolicy); len(policy) > 0 && slices.ContainsFunc(policy, func(p string) bool { return p != "delete" }) {
		return refuse(kerr.InvalidConfig, "%s needs a %s of delete, or an empty one.", configs.RemoteStorage, configs.CleanupPolicy)
	}
	for _, kind := range []struct{ local, total string }{
		{configs.LocalRetentionBytes, configs.RetentionBytes},
		{configs.LocalRetentionMs, configs.RetentionMs},
	} {
		local, total := h.number(kind.local), h.number(kind.total)
		unlimited := total < 0
		if local == -2 { // as the total
			continue
		}
		switch {
		case !unlimited && local == -1:
			return refuse(kerr.InvalidConfig, "%s cannot be -1, without limit, while %s is %d.", kind.local, kind.total, total)
		case !unlimited && local > total:
			return refuse(kerr.InvalidConfig, "%s (%d) must not be above %s (%d).", kind.local, local, kind.total, total)
		case local != total && h.isTrue(configs.RemoteCopyDisable):
			return refuse(kerr.InvalidConfig, "%s (%d) must be -2 or equal to %s (%d) while %s is true: nothing more is copied away.",
				kind.local, local, kind.total, total, configs.RemoteCopyDisable)
		}
	}
	return nil
}

// topicConfigRecords sets a new topic's configs, by name, and forgets its eligible leader replicas should they now be
// counted by another number (KIP-966). A topic that is just being created has none; brokers expect the record all the same.
func (v *View) topicConfigRecords(topic string, set map[string]string) []records.Record {
	var out []records.Record
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value := set[name]
		out = append(out, &records.Config{ResourceType: image.ConfigTopic, ResourceName: topic, Name: name, Value: &value})
	}
	if _, ok := set[configs.MinISR]; ok && v.Image.ELREnabled() {
		out = append(out, &records.ClearELR{TopicName: topic})
	}
	return out
}

// effectiveTopicConfigs returns what holds for a topic with these configs.
func (v *View) effectiveTopicConfigs(set map[string]string) []configs.Effective {
	return configs.EffectiveTopic(configs.Layers{
		Topic:   set,
		Cluster: maps.Collect(v.Image.Configs(image.ConfigBroker, "")),
		Static:  v.Settings.Properties,
	})
}

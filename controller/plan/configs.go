package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/configs"
	"yakt/controller/image"
	"yakt/records"
)

// configResource names what has configs.
type configResource struct {
	kind int8
	name string
}

// configChange is one key's new value, nil for none.
type configChange struct {
	key   string
	value *string
}

// IncrementalAlterConfigs (v0-1, KIP-339) sets, deletes, appends to and takes from configs. Each resource is refused or
// changed as a whole, and none affects another. Of a key that is named twice the last counts. A null value deletes. Where
// Apache Kafka 4.3.0 loses its active controller, on a null to append or an unknown operation, the resource is refused.
func IncrementalAlterConfigs(v *View, req *kmsg.IncrementalAlterConfigsRequest) Result {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	resources := make([]configResource, len(req.Resources))
	for i, r := range req.Resources {
		resources[i] = configResource{int8(r.ResourceType), r.ResourceName}
	}
	recs := v.alterConfigs(resources, func(i int) ([]configChange, *Refusal) {
		return v.incrementalChanges(resources[i], req.Resources[i].Configs)
	}, func(r configResource, refused *Refusal) {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = kmsg.ConfigResourceType(r.kind), r.name
		if refused != nil {
			out.ErrorCode, out.ErrorMessage = refused.Err.Code, &refused.Message
		}
		resp.Resources = append(resp.Resources, out)
	}, func() { resp.Resources = nil })
	if req.ValidateOnly {
		recs = nil
	}
	return Result{Response: resp, Records: recs}
}

// AlterConfigs (v0-2) replaces all configs of resources: what is set and not named is deleted. Clients have the
// incremental form since 2.3; this one loses what others set meanwhile.
func AlterConfigs(v *View, req *kmsg.AlterConfigsRequest) Result {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	resources := make([]configResource, len(req.Resources))
	for i, r := range req.Resources {
		resources[i] = configResource{int8(r.ResourceType), r.ResourceName}
	}
	recs := v.alterConfigs(resources, func(i int) ([]configChange, *Refusal) {
		return v.replacingChanges(resources[i], req.Resources[i].Configs), nil
	}, func(r configResource, refused *Refusal) {
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = kmsg.ConfigResourceType(r.kind), r.name
		if refused != nil {
			out.ErrorCode, out.ErrorMessage = refused.Err.Code, &refused.Message
		}
		resp.Resources = append(resp.Resources, out)
	}, func() { resp.Resources = nil })
	if req.ValidateOnly {
		recs = nil
	}
	return Result{Response: resp, Records: recs}
}

// alterConfigs decides on each resource of a request, once, and answers it. changes returns what is asked for the
// resource at an index; restart takes all answers back.
func (v *View) alterConfigs(resources []configResource, changes func(int) ([]configChange, *Refusal), answer func(configResource, *Refusal), restart func()) []records.Record {
	times := make(map[configResource]int, len(resources))
	for _, r := range resources {
		times[r]++
	}
	var recs []records.Record
	for i, r := range resources {
		switch n := times[r]; {
		case n == 0: // answered
		case n > 1 && knownConfigs(r.kind):
			answer(r, refuse(kerr.InvalidRequest, "The request names this resource more than once."))
			times[r] = 0
		default:
			altered, refused := v.alterResource(r, func() ([]configChange, *Refusal) { return changes(i) })
			answer(r, refused)
			recs = append(recs, altered...)
		}
	}
	recs = append(recs, v.clearELR(recs)...)
	if excess := checkRecordCount(recs); excess != nil {
		restart()
		for _, r := range slices.Compact(slices.Clone(resources)) {
			answer(r, excess)
		}
		return nil
	}
	return recs
}

// knownConfigs says whether resources of this type have configs that are stored.
func knownConfigs(kind int8) bool {
	return kind == image.ConfigTopic || kind == image.ConfigBroker || kind == image.ConfigGroup || kind == image.ConfigClientMetrics
}

// alterResource decides on one resource. What is asked is checked before the resource is looked for, as Apache Kafka does.
func (v *View) alterResource(r configResource, changes func() ([]configChange, *Refusal)) ([]records.Record, *Refusal) {
	switch {
	case r.kind == image.ConfigLogger:
		return nil, refuse(kerr.InvalidRequest, "No logger can be changed here: the level is given when the node is started; loggers of a broker are changed at the broker.")
	case !knownConfigs(r.kind):
		return nil, refuse(kerr.UnsupportedVersion, "Resources of type %d are not known.", r.kind)
	case len(r.name) > configs.MaxValue || !utf8.ValidString(r.name):
		return nil, refuse(kerr.InvalidRequest, "The resource's name must be UTF-8 of at most %d bytes.", configs.MaxValue)
	}
	asked, refused := changes()
	if refused != nil {
		return nil, refused
	}
	was := maps.Collect(v.Image.Configs(r.kind, r.name))
	set := maps.Clone(was)
	var recs []records.Record
	for _, c := range asked {
		if refused := v.checkChange(r, c); refused != nil {
			return nil, refused
		}
		old, found := was[c.key]
		same := found && c.value != nil && *c.value == old || !found && c.value == nil
		if c.value == nil {
			delete(set, c.key)
		} else {
			set[c.key] = *c.value
		}
		// Brokers load a keystore again when its config is written, even if the config is the same (KAFKA-14136).
		if !same || r.kind == image.ConfigBroker {
			recs = append(recs, &records.Config{ResourceType: r.kind, ResourceName: r.name, Name: c.key, Value: c.value})
		}
	}
	if refused := v.checkResourceConfigs(r, set, was); refused != nil {
		return nil, refused
	}
	return recs, nil
}

// incrementalChanges turns a resource's operations into new values, by key.
func (v *View) incrementalChanges(r configResource, asked []kmsg.IncrementalAlterConfigsRequestResourceConfig) ([]configChange, *Refusal) {
	last := make(map[string]kmsg.IncrementalAlterConfigsRequestResourceConfig, len(asked))
	for _, c := range asked {
		last[c.Name] = c
	}
	out := make([]configChange, 0, len(last))
	for _, key := range slices.Sorted(maps.Keys(last)) {
		c := last[key]
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			out = append(out, configChange{key, c.Value})
		case kmsg.IncrementalAlterConfigOpDelete:
			out = append(out, configChange{key, nil})
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			otherwise, isList := listConfig(r.kind, key)
			switch {
			case !isList:
				return nil, refuse(kerr.InvalidConfig, "%s is no list, so nothing can be appended to it or taken from it; set it.", configs.Quote(key))
			case c.Value == nil:
				return nil, refuse(kerr.InvalidRequest, "There is no value to append to %[1]s or to take from it; to remove all, delete %[1]s.", key)
			}
			current, ok := v.Image.Config(r.kind, r.name, key)
			if !ok {
				current = otherwise
			}
			value := alteredList(current, *c.Value, c.Op == kmsg.IncrementalAlterConfigOpAppend)
			out = append(out, configChange{key, &value})
		default:
			return nil, refuse(kerr.InvalidRequest, "Operation %d on %s is unknown; it must be 0 (set), 1 (delete), 2 (append) or 3 (subtract).", c.Op, configs.Quote(key))
		}
	}
	return out, nil
}

// listConfig returns the default of a config that is a list; false when it is none. Only those of topics and brokers
// can be appended to, in Apache Kafka too.
func listConfig(kind int8, key string) (string, bool) {
	switch kind {
	case image.ConfigTopic:
		if d, ok := configs.Topic(key); ok && d.Type == kmsg.ConfigTypeList {
			return d.Default, true
		}
	case image.ConfigBroker:
		return configs.BrokerList(key)
	}
	return "", false
}

// alteredList is a list with elements appended that it has not yet, or without the first of each of some elements.
func alteredList(current, elements string, add bool) string {
	var list []string
	for _, e := range strings.Split(current, ",") {
		if e != "" {
			list = append(list, e)
		}
	}
	for _, e := range strings.Split(elements, ",") {
		switch i := slices.Index(list, e); {
		case add && i < 0:
			list = append(list, e)
		case !add && i >= 0:
			list = slices.Delete(list, i, i+1)
		}
	}
	return strings.Join(list, ",")
}

// replacingChanges turns all that a resource shall have into changes, by key; then come those that it loses.
func (v *View) replacingChanges(r configResource, asked []kmsg.AlterConfigsRequestResourceConfig) []configChange {
	last := make(map[string]*string, len(asked))
	for _, c := range asked {
		last[c.Name] = c.Value
	}
	out := make([]configChange, 0, len(last))
	for _, key := range slices.Sorted(maps.Keys(last)) {
		out = append(out, configChange{key, last[key]})
	}
	for key := range v.Image.Configs(r.kind, r.name) {
		if _, ok := last[key]; !ok {
			out = append(out, configChange{key, nil})
		}
	}
	return out
}

// checkChange says why one key cannot be changed, whatever else is.
func (v *View) checkChange(r configResource, c configChange) *Refusal {
	if r.kind == image.ConfigBroker && c.key == configs.MinISR && v.Image.ELREnabled() {
		switch { // all brokers must count the eligible leader replicas by the same number (KIP-966)
		case r.name != "":
			return refuse(kerr.InvalidConfig, "%s cannot be set for one broker while eligible leader replicas are on; set it for all brokers or for topics.", c.key)
		case c.value == nil:
			return refuse(kerr.InvalidConfig, "%s cannot be removed while eligible leader replicas are on; set it to another value.", c.key)
		}
	}
	switch {
	case len(c.key) > configs.MaxValue || c.value != nil && len(*c.value) > configs.MaxValue:
		return refuse(kerr.InvalidConfig, "A config's name and its value may have at most %d bytes each.", configs.MaxValue)
	case !utf8.ValidString(c.key) || c.value != nil && !utf8.ValidString(*c.value):
		return refuse(kerr.InvalidConfig, "A config's name and its value must be UTF-8.")
	}
	return nil
}

// clearELR forgets eligible leader replicas that would now be counted by another number (KIP-966).
func (v *View) clearELR(altered []records.Record) []records.Record {
	if !v.Image.ELREnabled() {
		return nil
	}
	var out []records.Record
	for _, r := range altered {
		c, ok := r.(*records.Config)
		switch {
		case !ok || c.Name != configs.MinISR:
		case c.ResourceType == image.ConfigTopic, c.ResourceType == image.ConfigBroker && c.ResourceName == "":
			out = append(out, &records.ClearELR{TopicName: c.ResourceName}) // no name: all topics
		}
	}
	return out
}

// checkResourceConfigs says why a resource cannot have these configs, all that are set for it; nil when it can. was is
// what was set before.
func (v *View) checkResourceConfigs(r configResource, set, was map[string]string) *Refusal {
	switch r.kind {
	case image.ConfigTopic:
		return v.checkTopic(r.name, set, was)
	case image.ConfigBroker:
		return v.checkNode(r.name)
	case image.ConfigGroup:
		return v.checkGroup(r.name, set)
	}
	return checkClientMetrics(r.name, set)
}

func (v *View) checkTopic(name string, set, was map[string]string) *Refusal {
	if name == "" {
		return refuse(kerr.InvalidRequest, "There are no configs for all topics; set a broker's config for all brokers.")
	}
	if err := image.CheckTopicName(name); err != nil {
		return refuse(kerr.InvalidTopicException, "This cannot be the name of a topic: %v.", err)
	}
	if r := v.checkTopicConfigs(set, was); r != nil {
		return r
	}
	if _, ok := v.Image.TopicByName(name); !ok {
		return refuse(kerr.UnknownTopicOrPartition, "There is no topic of this name.")
	}
	return nil
}

// checkNode checks the name under which a broker's or a controller's configs are set; without one they are for all brokers.
func (v *View) checkNode(name string) *Refusal {
	if name == "" {
		return nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	switch {
	case err != nil:
		return refuse(kerr.InvalidRequest, "%s is no broker id: it must be a whole number, or empty for all brokers.", configs.Quote(name))
	case id < 0:
		return refuse(kerr.InvalidRequest, "%d is no broker id: it must be 0 or more.", id)
	}
	if _, ok := v.Image.Broker(int32(id)); !ok && !v.Settings.ControllerIDs(int32(id)) {
		return refuse(kerr.BrokerIDNotRegistered, "Node %d is not registered.", id)
	}
	return nil
}

// checkGroup checks a group's configs. Their limits are properties of this controller.
func (v *View) checkGroup(name string, set map[string]string) *Refusal {
	if name == "" {
		return refuse(kerr.InvalidRequest, "There are no configs for all groups; set a broker's group.* config for all brokers.")
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		d, ok := configs.Group(key)
		if !ok {
			return refuse(kerr.InvalidConfig, "There is no group config %s; the names are those of Apache Kafka 4.3.", configs.Quote(key))
		}
		if wrong := d.Check(set[key]); wrong != "" {
			return refuse(kerr.InvalidConfig, "%s", wrong)
		}
		for _, bound := range configs.GroupBounds(key) {
			parsed, _ := d.Parse(set[key])
			limit := v.propertyNumber(bound.Property, bound.Default)
			switch value := parsed.(int64); {
			case bound.Above && value > limit:
				return refuse(kerr.InvalidConfig, "%s (%d) must not be above %s (%d).", key, value, bound.Property, limit)
			case !bound.Above && value < limit:
				return refuse(kerr.InvalidConfig, "%s (%d) must not be below %s (%d).", key, value, bound.Property, limit)
			}
		}
	}
	for _, kind := range configs.GroupSessions {
		session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		least, most := v.groupNumber(set, heartbeat), v.groupNumber(set, session)
		if most <= least {
			return refuse(kerr.InvalidConfig, "%s (%d) must be above %s (%d).", session, most, heartbeat, least)
		}
	}
	return nil
}

// groupNumber is what holds for a group whose configs have been checked.
func (v *View) groupNumber(set map[string]string, key string) int64 {
	d, _ := configs.Group(key)
	if value, ok := set[key]; ok {
		parsed, _ := d.Parse(value)
		return parsed.(int64)
	}
	otherwise, _ := strconv.ParseInt(d.Default, 10, 64)
	return v.propertyNumber(d.Synonyms[0].Name, otherwise)
}

// propertyNumber is a property of this controller, or what holds without it.
func (v *View) propertyNumber(name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(strings.TrimSpace(v.Settings.Properties[name]), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// checkClientMetrics checks a subscription to clients' metrics (KIP-714).
func checkClientMetrics(name string, set map[string]string) *Refusal {
	if name == "" {
		return refuse(kerr.InvalidRequest, "A subscription to clients' metrics needs a name.")
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		d, ok := configs.ClientMetrics(key)
		if !ok {
			return refuse(kerr.InvalidRequest, "There is no config %s of clients' metrics; there are interval.ms, match and metrics.", configs.Quote(key))
		}
		if wrong := d.Check(set[key]); wrong != "" {
			return refuse(kerr.InvalidConfig, "%s", wrong)
		}
		switch value, _ := d.Parse(set[key]); key {
		case configs.MetricsInterval:
			if n := value.(int64); n < configs.MinMetricsInterval || n > configs.MaxMetricsInterval {
				return refuse(kerr.InvalidRequest, "%s cannot be %d: it must be from %d to %d (one hour).", key, n, configs.MinMetricsInterval, configs.MaxMetricsInterval)
			}
		case configs.MetricsMatch:
			for _, selector := range value.([]string) {
				if wrong := configs.CheckMatch(selector); wrong != "" {
					return refuse(kerr.InvalidConfig, "%s", wrong)
				}
			}
		}
	}
	return nil
}

package query

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/configs"
	"yakt/controller/image"
)

// DescribeConfigs (v1-4) describes the configs of topics, groups and subscriptions to clients' metrics with all that
// hold, and of all brokers with those that are set. A broker's own can be asked of that broker only, because no other knows its
// properties; of this node there are those that were given. Synonyms (v1, KIP-226) say where else a value could come from, the
// strongest first. There is no documentation (v3, KIP-569).
func DescribeConfigs(q *Context, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for _, r := range req.Resources {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		all, code, message := q.describedConfigs(int8(r.ResourceType), r.ResourceName)
		out.ErrorCode, out.ErrorMessage = code, &message
		out.Configs = make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(all))
		for _, c := range all {
			if len(r.ConfigNames) > 0 && !slices.Contains(r.ConfigNames, c.Name) {
				continue
			}
			if !req.IncludeSynonyms {
				c.ConfigSynonyms = nil
			}
			out.Configs = append(out.Configs, c)
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

// described is a config as it is described.
type described = kmsg.DescribeConfigsResponseResourceConfig

// synonym is a place that a config's value could come from.
type synonym = kmsg.DescribeConfigsResponseResourceConfigConfigSynonym

// describedConfigs describes all configs of a resource, or says why there are none.
func (q *Context) describedConfigs(kind int8, name string) (all []described, code int16, message string) {
	refuse := func(e *kerr.Error, format string, a ...any) ([]described, int16, string) {
		return nil, e.Code, fmt.Sprintf(format, a...)
	}
	switch kind {
	case image.ConfigTopic:
		if err := image.CheckTopicName(name); err != nil {
			return refuse(kerr.InvalidTopicException, "This cannot be the name of a topic: %v.", err)
		}
		if _, ok := q.Image.TopicByName(name); !ok {
			return refuse(kerr.UnknownTopicOrPartition, "There is no topic of this name.")
		}
		return q.topicConfigs(name), 0, ""
	case image.ConfigBroker:
		if name == "" {
			return q.brokerConfigs(configs.Layers{Cluster: q.configs(kind, "")}), 0, ""
		}
		switch id, err := strconv.ParseInt(name, 10, 32); {
		case err != nil:
			return refuse(kerr.InvalidRequest, "A broker is named by its id, a whole number, or by nothing for all brokers.")
		case id != int64(q.NodeID):
			return refuse(kerr.InvalidRequest, "This is node %d; ask node %d for its own configs, or name none for those of all brokers.", q.NodeID, id)
		}
		return q.brokerConfigs(q.nodeLayers()), 0, ""
	case image.ConfigGroup:
		if name == "" {
			return refuse(kerr.InvalidRequest, "A group's name must not be empty.")
		}
		return q.groupConfigs(name), 0, ""
	case image.ConfigClientMetrics:
		if name == "" {
			return refuse(kerr.InvalidRequest, "The name of a subscription to clients' metrics must not be empty.")
		}
		return q.clientMetrics(name), 0, ""
	case image.ConfigLogger:
		if name != strconv.Itoa(int(q.NodeID)) {
			return refuse(kerr.InvalidRequest, "This is node %d; ask a node for its own loggers.", q.NodeID)
		}
		return nil, 0, ""
	}
	return refuse(kerr.InvalidRequest, "Resources of type %d have no configs.", kind)
}

// configs is what is set for a resource.
func (q *Context) configs(kind int8, name string) map[string]string {
	return maps.Collect(q.Image.Configs(kind, name))
}

// nodeLayers is where this node's own configs come from.
func (q *Context) nodeLayers() configs.Layers {
	return configs.Layers{
		Node:    q.configs(image.ConfigBroker, strconv.Itoa(int(q.NodeID))),
		Cluster: q.configs(image.ConfigBroker, ""),
		Static:  q.Properties,
	}
}

func (q *Context) topicConfigs(name string) []described {
	layers := q.nodeLayers()
	layers.Topic = q.configs(image.ConfigTopic, name)
	var out []described
	for _, e := range configs.EffectiveTopic(layers) {
		c := newDescribed(e.Def.Name, e.Value, e.Source, e.Def.Type)
		if value, ok := layers.Topic[e.Def.Name]; ok {
			c.ConfigSynonyms = append(c.ConfigSynonyms, newSynonym(e.Def.Name, &value, kmsg.ConfigSourceDynamicTopicConfig))
		}
		c.ConfigSynonyms = append(c.ConfigSynonyms, inherited(e.Def, layers)...)
		out = append(out, c)
	}
	return out
}

// groupConfigs describes a group: what is set for it, on top of what its synonyms say.
func (q *Context) groupConfigs(name string) []described {
	set, layers := q.configs(image.ConfigGroup, name), q.nodeLayers()
	var out []described
	for d := range configs.Groups() {
		e := d.Effective(layers)
		c := newDescribed(d.Name, e.Value, e.Source, d.Type)
		c.ConfigSynonyms = inherited(d, layers)
		if len(d.Synonyms) == 0 {
			c.ConfigSynonyms = []synonym{newSynonym(d.Name, e.Value, kmsg.ConfigSourceDefaultConfig)}
		}
		if value, ok := set[d.Name]; ok {
			c.Value, c.Source = &value, kmsg.ConfigSourceGroupConfig
			c.ConfigSynonyms = slices.Insert(c.ConfigSynonyms, 0, newSynonym(d.Name, &value, c.Source))
		}
		out = append(out, c)
	}
	return out
}

func (q *Context) clientMetrics(name string) []described {
	set := q.configs(image.ConfigClientMetrics, name)
	var out []described
	for d := range configs.AllClientMetrics() {
		c := newDescribed(d.Name, &d.Default, kmsg.ConfigSourceDefaultConfig, d.Type)
		if value, ok := set[d.Name]; ok {
			c.Value, c.Source = &value, kmsg.ConfigSourceClientMetricsConfig
			c.ConfigSynonyms = []synonym{newSynonym(d.Name, &value, c.Source)}
		}
		out = append(out, c)
	}
	return out
}

// brokerConfigs describes the broker configs that are set in any of the layers.
func (q *Context) brokerConfigs(l configs.Layers) []described {
	places := []struct {
		set    map[string]string
		source kmsg.ConfigSource
	}{
		{l.Node, kmsg.ConfigSourceDynamicBrokerConfig},
		{l.Cluster, kmsg.ConfigSourceDynamicDefaultBrokerConfig},
		{l.Static, kmsg.ConfigSourceStaticBrokerConfig},
	}
	names := map[string]bool{}
	for _, p := range places {
		for name := range p.set {
			names[name] = true
		}
	}
	var out []described
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c := newDescribed(name, nil, 0, configs.BrokerType(name))
		c.ReadOnly, c.IsSensitive = configs.BrokerReadOnly(name), configs.BrokerSensitive(name)
		for _, p := range places {
			value, ok := p.set[name]
			if !ok {
				continue
			}
			s := newSynonym(name, &value, p.source)
			if c.IsSensitive {
				s.Value = nil
			}
			c.ConfigSynonyms = append(c.ConfigSynonyms, s)
		}
		c.Value, c.Source = c.ConfigSynonyms[0].Value, c.ConfigSynonyms[0].Source
		out = append(out, c)
	}
	return out
}

// inherited lists where a config's value could come from other than from the resource itself. As Apache Kafka shows it,
// the list begins with the first of the synonyms, and one that is counted in another unit has no default to show.
func inherited(d *configs.Def, l configs.Layers) []synonym {
	var out []synonym
	for _, p := range []struct {
		set    map[string]string
		source kmsg.ConfigSource
	}{
		{l.Node, kmsg.ConfigSourceDynamicBrokerConfig},
		{l.Cluster, kmsg.ConfigSourceDynamicDefaultBrokerConfig},
		{l.Static, kmsg.ConfigSourceStaticBrokerConfig},
	} {
		for _, s := range d.Synonyms {
			if value, ok := p.set[s.Name]; ok && (len(out) > 0 || s.Name == d.Synonyms[0].Name) {
				out = append(out, newSynonym(s.Name, &value, p.source))
			}
		}
	}
	if len(d.Synonyms) == 1 {
		out = append(out, newSynonym(d.Synonyms[0].Name, &d.Default, kmsg.ConfigSourceDefaultConfig))
	}
	return out
}

func newDescribed(name string, value *string, source kmsg.ConfigSource, kind kmsg.ConfigType) described {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.Source, c.ConfigType = name, value, source, kind
	return c
}

func newSynonym(name string, value *string, source kmsg.ConfigSource) synonym {
	s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
	s.Name, s.Value, s.Source = name, value, source
	return s
}

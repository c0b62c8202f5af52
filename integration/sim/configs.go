package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
)

// Administrators change what is configured for topics, for single brokers and for all of them, by both of Kafka's requests.

const (
	minISR          = "min.insync.replicas"
	uncleanElection = "unclean.leader.election.enable"
	retention       = "retention.ms"
	brokerRetention = "log.retention.ms"
)

// uncleanClient ends the names of connections over which elections are asked for that lose records.
const uncleanClient = "-unclean"

// setting is a key and its new value, nil for none.
type setting struct {
	key   string
	value *string
}

// someSettings draws what to set for a topic, a broker ("101") or all brokers ("").
func (a *admin) someSettings(kind int8) []setting {
	w := a.w
	last := retention
	if kind == image.ConfigBroker {
		last = brokerRetention
	}
	var out []setting
	for _, key := range []string{minISR, uncleanElection, last} {
		if w.chance(0.5) {
			continue
		}
		var v string
		switch key {
		case minISR:
			v = strconv.Itoa(1 + w.rand.IntN(3))
		case uncleanElection:
			v = strconv.FormatBool(w.chance(0.3))
		default:
			v = strconv.Itoa(w.rand.IntN(5) * 3_600_000)
			if kind == image.ConfigTopic && w.chance(0.1) {
				v = "soon" // refused
			}
		}
		s := setting{key: key, value: &v}
		if w.chance(0.3) {
			s.value = nil
		}
		out = append(out, s)
	}
	return out
}

// configure asks for other configs of something.
func (a *admin) configure() func() kmsg.Request {
	w := a.w
	kind, name := image.ConfigTopic, a.name()
	if w.chance(0.4) {
		kind, name = image.ConfigBroker, ""
		if w.chance(0.6) {
			name = strconv.Itoa(int(w.someBroker().id))
		}
	}
	settings := a.someSettings(kind)
	validate := w.chance(0.1)
	if w.chance(0.3) {
		return func() kmsg.Request { return replaceConfigs(kind, name, settings, validate) }
	}
	return func() kmsg.Request { return alterConfigs(kind, name, settings, validate) }
}

// alterConfigs sets and deletes single keys.
func alterConfigs(kind int8, name string, settings []setting, validate bool) kmsg.Request {
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(kind), name
	for _, s := range settings {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = s.key, s.value
		if s.value == nil {
			c.Op = kmsg.IncrementalAlterConfigOpDelete
		}
		r.Configs = append(r.Configs, c)
	}
	req := kmsg.NewIncrementalAlterConfigsRequest()
	req.Version, req.ValidateOnly = 1, validate
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{r}
	return &req
}

// replaceConfigs sets all there is. A key without a value is left out, and so deleted.
func replaceConfigs(kind int8, name string, settings []setting, validate bool) kmsg.Request {
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(kind), name
	for _, s := range settings {
		if s.value == nil {
			continue
		}
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = s.key, s.value
		r.Configs = append(r.Configs, c)
	}
	req := kmsg.NewAlterConfigsRequest()
	req.Version, req.ValidateOnly = 2, validate
	req.Resources = []kmsg.AlterConfigsRequestResource{r}
	return &req
}

// configChange is what either request asks for one resource.
type configChange struct {
	kind     int8
	name     string
	set      map[string]*string // nil: deleted
	replaces bool
	validate bool
}

// configChangeOf reads a request back.
func configChangeOf(req kmsg.Request) (c configChange, ok bool) {
	c.set = map[string]*string{}
	switch req := req.(type) {
	case *kmsg.IncrementalAlterConfigsRequest:
		r := &req.Resources[0]
		c.kind, c.name, c.validate = int8(r.ResourceType), r.ResourceName, req.ValidateOnly
		for _, s := range r.Configs {
			c.set[s.Name] = s.Value
		}
	case *kmsg.AlterConfigsRequest:
		r := &req.Resources[0]
		c.kind, c.name, c.validate, c.replaces = int8(r.ResourceType), r.ResourceName, req.ValidateOnly, true
		for _, s := range r.Configs {
			c.set[s.Name] = s.Value
		}
	default:
		return c, false
	}
	return c, true
}

// holds says whether the configs are as asked.
func (c configChange) holds(img *image.Image) bool {
	for key, want := range c.set {
		if got, ok := img.Config(c.kind, c.name, key); ok != (want != nil) || ok && got != *want {
			return false
		}
	}
	return !c.replaces || img.NumConfigs(c.kind, c.name) == len(c.set)
}

// wrong says whether the configs cannot be had in this state.
func (c configChange) wrong(img *image.Image) bool {
	if v := c.set[retention]; v != nil && *v == "soon" {
		return true
	}
	value, named := c.set[minISR]
	_, is := img.Config(c.kind, c.name, minISR)
	deleted := named && value == nil || c.replaces && !named && is
	return c.kind == image.ConfigBroker && img.ELREnabled() && (deleted || named && c.name != "")
}

func (o *oracle) judgeConfigs(k *call, code int16) {
	c, _ := configChangeOf(k.request)
	there := func(s state) bool {
		if c.kind == image.ConfigTopic {
			_, ok := s.TopicByName(c.name)
			return ok
		}
		id, err := strconv.Atoi(c.name)
		_, ok := s.Broker(int32(id))
		return err != nil || ok
	}
	switch {
	case code == 0 && c.validate:
		o.must(k, truth, func(s state) bool { return there(s) && !c.wrong(s.Image) }, "could be configured")
	case code == 0:
		o.must(k, acknowledged, func(s state) bool { return there(s) && c.holds(s.Image) }, "configured")
	case code == kerr.InvalidConfig.Code:
		o.must(k, truth, func(s state) bool { return c.wrong(s.Image) }, "that cannot be configured")
	case code == kerr.UnknownTopicOrPartition.Code && c.kind == image.ConfigTopic,
		code == kerr.BrokerIDNotRegistered.Code && c.kind == image.ConfigBroker:
		o.must(k, truth, func(s state) bool { return !there(s) }, "there is no such thing")
	default:
		o.unexpected(k, code)
	}
}

func (c configChange) String() string {
	verb := "alter"
	if c.replaces {
		verb = "replace"
	}
	s := fmt.Sprintf("%s configs of %d %q, validate %v:", verb, c.kind, c.name, c.validate)
	for _, key := range slices.Sorted(maps.Keys(c.set)) {
		if v := c.set[key]; v != nil {
			s += fmt.Sprintf(" %s=%s", key, *v)
		} else {
			s += " -" + key
		}
	}
	return s
}

package image

import (
	"iter"
	"slices"
	"strings"

	"yakt/records"
)

// The types of resources that have configs.
const (
	ConfigTopic         int8 = 2
	ConfigBroker        int8 = 4 // the name is the broker's id, or "" for all brokers
	ConfigLogger        int8 = 8 // the loggers of one process (KIP-412): nothing of it is stored
	ConfigClientMetrics int8 = 16
	ConfigGroup         int8 = 32
)

// resource is what is set for one resource. Never empty.
type resource struct {
	by      *owner
	name    string
	entries []configEntry // by name
}

type configEntry struct{ name, value string }

func (r *resource) find(name string) (int, bool) {
	return slices.BinarySearchFunc(r.entries, name, func(e configEntry, name string) int { return strings.Compare(e.name, name) })
}

func configKey(resourceType int8, name string) string {
	var buf [64]byte
	return string(append(append(buf[:0], byte(resourceType)), name...))
}

// Config returns what is set for one key of a resource; false when nothing is.
// A default that lies with another resource, or with none, is not looked for.
func (i *Image) Config(resourceType int8, resourceName, key string) (string, bool) {
	r, ok := i.configs.get(configKey(resourceType, resourceName))
	if !ok {
		return "", false
	}
	at, ok := r.find(key)
	if !ok {
		return "", false
	}
	return r.entries[at].value, true
}

// Configs iterates over the keys and values that are set for a resource, by key.
func (i *Image) Configs(resourceType int8, resourceName string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		r, ok := i.configs.get(configKey(resourceType, resourceName))
		if !ok {
			return
		}
		for _, e := range r.entries {
			if !yield(e.name, e.value) {
				return
			}
		}
	}
}

// NumConfigs is the number of keys that are set for a resource.
func (i *Image) NumConfigs(resourceType int8, resourceName string) int {
	r, ok := i.configs.get(configKey(resourceType, resourceName))
	if !ok {
		return 0
	}
	return len(r.entries)
}

// ConfigResources iterates over the names of the resources of one type for which something is set, by name.
func (i *Image) ConfigResources(resourceType int8) iter.Seq[string] {
	return func(yield func(string) bool) {
		i.configs.from(configKey(resourceType, ""), func(key string, r *resource) bool {
			return key[0] == byte(resourceType) && yield(r.name)
		})
	}
}

func (e *Edit) replayConfig(o *owner, c *records.Config) {
	key := configKey(c.ResourceType, c.ResourceName)
	r, ok := e.head.configs.get(key)
	if !ok {
		if c.Value != nil {
			e.head.configs.set(o, key, &resource{by: o, name: c.ResourceName, entries: []configEntry{{c.Name, *c.Value}}})
		}
		return
	}
	at, found := r.find(c.Name)
	if c.Value == nil && !found {
		return
	}
	if c.Value == nil && len(r.entries) == 1 {
		e.head.configs.delete(o, key)
		return
	}
	if r.by != o {
		r = &resource{by: o, name: r.name, entries: slices.Clone(r.entries)}
		e.head.configs.set(o, key, r)
	}
	switch {
	case c.Value == nil:
		r.entries = slices.Delete(r.entries, at, at+1)
	case found:
		r.entries[at].value = *c.Value
	default:
		r.entries = slices.Insert(r.entries, at, configEntry{c.Name, *c.Value})
	}
}

package records

// Config sets or removes one configuration key of a resource.
type Config struct {
	ResourceType int8 // 2 topic, 4 broker (name "" is the cluster default), 16 client metrics, 32 group
	ResourceName string
	Name         string
	Value        *string // nil removes the key

	Unknown []UnknownTag
}

// APIKey implements Record.
func (*Config) APIKey() Key { return KeyConfig }

func (r *Config) fields(c *codec) {
	c.int8("resourceType", &r.ResourceType)
	c.string("resourceName", &r.ResourceName)
	c.string("name", &r.Name)
	c.stringOrNull("value", &r.Value)
	c.unknownTags(&r.Unknown)
}

package records

// BeginTransaction opens a metadata transaction (KIP-868): what follows counts only once EndTransaction is read.
type BeginTransaction struct {
	Name *string

	Unknown []UnknownTag
}

// EndTransaction makes the open metadata transaction's records count.
type EndTransaction struct {
	Unknown []UnknownTag
}

// AbortTransaction discards the open metadata transaction's records.
type AbortTransaction struct {
	Reason *string

	Unknown []UnknownTag
}

// NoOp changes nothing but takes an offset (KIP-835).
type NoOp struct {
	Unknown []UnknownTag
}

// APIKey implements Record.
func (*BeginTransaction) APIKey() Key { return KeyBeginTransaction }

// APIKey implements Record.
func (*EndTransaction) APIKey() Key { return KeyEndTransaction }

// APIKey implements Record.
func (*AbortTransaction) APIKey() Key { return KeyAbortTransaction }

// APIKey implements Record.
func (*NoOp) APIKey() Key { return KeyNoOp }

func (r *BeginTransaction) fields(c *codec) {
	c.tagStringOrNull(0, 0, "name", &r.Name)
	c.unknownTags(&r.Unknown)
}

func (r *EndTransaction) fields(c *codec) { c.unknownTags(&r.Unknown) }

func (r *AbortTransaction) fields(c *codec) {
	c.tagStringOrNull(0, 0, "reason", &r.Reason)
	c.unknownTags(&r.Unknown)
}

func (r *NoOp) fields(c *codec) { c.unknownTags(&r.Unknown) }

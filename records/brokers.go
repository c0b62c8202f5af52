package records

// Endpoint is one listener of a broker or controller.
type Endpoint struct {
	Name             string // listener name
	Host             string
	Port             uint16
	SecurityProtocol int16 // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL

	Unknown []UnknownTag
}

// FeatureRange is the range of levels of one feature that a node supports.
type FeatureRange struct {
	Name string
	Min  int16
	Max  int16

	Unknown []UnknownTag
}

// RegisterBroker says that a broker, in one incarnation, belongs to the cluster (KIP-631).
// Version 1 adds InControlledShutdown, 2 IsMigratingZkBroker, 3 LogDirs (KIP-858), 4 CordonedLogDirs (KIP-1066).
type RegisterBroker struct {
	BrokerID             int32
	IsMigratingZkBroker  bool
	IncarnationID        UUID
	BrokerEpoch          int64 // offset at which the registering operation's records begin
	EndPoints            []Endpoint
	Features             []FeatureRange
	Rack                 *string
	Fenced               bool
	InControlledShutdown bool
	LogDirs              []UUID
	CordonedLogDirs      []UUID // nil: not known yet; empty: none

	Unknown []UnknownTag
}

// UnregisterBroker takes a broker out of the cluster.
type UnregisterBroker struct {
	BrokerID    int32
	BrokerEpoch int64

	Unknown []UnknownTag
}

// FenceBroker is read, never written: BrokerRegistrationChange replaced it.
type FenceBroker struct {
	ID    int32
	Epoch int64

	Unknown []UnknownTag
}

// UnfenceBroker is read, never written: BrokerRegistrationChange replaced it.
type UnfenceBroker struct {
	ID    int32
	Epoch int64

	Unknown []UnknownTag
}

// BrokerRegistrationChange changes a registered broker's state (KIP-746).
// The version follows the content: 0 fencing, 1 controlled shutdown, 2 log directories, 3 cordoned ones.
type BrokerRegistrationChange struct {
	BrokerID             int32
	BrokerEpoch          int64
	Fenced               int8   // 1 fence, -1 unfence, 0 no change
	InControlledShutdown int8   // 1 begin, 0 no change
	LogDirs              []UUID // empty: no change
	CordonedLogDirs      []UUID // nil: no change; empty: none cordoned

	Unknown []UnknownTag
}

// RegisterController says which endpoints and features a controller has (KIP-919).
type RegisterController struct {
	ControllerID     int32
	IncarnationID    UUID
	ZkMigrationReady bool
	EndPoints        []Endpoint
	Features         []FeatureRange

	Unknown []UnknownTag
}

// ProducerIDs hands a block of producer ids to a broker (KIP-730).
type ProducerIDs struct {
	BrokerID       int32
	BrokerEpoch    int64
	NextProducerID int64 // first id after the block

	Unknown []UnknownTag
}

// APIKey implements Record.
func (*RegisterBroker) APIKey() Key { return KeyRegisterBroker }

// APIKey implements Record.
func (*UnregisterBroker) APIKey() Key { return KeyUnregisterBroker }

// APIKey implements Record.
func (*FenceBroker) APIKey() Key { return KeyFenceBroker }

// APIKey implements Record.
func (*UnfenceBroker) APIKey() Key { return KeyUnfenceBroker }

// APIKey implements Record.
func (*BrokerRegistrationChange) APIKey() Key { return KeyBrokerRegistrationChange }

// APIKey implements Record.
func (*RegisterController) APIKey() Key { return KeyRegisterController }

// APIKey implements Record.
func (*ProducerIDs) APIKey() Key { return KeyProducerIDs }

func (e *Endpoint) fields(c *codec) {
	c.string("name", &e.Name)
	c.string("host", &e.Host)
	c.uint16("port", &e.Port)
	c.int16("securityProtocol", &e.SecurityProtocol)
	c.unknownTags(&e.Unknown)
}

func (f *FeatureRange) fields(c *codec) {
	c.string("name", &f.Name)
	c.int16("minSupportedVersion", &f.Min)
	c.int16("maxSupportedVersion", &f.Max)
	c.unknownTags(&f.Unknown)
}

func (r *RegisterBroker) fields(c *codec) {
	c.int32("brokerId", &r.BrokerID)
	c.boolSince(2, "isMigratingZkBroker", &r.IsMigratingZkBroker)
	c.uuid("incarnationId", &r.IncarnationID)
	c.int64("brokerEpoch", &r.BrokerEpoch)
	structs(c, "endPoints", &r.EndPoints)
	structs(c, "features", &r.Features)
	c.stringOrNull("rack", &r.Rack)
	c.bool("fenced", &r.Fenced)
	c.boolSince(1, "inControlledShutdown", &r.InControlledShutdown)
	c.tagUUIDs(0, 3, "logDirs", &r.LogDirs)
	c.tagUUIDsOrNull(1, 4, "cordonedLogDirs", &r.CordonedLogDirs)
	c.unknownTags(&r.Unknown)
}

func (r *UnregisterBroker) fields(c *codec) {
	c.int32("brokerId", &r.BrokerID)
	c.int64("brokerEpoch", &r.BrokerEpoch)
	c.unknownTags(&r.Unknown)
}

func (r *FenceBroker) fields(c *codec) {
	c.int32("id", &r.ID)
	c.int64("epoch", &r.Epoch)
	c.unknownTags(&r.Unknown)
}

func (r *UnfenceBroker) fields(c *codec) {
	c.int32("id", &r.ID)
	c.int64("epoch", &r.Epoch)
	c.unknownTags(&r.Unknown)
}

func (r *BrokerRegistrationChange) fields(c *codec) {
	c.int32("brokerId", &r.BrokerID)
	c.int64("brokerEpoch", &r.BrokerEpoch)
	c.tagInt8(0, 0, "fenced", &r.Fenced, 0)
	c.tagInt8(1, 1, "inControlledShutdown", &r.InControlledShutdown, 0)
	c.tagUUIDs(2, 2, "logDirs", &r.LogDirs)
	c.tagUUIDsOrNull(3, 3, "cordonedLogDirs", &r.CordonedLogDirs)
	c.unknownTags(&r.Unknown)
}

func (r *RegisterController) fields(c *codec) {
	c.int32("controllerId", &r.ControllerID)
	c.uuid("incarnationId", &r.IncarnationID)
	c.bool("zkMigrationReady", &r.ZkMigrationReady)
	structs(c, "endPoints", &r.EndPoints)
	structs(c, "features", &r.Features)
	c.unknownTags(&r.Unknown)
}

func (r *ProducerIDs) fields(c *codec) {
	c.int32("brokerId", &r.BrokerID)
	c.int64("brokerEpoch", &r.BrokerEpoch)
	c.int64("nextProducerId", &r.NextProducerID)
	c.unknownTags(&r.Unknown)
}

// Package plan decides: each request that changes something is a pure function from a View of the cluster to a
// Result, the metadata records to write and the response to send once they are committed.
//
// Parts: one file a domain (topics, partitions, brokers, …), placement and elections beside them; this file has
// what they share.
//
// Rules: no I/O, no clock, no randomness but the View's, no goroutines, no globals that change. Everything is checked
// first, in Kafka's order, because clients see which error wins; then the records are built, then the response. A function never
// changes the View. Records come in the order of their application and never name a version: the writer picks it by metadata.version.
package plan

import (
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// MaxRecords is how many records one operation may write, as Apache bounds it.
const MaxRecords = 10_000

// MaxWhole is how many records an operation may write that has to happen at once because nobody would finish it by asking again. It
// may take a metadata transaction.
const MaxWhole = 200_000

// maxWhole is MaxWhole, or MaxRecords where metadata transactions do not exist yet.
func (v *View) maxWhole() int {
	if v.level().HasTransactions() {
		return MaxWhole
	}
	return MaxRecords
}

// View is what a plan may look at.
type View struct {
	Image      *image.Image // with everything planned so far, committed or not
	Now        time.Time
	NextOffset int64 // offset that the first record of this operation will take
	Sessions   Sessions
	Rand       *rand.Rand
	Settings   *Settings
}

// Settings are the active controller's own settings, named as in Apache's server.properties.
type Settings struct {
	ClusterID                string
	ControllerIDs            func(id int32) bool // whether a controller of the quorum has this id
	SessionTimeout           time.Duration       // broker.session.timeout.ms
	NumPartitions            int32               // num.partitions
	DefaultReplicationFactor int16               // default.replication.factor
	MinISR                   int32               // min.insync.replicas
	UncleanElection          bool                // unclean.leader.election.enable
	LeaderImbalanceInterval  time.Duration       // leader.imbalance.check.interval.seconds; 0: auto.leader.rebalance.enable is false
	MetadataVersion          records.MetadataVersion
	StepRecords              int                                 // partitions that one step of fencing a broker changes; 0: [MaxRecords]. For the simulator, whose clusters are small
	Self                     *kmsg.ControllerRegistrationRequest // how this node registers as a controller; nil: not at all
	Properties               map[string]string                   // every property the node was given, for the configs a topic inherits
}

// Sessions is the soft state about brokers that lives with one term of the active controller.
type Sessions interface {
	// Alive says whether the broker was heard from, in this epoch, within the session timeout.
	Alive(id int32, epoch int64, now time.Time) bool
	// MetadataOffset is the last offset the broker in this epoch said it has published; -1 when it has not said.
	MetadataOffset(id int32, epoch int64) int64
	// ShutdownOffset is the end offset up to which every active broker must have published before this one may stop;
	// false while it is not being shut down.
	ShutdownOffset(id int32, epoch int64) (int64, bool)
}

// SessionChange is what a plan does to one broker's soft state. The writer applies it when it takes the plan.
type SessionChange struct {
	BrokerID       int32
	Epoch          int64
	MetadataOffset int64 // -1: unchanged
	// BeginShutdown sets the shutdown offset to the end offset of this operation, even if one was set.
	BeginShutdown bool
	// EndShutdown forgets the shutdown offset: the broker is fenced, and if it goes on after all it starts over.
	EndShutdown bool
	// End forgets the session: the broker was fenced by its timeout, unregistered, or another process took its id. One
	// that was told to stop keeps it until it times out, as with Apache Kafka: it may still be there.
	End bool
}

// Result is what a plan decided.
type Result struct {
	Response kmsg.Response
	Records  []records.Record
	Session  *SessionChange // nil: none
	Refusal  *Refusal       // why the request was refused as a whole, when the response has no field for the sentence; nil: it was not
	// Rest decides what is left of something that takes several operations; nil: nothing is left. The writer has it planned as soon
	// as those had their turn who wait already, on a view that has these records and may have others: whatever Rest
	// remembers is where to look first, never what is there.
	Rest func(*View) Result
}

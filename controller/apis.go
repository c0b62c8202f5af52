package controller

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/plan"
	"yakt/controller/query"
)

// api is one row of the table of what is served. Exactly one of plan, query and begin is set.
type api struct {
	min, max    int16
	forwardable bool // a broker may send it in an envelope for its clients
	plan        func(*plan.View, kmsg.Request) plan.Result
	query       func(*query.Context, kmsg.Request) kmsg.Response
	begin       func(*Controller, context.Context, Caller, kmsg.Request) func() (kmsg.Response, error)
}

// apis is what is served, and nothing else is advertised.
var apis map[int16]api

func init() { // the envelope's handler looks into the table
	apis = map[int16]api{
		kmsg.Fetch.Int16():                      {min: 4, max: 18, begin: fetch},
		kmsg.Metadata.Int16():                   {min: 0, max: 13, begin: metadata},
		kmsg.FindCoordinator.Int16():            {min: 0, max: 6, query: asking(query.FindCoordinator)},
		kmsg.ListGroups.Int16():                 {min: 0, max: 5, query: asking(query.ListGroups)},
		kmsg.ApiVersions.Int16():                {min: 0, max: 4, query: asking(query.APIVersions)},
		kmsg.CreateTopics.Int16():               {min: 2, max: 7, forwardable: true, plan: planning(plan.CreateTopics)},
		kmsg.DeleteTopics.Int16():               {min: 1, max: 6, forwardable: true, plan: planning(plan.DeleteTopics)},
		kmsg.InitProducerID.Int16():             {min: 0, max: 5, begin: initProducerID},
		kmsg.DescribeACLs.Int16():               {min: 1, max: 3, query: asking(query.DescribeACLs)},
		kmsg.DescribeConfigs.Int16():            {min: 1, max: 4, query: asking(query.DescribeConfigs)},
		kmsg.AlterConfigs.Int16():               {min: 0, max: 2, forwardable: true, plan: planning(plan.AlterConfigs)},
		kmsg.DescribeLogDirs.Int16():            {min: 1, max: 5, query: asking(query.DescribeLogDirs)},
		kmsg.CreatePartitions.Int16():           {min: 0, max: 3, forwardable: true, plan: planning(plan.CreatePartitions)},
		kmsg.IncrementalAlterConfigs.Int16():    {min: 0, max: 1, forwardable: true, plan: planning(plan.IncrementalAlterConfigs)},
		kmsg.ElectLeaders.Int16():               {min: 0, max: 2, forwardable: true, plan: planning(plan.ElectLeaders)},
		kmsg.AlterPartitionAssignments.Int16():  {min: 0, max: 1, forwardable: true, plan: planning(plan.AlterPartitionAssignments)},
		kmsg.ListPartitionReassignments.Int16(): {min: 0, max: 0, forwardable: true, query: asking(query.ListPartitionReassignments)},
		kmsg.DescribeQuorum.Int16():             {min: 0, max: 2, forwardable: true, begin: describeQuorum},
		kmsg.AlterPartition.Int16():             {min: 2, max: 3, plan: planning(plan.AlterPartition)},
		kmsg.Envelope.Int16():                   {min: 0, max: 0, begin: envelope},
		kmsg.FetchSnapshot.Int16():              {min: 0, max: 1, begin: fetchSnapshot},
		kmsg.DescribeCluster.Int16():            {min: 0, max: 2, begin: describeCluster},
		kmsg.BrokerRegistration.Int16():         {min: 0, max: 4, plan: planning(plan.RegisterBroker)},
		kmsg.BrokerHeartbeat.Int16():            {min: 0, max: 2, plan: planning(plan.Heartbeat)},
		kmsg.UnregisterBroker.Int16():           {min: 0, max: 0, forwardable: true, plan: planning(plan.UnregisterBroker)},
		kmsg.ListTransactions.Int16():           {min: 0, max: 2, query: asking(query.ListTransactions)},
		kmsg.AllocateProducerIDs.Int16():        {min: 0, max: 0, plan: planning(plan.AllocateProducerIDs)},
		kmsg.ConsumerGroupHeartbeat.Int16():     {min: 0, max: 1, query: asking(query.ConsumerGroupHeartbeat)},
		kmsg.ControllerRegistration.Int16():     {min: 0, max: 0, plan: planning(plan.RegisterController)},
		kmsg.AssignReplicasToDirs.Int16():       {min: 0, max: 0, plan: planning(plan.AssignReplicasToDirs)},
		kmsg.ListConfigResources.Int16():        {min: 0, max: 1, query: asking(query.ListConfigResources)},
		kmsg.DescribeTopicPartitions.Int16():    {min: 0, max: 0, query: asking(query.DescribeTopicPartitions)},
		kmsg.AddRaftVoter.Int16():               {min: 0, max: 1, forwardable: true, begin: addVoter},
		kmsg.RemoveRaftVoter.Int16():            {min: 0, max: 0, forwardable: true, begin: removeVoter},
	}
	for key, a := range apis {
		versions = append(versions, query.APIVersion{Key: key, Min: a.min, Max: a.max})
	}
	slices.SortFunc(versions, func(a, b query.APIVersion) int { return cmp.Compare(a.Key, b.Key) })
}

// planning adapts a plan for one request type.
func planning[R kmsg.Request](f func(*plan.View, R) plan.Result) func(*plan.View, kmsg.Request) plan.Result {
	return func(v *plan.View, req kmsg.Request) plan.Result { return f(v, req.(R)) }
}

// asking adapts a query for one request type.
func asking[R kmsg.Request](f func(*query.Context, R) kmsg.Response) func(*query.Context, kmsg.Request) kmsg.Response {
	return func(q *query.Context, req kmsg.Request) kmsg.Response { return f(q, req.(R)) }
}

func fetch(c *Controller, ctx context.Context, _ Caller, req kmsg.Request) func() (kmsg.Response, error) {
	return func() (kmsg.Response, error) { return c.observers.fetch(ctx, req.(*kmsg.FetchRequest)) }
}

func fetchSnapshot(c *Controller, _ context.Context, _ Caller, req kmsg.Request) func() (kmsg.Response, error) {
	return func() (kmsg.Response, error) { return c.observers.fetchSnapshot(req.(*kmsg.FetchSnapshotRequest)) }
}

func describeQuorum(c *Controller, _ context.Context, _ Caller, req kmsg.Request) func() (kmsg.Response, error) {
	return func() (kmsg.Response, error) { return c.observers.describeQuorum(req.(*kmsg.DescribeQuorumRequest)) }
}

// versions lists what is served, in the order of the keys.
var versions []query.APIVersion

// Versions lists what is served, in the order of the keys.
func Versions() []query.APIVersion { return slices.Clone(versions) }

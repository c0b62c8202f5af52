package controller

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/query"
	"yakt/records"
)

// How clients find the active controller, or whom to ask for it. They ask any node for the cluster, and then they go on asking the one that they have
// a connection to: Java's admin client asks another only when that one is gone, and so does a broker that fetches from a leader. So a node
// that hears of no leader
//
//   - waits a while for the next one before it answers who the controllers are, if it is of the quorum;
//   - ends the connection after an answer that names no active controller; outside of the quorum (not let in yet, or removed) after one
//     that lists nodes for clients of brokers, too;
//   - ends the connection of a broker that takes it for the leader, if it was and has lost its majority (observers.go).

// findingPatience is how long an answer may wait for a leader: an election takes a second or two, a client gives up after thirty.
const findingPatience = 3 * time.Second

// errElsewhere ends a connection after its answer: whoever is at the other end had better ask another node.
var errElsewhere = errors.New("controller: ask another node")

func describeCluster(c *Controller, ctx context.Context, _ Caller, req kmsg.Request) func() (kmsg.Response, error) {
	return func() (kmsg.Response, error) {
		req := req.(*kmsg.DescribeClusterRequest)
		controllers := query.AsksForControllers(req)
		if controllers && !c.outside() {
			c.awaitLeader(ctx)
		}
		return query.DescribeCluster(c.context(), req), c.elsewhere(controllers)
	}
}

func metadata(c *Controller, _ context.Context, _ Caller, req kmsg.Request) func() (kmsg.Response, error) {
	return func() (kmsg.Response, error) {
		return query.Metadata(c.context(), req.(*kmsg.MetadataRequest)), c.elsewhere(false)
	}
}

// elsewhere is an error where clients that look for the quorum, or for its controllers, had better look elsewhere.
func (c *Controller) elsewhere(controllers bool) error {
	if !c.hears() && (controllers || c.outside()) {
		return errElsewhere
	}
	return nil
}

// hears says whether a leader is known.
func (c *Controller) hears() bool {
	leader, _ := c.Leader()
	return leader >= 0
}

// outside says whether this node is no voter of the quorum, as far as it knows.
func (c *Controller) outside() bool {
	return !slices.ContainsFunc(c.log.Voters(), func(v records.Voter) bool { return v.ID == c.nodeID })
}

// awaitLeader waits until a leader is known, for a while.
func (c *Controller) awaitLeader(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, findingPatience)
	defer cancel()
	for {
		leader, epoch := c.log.Leader()
		if c.hears() || c.log.Wait(ctx, math.MaxInt64, leader, epoch) != nil {
			return
		}
	}
}

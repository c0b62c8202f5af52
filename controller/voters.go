package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/plan"
	"yakt/records"
)

// The quorum changed by request: AddRaftVoter and RemoveRaftVoter (KIP-853). The log does it; KRaftVoters follows it (reportVoters),
// and the answer leaves when that is committed. One change at a time: whoever comes meanwhile is told to try again.

const (
	// maxVoterWait is how long an answer may take. Clients and brokers give a request up after 30 s.
	maxVoterWait = 25 * time.Second
	// removeVoterWait is for a request that has no timeout of its own.
	removeVoterWait = 15 * time.Second
)

// replicaKey is who follows or votes: a node with its directory (KIP-853).
type replicaKey struct {
	id        int32
	directory records.UUID
}

// String is ID:DIRECTORY.
func (k replicaKey) String() string { return fmt.Sprintf("%d:%s", k.id, k.directory) }

func (k replicaKey) is(v records.Voter) bool { return k.id == v.ID && k.directory == v.DirectoryID }

// addVoter answers AddRaftVoter v0–1.
func addVoter(c *Controller, ctx context.Context, from Caller, r kmsg.Request) func() (kmsg.Response, error) {
	req := r.(*kmsg.AddRaftVoterRequest)
	return func() (kmsg.Response, error) {
		resp := req.ResponseKind().(*kmsg.AddRaftVoterResponse)
		key := replicaKey{req.VoterID, req.VoterDirectoryID}
		ctx, cancel := context.WithTimeout(ctx, min(time.Duration(req.TimeoutMillis)*time.Millisecond, maxVoterWait))
		defer cancel()
		refused := c.changeVoters(req.ClusterID, key, func() *plan.Refusal {
			address, ok := c.endpointIn(req.Listeners)
			if !ok {
				return refuseVoter(kerr.InvalidRequest, "The request has no endpoint named %s, the name of this cluster's controller listener.", c.listenerName)
			}
			return c.add(ctx, key, address, req.Version < 1 || req.AckWhenCommitted)
		})
		c.noteVoters("AddRaftVoter", from, key, refused)
		if refused != nil {
			resp.ErrorCode, resp.ErrorMessage = refused.Err.Code, &refused.Message
		}
		return resp, nil
	}
}

// removeVoter answers RemoveRaftVoter v0.
func removeVoter(c *Controller, ctx context.Context, from Caller, r kmsg.Request) func() (kmsg.Response, error) {
	req := r.(*kmsg.RemoveRaftVoterRequest)
	return func() (kmsg.Response, error) {
		resp := req.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
		key := replicaKey{req.VoterID, req.VoterDirectoryID}
		ctx, cancel := context.WithTimeout(ctx, removeVoterWait)
		defer cancel()
		refused := c.changeVoters(req.ClusterID, key, func() *plan.Refusal { return c.remove(ctx, key) })
		c.noteVoters("RemoveRaftVoter", from, key, refused)
		if refused != nil {
			resp.ErrorCode, resp.ErrorMessage = refused.Err.Code, &refused.Message
		}
		return resp, nil
	}
}

func (c *Controller) noteVoters(api string, from Caller, key replicaKey, refused *plan.Refusal) {
	if refused != nil {
		c.logger.Info("refused", "who", api+" by "+from.Principal, "voter", key.String(), "err", refused)
	} else {
		c.logger.Info("the quorum was changed", "who", api+" by "+from.Principal, "voter", key.String())
	}
}

func refuseVoter(err *kerr.Error, format string, args ...any) *plan.Refusal {
	return &plan.Refusal{Err: err, Message: fmt.Sprintf(format, args...)}
}

// changeVoters does what both requests have in common, in Apache's order.
func (c *Controller) changeVoters(clusterID *string, key replicaKey, change func() *plan.Refusal) *plan.Refusal {
	leader, _ := c.log.Leader()
	switch {
	case clusterID != nil && *clusterID != c.clusterID:
		return refuseVoter(kerr.InconsistentClusterID, "The request is for cluster %s, and this is cluster %s.", *clusterID, c.clusterID)
	case leader != c.nodeID:
		return refuseVoter(kerr.NotLeaderForPartition, "This node does not lead the quorum; ask the one that does.")
	case key.id < 0 || key.directory == (records.UUID{}):
		return refuseVoter(kerr.InvalidRequest, "The request names no voter: it takes a node id and a directory id.")
	}
	return change()
}

// oneAtATime has the quorum changed once this node may.
func (c *Controller) oneAtATime(change func() *plan.Refusal) *plan.Refusal {
	if !c.changing.TryLock() {
		return refuseVoter(kerr.RequestTimedOut, "Another change of the quorum is under way; try again when it is done.")
	}
	defer c.changing.Unlock()
	switch {
	case !c.Active():
		return refuseVoter(kerr.RequestTimedOut, "This node has just been elected and is taking over; try again.")
	case !sameVoters(c.Image().Voters(), c.log.Voters()):
		return refuseVoter(kerr.RequestTimedOut, "The last change of the quorum is not committed yet; try again.")
	}
	return change()
}

func (c *Controller) add(ctx context.Context, key replicaKey, address string, wait bool) *plan.Refusal {
	return c.oneAtATime(func() *plan.Refusal {
		for _, v := range c.Image().Voters().Voters {
			if v.ID == key.id {
				return refuseVoter(kerr.DuplicateVoter, "Node %d votes already, with directory %s.", v.ID, v.DirectoryID)
			}
		}
		if err := c.log.AddVoter(ctx, key.id, key.directory, address); err != nil {
			return c.voterRefusal(err)
		}
		if wait && !c.reported(ctx, func(v []records.Voter) bool { return slices.ContainsFunc(v, key.is) }) {
			return c.unreported("Node %d was let in and does not vote yet: it has to catch up first. It votes when it has; nothing need be asked for again.", key.id)
		}
		return nil
	})
}

func (c *Controller) remove(ctx context.Context, key replicaKey) *plan.Refusal {
	return c.oneAtATime(func() *plan.Refusal {
		member, others := false, 0
		c.log.Progress(func(id int32, directory records.UUID, voter bool, _ int64, _, _ time.Time) {
			is := key == replicaKey{id, directory}
			member = member || is
			if voter && !is {
				others++
			}
		})
		switch {
		case !member:
			return refuseVoter(kerr.VoterNotFound, "The quorum has no member %d with directory %s.", key.id, key.directory)
		case others == 0:
			return refuseVoter(kerr.VoterNotFound, "Node %d is the only voter there is; it cannot be removed.", key.id)
		}
		if err := c.log.RemoveVoter(ctx, key.id, key.directory); err != nil {
			return c.voterRefusal(err)
		}
		if !c.reported(ctx, func(v []records.Voter) bool { return !slices.ContainsFunc(v, key.is) }) {
			return c.unreported("Node %d was removed, and that is not in the log yet.", key.id)
		}
		return nil
	})
}

// reported waits until the voters in the log's records are as they should be.
func (c *Controller) reported(ctx context.Context, as func([]records.Voter) bool) bool {
	for {
		leader, epoch := c.log.Leader()
		end := c.log.EndOffset()
		if v := c.Image().Voters(); v != nil && as(v.Voters) {
			return true
		}
		if leader != c.nodeID || c.log.Wait(ctx, end, leader, epoch) != nil {
			return false
		}
	}
}

// voterRefusal says what is answered when the log has not done what was asked for.
func (c *Controller) voterRefusal(err error) *plan.Refusal {
	if errors.Is(err, fs.ErrInvalid) {
		return refuseVoter(kerr.InvalidRequest, "%v", err)
	}
	return c.unreported("%v", err)
}

func (c *Controller) unreported(format string, args ...any) *plan.Refusal {
	if _, leading := c.log.Leading(); !leading {
		return refuseVoter(kerr.NotLeaderForPartition, "This node no longer leads the quorum; ask the one that does.")
	}
	return refuseVoter(kerr.RequestTimedOut, format, args...)
}

// endpointIn is where the new voter's controller listener is.
func (c *Controller) endpointIn(listeners []kmsg.AddRaftVoterRequestListener) (address string, ok bool) {
	for _, l := range listeners {
		if l.Name == c.listenerName {
			return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))), true
		}
	}
	return "", false
}

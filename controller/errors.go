package controller

import (
	"errors"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/plan"
	"yakt/records"
)

var (
	errNotActive = errors.New("controller: this node is not the active controller")
	errAbandoned = errors.New("controller: decided on a state that was not committed")
	errUnsettled = errors.New("controller: work of an earlier term has not settled yet")

	errTooLarge   = &plan.Refusal{Err: kerr.PolicyViolation, Message: "The request makes more metadata than one operation may; split it into several requests."}
	errUnwritable = &plan.Refusal{Err: kerr.InvalidRequest, Message: "The request holds a value that cannot be stored, such as text that is not UTF-8; correct it."}
	errOverloaded = &plan.Refusal{Err: kerr.RequestTimedOut, Message: "Too many requests are waiting for the active controller; try again later."}
	errNoRoom     = &plan.Refusal{Err: kerr.KafkaStorageError, Message: "The active controller's disk is nearly full, so nothing was changed; make room on it, then try again."}
	errNotLeading = &plan.Refusal{Err: kerr.NotController, Message: "This node is not the active controller; ask for the cluster's metadata and send the request to the one it names."}
)

// notController is the answer that makes a client look for the active controller and send the request again.
func notController(req kmsg.Request) kmsg.Response { return refusal(req, errNotLeading) }

// refusalFor says what is answered when an operation came to nothing because of err.
func refusalFor(err error) *plan.Refusal {
	var refused *plan.Refusal
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, syscall.ENOSPC):
		return errNoRoom
	}
	return errNotLeading
}

// unwritable says what is wrong with an operation whose records cannot be written.
func unwritable(err error) *plan.Refusal {
	if errors.Is(err, records.ErrBatchFull) {
		return errTooLarge
	}
	return errUnwritable
}

// refusal answers a whole request with one error, wherever its response type reports errors.
func refusal(req kmsg.Request, r *plan.Refusal) kmsg.Response {
	code, message := r.Err.Code, &r.Message
	switch req := req.(type) {
	case *kmsg.CreateTopicsRequest:
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, t := range req.Topics {
			resp.Topics = append(resp.Topics, plan.RefusedTopic(t.Topic, r))
		}
		return resp
	case *kmsg.CreatePartitionsRequest:
		resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
		for _, t := range req.Topics {
			out := kmsg.NewCreatePartitionsResponseTopic()
			out.Topic, out.ErrorCode, out.ErrorMessage = t.Topic, code, message
			resp.Topics = append(resp.Topics, out)
		}
		return resp
	case *kmsg.DeleteTopicsRequest:
		resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
		add := func(name *string, id [16]byte) {
			out := kmsg.NewDeleteTopicsResponseTopic()
			out.Topic, out.TopicID, out.ErrorCode, out.ErrorMessage = name, id, code, message
			resp.Topics = append(resp.Topics, out)
		}
		for _, name := range req.TopicNames {
			add(&name, [16]byte{})
		}
		for _, t := range req.Topics {
			add(t.Topic, t.TopicID)
		}
		return resp
	case *kmsg.ElectLeadersRequest:
		return plan.ElectLeadersRefusal(req, r)
	case *kmsg.AlterPartitionAssignmentsRequest:
		return plan.AlterPartitionAssignmentsRefusal(req, r)
	case *kmsg.IncrementalAlterConfigsRequest:
		resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		for _, r := range req.Resources {
			out := kmsg.NewIncrementalAlterConfigsResponseResource()
			out.ResourceType, out.ResourceName, out.ErrorCode, out.ErrorMessage = r.ResourceType, r.ResourceName, code, message
			resp.Resources = append(resp.Resources, out)
		}
		return resp
	case *kmsg.AlterConfigsRequest:
		resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
		for _, r := range req.Resources {
			out := kmsg.NewAlterConfigsResponseResource()
			out.ResourceType, out.ResourceName, out.ErrorCode, out.ErrorMessage = r.ResourceType, r.ResourceName, code, message
			resp.Resources = append(resp.Resources, out)
		}
		return resp
	case *kmsg.BrokerRegistrationRequest:
		resp := req.ResponseKind().(*kmsg.BrokerRegistrationResponse)
		resp.ErrorCode, resp.BrokerEpoch = code, -1
		return resp
	case *kmsg.BrokerHeartbeatRequest:
		resp := req.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
		resp.ErrorCode, resp.IsFenced = code, true
		return resp
	case *kmsg.UnregisterBrokerRequest:
		resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
		resp.ErrorCode, resp.ErrorMessage = code, message
		return resp
	case *kmsg.AlterPartitionRequest:
		resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.ControllerRegistrationRequest:
		resp := req.ResponseKind().(*kmsg.ControllerRegistrationResponse)
		resp.ErrorCode, resp.ErrorMessage = code, message
		return resp
	case *kmsg.AssignReplicasToDirsRequest:
		resp := req.ResponseKind().(*kmsg.AssignReplicasToDirsResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.AllocateProducerIDsRequest:
		resp := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		resp.ErrorCode = code
		return resp
	}
	panic("controller: no refusal for " + kmsg.NameForKey(req.Key()))
}

// saysNotController tells whether a response asks the sender to find another controller. A broker that forwarded the
// request must learn it from the envelope: only that makes it look.
func saysNotController(resp kmsg.Response) bool {
	code := kerr.NotController.Code
	switch resp := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range resp.Topics {
			if t.ErrorCode == code {
				return true
			}
		}
	case *kmsg.CreatePartitionsResponse:
		for _, t := range resp.Topics {
			if t.ErrorCode == code {
				return true
			}
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range resp.Topics {
			if t.ErrorCode == code {
				return true
			}
		}
	case *kmsg.ElectLeadersResponse:
		for _, t := range resp.Topics { // v0 has no code of its own
			for _, p := range t.Partitions {
				if p.ErrorCode == code {
					return true
				}
			}
		}
		return resp.ErrorCode == code
	case *kmsg.AlterPartitionAssignmentsResponse:
		return resp.ErrorCode == code
	case *kmsg.IncrementalAlterConfigsResponse:
		for _, r := range resp.Resources {
			if r.ErrorCode == code {
				return true
			}
		}
	case *kmsg.AlterConfigsResponse:
		for _, r := range resp.Resources {
			if r.ErrorCode == code {
				return true
			}
		}
	case *kmsg.UnregisterBrokerResponse:
		return resp.ErrorCode == code
	case *kmsg.AddRaftVoterResponse:
		return resp.ErrorCode == kerr.NotLeaderForPartition.Code
	case *kmsg.RemoveRaftVoterResponse:
		return resp.ErrorCode == kerr.NotLeaderForPartition.Code
	case *kmsg.DescribeQuorumResponse:
		return resp.ErrorCode == kerr.NotLeaderForPartition.Code || len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1 &&
			resp.Topics[0].Partitions[0].ErrorCode == kerr.NotLeaderForPartition.Code
	}
	return false
}

package plan

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// producerIDBlock is how many producer ids a broker gets at a time.
const producerIDBlock = 1000

// AllocateProducerIDs (v0) hands a broker, known by its current epoch, the next block of producer ids (KIP-730).
func AllocateProducerIDs(v *View, req *kmsg.AllocateProducerIDsRequest) Result {
	resp := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	b, err := v.currentBroker(req.BrokerID, req.BrokerEpoch)
	if err != nil {
		resp.ErrorCode = err.Err.Code
		return Result{Response: resp, Refusal: err}
	}
	return v.nextProducerIDs(resp, b.ID, b.Epoch)
}

// noBrokerEpoch stands for the epoch of a node that is no broker.
const noBrokerEpoch = -1

// OwnProducerIDs hands the active controller itself the next block of producer ids, for clients that ask it for theirs.
// The response is as to AllocateProducerIDs.
func OwnProducerIDs(v *View, controller int32) Result {
	return v.nextProducerIDs(kmsg.NewPtrAllocateProducerIDsResponse(), controller, noBrokerEpoch)
}

// nextProducerIDs hands the next block of producer ids to a node.
func (v *View) nextProducerIDs(resp *kmsg.AllocateProducerIDsResponse, node int32, epoch int64) Result {
	first := v.Image.NextProducerID()
	if first > math.MaxInt64-producerIDBlock {
		err := refuse(kerr.UnknownServerError, "All producer ids up to %d have been handed out.", first)
		resp.ErrorCode = err.Err.Code
		return Result{Response: resp, Refusal: err}
	}
	resp.ProducerIDStart, resp.ProducerIDLen = first, producerIDBlock
	return Result{Response: resp, Records: []records.Record{
		&records.ProducerIDs{BrokerID: node, BrokerEpoch: epoch, NextProducerID: first + producerIDBlock},
	}}
}

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
	first := v.Image.NextProducerID()
	if err == nil && first > math.MaxInt64-producerIDBlock {
		err = refuse(kerr.UnknownServerError, "All producer ids up to %d have been handed out.", first)
	}
	if err != nil {
		resp.ErrorCode = err.Err.Code
		return Result{Response: resp, Refusal: err}
	}
	resp.ProducerIDStart, resp.ProducerIDLen = first, producerIDBlock
	return Result{Response: resp, Records: []records.Record{
		&records.ProducerIDs{BrokerID: b.ID, BrokerEpoch: b.Epoch, NextProducerID: first + producerIDBlock},
	}}
}

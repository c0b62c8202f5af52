package httpapi

import (
	"net/http"

	"yakt/controller/image"
)

type producerIDsJSON struct {
	NextProducerID int64               `json:"nextProducerId"`
	Blocks         []producerBlockJSON `json:"blocks"`
}

type producerBlockJSON struct {
	BrokerID        int32 `json:"brokerId"`
	ProducerIDStart int64 `json:"producerIdStart"`
	ProducerIDLen   int64 `json:"producerIdLen"`
}

func producerIDs(img *image.Image) producerIDsJSON {
	j := producerIDsJSON{NextProducerID: img.NextProducerID(), Blocks: []producerBlockJSON{}}
	for broker, block := range img.ProducerIDBlocks() {
		j.Blocks = append(j.Blocks, producerBlockJSON{broker, block.First, block.Count})
	}
	return j
}

// getProducerIDs answers with the last block each broker got, and the first id that nobody has.
func (s *Server) getProducerIDs(w http.ResponseWriter, _ *http.Request) error {
	img := s.config.Controller.Image()
	writeJSON(w, http.StatusOK, struct {
		Offset int64 `json:"offset"`
		producerIDsJSON
	}{img.EndOffset(), producerIDs(img)})
	return nil
}

// registerProducer hands the next block of producer ids to a broker, for a producer of which the broker knows.
func (s *Server) registerProducer(r *changeRequest) (any, error) {
	id, p := brokerID(r.Request)
	if p == nil {
		p = parseBody(r.body, &struct{}{})
	}
	if p != nil {
		return nil, p
	}
	a, err := s.config.Controller.AllocateProducerIDsFor(r.ctx, r.from, id)
	return struct {
		producerBlockJSON
		Offset int64 `json:"offset"`
	}{producerBlockJSON{id, a.ProducerIDStart, int64(a.ProducerIDLength)}, a.Offset}, refused(a, err)
}

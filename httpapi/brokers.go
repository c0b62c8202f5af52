package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

type brokerJSON struct {
	BrokerID             int32          `json:"brokerId"`
	BrokerEpoch          int64          `json:"brokerEpoch"`
	IncarnationID        records.UUID   `json:"incarnationId"`
	Fenced               bool           `json:"fenced"`
	InControlledShutdown bool           `json:"inControlledShutdown"`
	Rack                 *string        `json:"rack"`
	EndPoints            []endpointJSON `json:"endPoints"`
	Features             []featureRange `json:"features"`
	LogDirs              []records.UUID `json:"logDirs"`
	CordonedLogDirs      []records.UUID `json:"cordonedLogDirs"` // null: the broker has not told yet
}

type endpointJSON struct {
	Name             string `json:"name"`
	Host             string `json:"host"`
	Port             uint16 `json:"port"`
	SecurityProtocol int16  `json:"securityProtocol"`
}

type featureRange struct {
	Name                string `json:"name"`
	MinSupportedVersion int16  `json:"minSupportedVersion"`
	MaxSupportedVersion int16  `json:"maxSupportedVersion"`
}

func toBroker(b *image.Broker) brokerJSON {
	return brokerJSON{
		BrokerID: b.ID, BrokerEpoch: b.Epoch, IncarnationID: b.IncarnationID, Fenced: b.Fenced, InControlledShutdown: b.InControlledShutdown,
		Rack: b.Rack, EndPoints: endpoints(b.EndPoints), Features: ranges(b.Features), LogDirs: orEmpty(b.LogDirs), CordonedLogDirs: b.CordonedLogDirs,
	}
}

func endpoints(list []records.Endpoint) []endpointJSON {
	j := []endpointJSON{}
	for _, e := range list {
		j = append(j, endpointJSON{e.Name, e.Host, e.Port, e.SecurityProtocol})
	}
	return j
}

func ranges(list []records.FeatureRange) []featureRange {
	j := []featureRange{}
	for _, f := range list {
		j = append(j, featureRange{f.Name, f.Min, f.Max})
	}
	return j
}

// getAllBrokers answers with every registration, of fenced brokers too.
func (s *Server) getAllBrokers(w http.ResponseWriter, _ *http.Request) error {
	img := s.config.Controller.Image()
	stream(w, func(o *objectWriter) {
		o.field("offset", img.EndOffset())
		list(o, "brokers", mapped(img.Brokers(), toBroker))
	})
	return nil
}

// getBroker answers with one registration.
func (s *Server) getBroker(w http.ResponseWriter, r *http.Request) error {
	id, p := brokerID(r)
	if p != nil {
		return p
	}
	b, ok := s.config.Controller.Image().Broker(id)
	if !ok {
		return kafkaProblem(kerr.BrokerIDNotRegistered, fmt.Sprintf("No broker %d is registered.", id))
	}
	writeJSON(w, http.StatusOK, toBroker(b))
	return nil
}

// brokerAnswer says what a change of a broker led to; from offset on the image has it.
type brokerAnswer struct {
	BrokerID    int32 `json:"brokerId"`
	BrokerEpoch int64 `json:"brokerEpoch"`
	Offset      int64 `json:"offset"`
}

// registerBroker registers a broker that sends no heartbeats: it is there, unfenced, until somebody changes or deletes it.
func (s *Server) registerBroker(r *changeRequest) (any, error) {
	var body struct {
		BrokerID         int32             `json:"brokerId"`
		BrokerHost       string            `json:"brokerHost"`
		BrokerPort       uint16            `json:"brokerPort"`
		SecurityProtocol *securityProtocol `json:"securityProtocol"`
		RackID           *string           `json:"rackId"`
	}
	if p := parseBody(r.body, &body); p != nil {
		return nil, p
	}
	registration := plan.HandRegistration{BrokerID: body.BrokerID, Host: body.BrokerHost, Port: body.BrokerPort, Rack: body.RackID}
	if body.SecurityProtocol != nil {
		registration.SecurityProtocol = int16(*body.SecurityProtocol)
	}
	a, err := s.config.Controller.RegisterByHand(r.ctx, r.from, registration)
	return brokerAnswer{body.BrokerID, a.BrokerEpoch, a.Offset}, refused(a, err)
}

// deleteBroker unregisters a broker, by hand or not; its partitions get other leaders first.
func (s *Server) deleteBroker(r *changeRequest) (any, error) {
	id, p := brokerID(r.Request)
	if p == nil {
		p = parseBody(r.body, &struct{}{})
	}
	if p != nil {
		return nil, p
	}
	a, err := s.config.Controller.UnregisterByHand(r.ctx, r.from, id)
	return struct {
		BrokerID int32 `json:"brokerId"`
		Offset   int64 `json:"offset"`
	}{id, a.Offset}, refused(a, err)
}

// changeRegistration fences a broker or unfences it, begins its controlled shutdown, or names its log directories.
func (s *Server) changeRegistration(r *changeRequest) (any, error) {
	var body struct {
		BrokerID             int32    `json:"brokerId"`
		Fenced               *bool    `json:"fenced"`
		InControlledShutdown *bool    `json:"inControlledShutdown"`
		LogDirs              uuidList `json:"logDirs"`
	}
	if p := parseBody(r.body, &body); p != nil {
		return nil, p
	}
	a, err := s.config.Controller.ChangeRegistration(r.ctx, r.from, plan.RegistrationChange{
		BrokerID: body.BrokerID, Fenced: body.Fenced, InControlledShutdown: body.InControlledShutdown, LogDirs: body.LogDirs,
	})
	return brokerAnswer{body.BrokerID, a.BrokerEpoch, a.Offset}, refused(a, err)
}

// brokerID is the id in a request's path.
func brokerID(r *http.Request) (int32, *problem) {
	text := parameter(r, "broker_id")
	id, err := strconv.ParseInt(text, 10, 32)
	if err != nil || id < 0 {
		return 0, badRequest("%s is no broker id: it is a whole number from 0 up.", quoted(text))
	}
	return int32(id), nil
}

// securityProtocol is how a listener is spoken to, by Kafka's name or by the number that records have for it.
type securityProtocol int16

func (*securityProtocol) wanted() string {
	return "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, or a number from 0 to 3 for one of them"
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *securityProtocol) UnmarshalJSON(text []byte) error {
	var n int
	var name string
	if json.Unmarshal(text, &name) == nil {
		n = slices.Index(plan.SecurityProtocols[:], name)
	} else if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	if n < 0 || n >= len(plan.SecurityProtocols) {
		return fmt.Errorf("%s is no security protocol", text)
	}
	*p = securityProtocol(n)
	return nil
}

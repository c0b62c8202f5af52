package httpapi

import (
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"yakt/controller"
	"yakt/controller/image"
	"yakt/records"
)

// changeJSON is one committed record.
type changeJSON struct {
	Offset    int64           `json:"offset"`
	Timestamp int64           `json:"timestamp"`
	Type      string          `json:"type"`
	Version   int16           `json:"version"`
	Data      json.RawMessage `json:"data"`
}

// clientChangeJSON is one for clients. What is said about a broker comes with the broker as it is now, null when it is
// not there for clients: who missed its registration could not make it from a record that only unfences it. Now is never
// before the record, and what came in between is among the later changes, so whoever has read all of them has the truth.
type clientChangeJSON struct {
	changeJSON
	Broker json.RawMessage `json:"broker,omitempty"`
}

// brokerMgmt answers with all that changed after a time, or with everything when that is too long ago.
func (s *Server) brokerMgmt(w http.ResponseWriter, r *http.Request) error {
	changes, err := s.changesSince(r)
	if err != nil {
		return err
	}
	s.writeChanges(w, &changes, s.writeImage, func(o *objectWriter, _ *image.Image) {
		list(o, "changes", mapped(slices.Values(changes.Changes), toChange))
	})
	return nil
}

// clientMgmt is the same for clients, who look for topics, partitions and the brokers that are there.
func (s *Server) clientMgmt(w http.ResponseWriter, r *http.Request) error {
	changes, err := s.changesSince(r)
	if err != nil {
		return err
	}
	s.writeChanges(w, &changes, s.writeClientImage, func(o *objectWriter, now *image.Image) {
		list(o, "changes", mapped(forClients(changes.Changes), func(c controller.Change) clientChangeJSON { return toClientChange(c, now) }))
	})
	return nil
}

// writeChanges writes what both answers have. Who leads and who votes is no record of Kafka's metadata; it is at the top
// of every answer as it is now.
func (s *Server) writeChanges(w http.ResponseWriter, c *controller.Changes, full func(*objectWriter, *image.Image), changes func(*objectWriter, *image.Image)) {
	now := s.config.Controller.Image() // loaded after the changes were, so it has all of them
	leader, epoch := s.leader(now)
	stream(w, func(o *objectWriter) {
		o.field("clusterId", s.config.ClusterID)
		o.field("controllerId", leader)
		o.field("epoch", epoch)
		list(o, "voters", voters(now))
		if c.Image == nil {
			o.field("full", nil)
		} else {
			o.object("full", func(o *objectWriter) { full(o, c.Image) })
		}
		changes(o, now)
		o.field("timestamp", c.Next)
		o.field("more", c.More)
	})
}

// writeClientImage writes the part of the image that clients look for.
func (s *Server) writeClientImage(o *objectWriter, img *image.Image) {
	s.writePosition(o, img)
	list(o, "brokers", mapped(live(img.Brokers()), toBroker))
	list(o, "topics", mapped(img.Topics(), toTopic))
}

// live leaves out the brokers that clients cannot turn to.
func live(brokers iter.Seq[*image.Broker]) iter.Seq[*image.Broker] {
	return func(yield func(*image.Broker) bool) {
		for b := range brokers {
			if !b.Fenced && !yield(b) {
				return
			}
		}
	}
}

func toChange(c controller.Change) changeJSON {
	data, err := records.MarshalJSON(withoutSecrets(c.Record), c.Version)
	if err != nil {
		panic(err) // it was read from the log in this version
	}
	return changeJSON{c.Offset, c.Timestamp, c.Record.APIKey().String(), c.Version, data}
}

func toClientChange(c controller.Change, now *image.Image) clientChangeJSON {
	change := clientChangeJSON{changeJSON: toChange(c)}
	if id, ok := aboutBroker(c.Record); ok {
		change.Broker = json.RawMessage("null")
		if b, ok := now.Broker(id); ok && !b.Fenced {
			text, err := encode(toBroker(b))
			if err != nil {
				panic(err) // plain fields
			}
			change.Broker = text
		}
	}
	return change
}

// forClients leaves out the records that say nothing about topics, partitions and brokers.
func forClients(changes []controller.Change) iter.Seq[controller.Change] {
	return func(yield func(controller.Change) bool) {
		for _, c := range changes {
			if concernsClients(c.Record) && !yield(c) {
				return
			}
		}
	}
}

func concernsClients(r records.Record) bool {
	switch r.(type) {
	case *records.Topic, *records.RemoveTopic, *records.Partition, *records.PartitionChange, *records.ClearELR:
		return true
	}
	_, ok := aboutBroker(r)
	return ok
}

// aboutBroker says which broker a record makes live or not.
func aboutBroker(r records.Record) (id int32, ok bool) {
	switch r := r.(type) {
	case *records.RegisterBroker:
		return r.BrokerID, true
	case *records.UnregisterBroker:
		return r.BrokerID, true
	case *records.FenceBroker:
		return r.ID, true
	case *records.UnfenceBroker:
		return r.ID, true
	case *records.BrokerRegistrationChange:
		return r.BrokerID, true
	}
	return 0, false
}

// changesSince asks the controller what a request's path and parameters ask for.
func (s *Server) changesSince(r *http.Request) (controller.Changes, error) {
	since, p := timestamp(parameter(r, "timestamp"))
	if p != nil {
		return controller.Changes{}, p
	}
	limit := controller.MaxChanges
	if query := r.URL.Query(); query.Has("limit") {
		n, err := strconv.Atoi(query.Get("limit"))
		if err != nil || n < 1 || n > controller.MaxChanges {
			return controller.Changes{}, badRequest("The parameter limit must be a whole number from 1 to %d, not %s.", controller.MaxChanges, quoted(query.Get("limit")))
		}
		limit = n
	}
	return s.config.Controller.ChangesSince(r.Context(), since, limit)
}

// timestamp is a position in time, in milliseconds since the Unix epoch, from the number itself or from RFC 3339.
func timestamp(text string) (int64, *problem) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 {
		return ms, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil && at.UnixMilli() >= 0 {
		return at.UnixMilli(), nil
	}
	return 0, badRequest("%s is no timestamp: it is a number of milliseconds since 1970, as answers have it, or a time such as 2026-07-01T12:00:00Z.", quoted(text))
}

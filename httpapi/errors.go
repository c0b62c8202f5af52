package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/twmb/franz-go/pkg/kerr"

	"yakt/controller/plan"
)

// problem is an answer that is not a success, as RFC 9457 writes it. Its type is left out, which means about:blank: the
// status says it all. Name is the name of Kafka's error, where Kafka has one for it.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Name   string `json:"error,omitempty"`
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// refuse makes a problem from a status and a sentence for the person who sent the request.
func refuse(status int, format string, args ...any) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// badRequest is what no request of Kafka's protocol could have been made from.
func badRequest(format string, args ...any) *problem {
	return kafkaProblem(kerr.InvalidRequest, fmt.Sprintf(format, args...))
}

// statuses is the one place where errors of Kafka become statuses of HTTP. What is not in it is a 503 when Kafka's clients
// would try again, and otherwise a 400: the request was at fault. A 503 promises that nothing was changed, a 504 promises nothing.
var statuses = map[*kerr.Error]int{
	kerr.UnknownTopicOrPartition: http.StatusNotFound,
	kerr.UnknownTopicID:          http.StatusNotFound,
	kerr.BrokerIDNotRegistered:   http.StatusNotFound,
	kerr.ResourceNotFound:        http.StatusNotFound,

	kerr.TopicAlreadyExists:          http.StatusConflict,
	kerr.DuplicateBrokerRegistration: http.StatusConflict,
	kerr.StaleBrokerEpoch:            http.StatusConflict,
	kerr.ReassignmentInProgress:      http.StatusConflict,
	kerr.InvalidUpdateVersion:        http.StatusConflict,
	kerr.InconsistentTopicID:         http.StatusConflict,
	kerr.BrokerNotAvailable:          http.StatusConflict, // it has to do for itself what was asked for it

	kerr.TopicAuthorizationFailed:   http.StatusForbidden,
	kerr.ClusterAuthorizationFailed: http.StatusForbidden,

	kerr.ThrottlingQuotaExceeded: http.StatusTooManyRequests,
	kerr.NotController:           http.StatusGatewayTimeout, // after it was taken: the outcome is not known
	kerr.UnknownServerError:      http.StatusInternalServerError,
}

func status(e *kerr.Error) int {
	if s, ok := statuses[e]; ok {
		return s
	}
	if e.Retriable {
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// kafkaProblem makes a problem from an error of Kafka's and its message; without one the error's own description serves.
func kafkaProblem(e *kerr.Error, message string) *problem {
	if message == "" {
		message = e.Description
	}
	if e == kerr.NotController { // Kafka's clients know what to do about it; people are told
		message = "The active controller changed while the request was under way. Whether it took effect is not known: look before sending it again."
	}
	p := refuse(status(e), "%s", message)
	p.Name = e.Message
	return p
}

// refused is why a change came to nothing: there was no answer, or it is a plan's refusal; nil if it was made.
func refused(a plan.HandAnswer, err error) error {
	if err != nil || a.Refusal == nil {
		return err
	}
	return kafkaProblem(a.Refusal.Err, a.Refusal.Message)
}

// fail ends a request with what went wrong: the problem that err is, or else the one given.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error, otherwise *problem) {
	p := otherwise
	if !errors.As(err, &p) && r.Context().Err() == nil { // whoever has hung up needs no log line
		s.config.Logger.Warn("request without an answer", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	writeProblem(w, p)
}

// unreadable is the answer when a read came to nothing.
func unreadable() *problem {
	return refuse(http.StatusServiceUnavailable, "This node cannot answer now: it is stopping, or its log cannot be read.")
}

// nothingYet is the answer to a read before there is anything to read: an empty cluster would be taken for the truth.
func (s *Server) nothingYet() *problem {
	const nothing = "This node has not heard of any metadata yet: "
	if err := s.config.Ready(); err != nil {
		return refuse(http.StatusServiceUnavailable, nothing+"%v. Ask another node of the quorum, or this one again in a moment.", err)
	}
	leader, _ := s.config.Controller.Leader()
	return refuse(http.StatusServiceUnavailable, nothing+"it has just found its leader. Ask node %d, which leads, or this one again in a moment.", leader)
}

// unknownOutcome is the answer when a change came to nothing that is known.
func unknownOutcome() *problem {
	p := refuse(http.StatusGatewayTimeout, "There was no answer in time. Whether the request took effect is not known: look before sending it again.")
	p.Name = kerr.RequestTimedOut.Message
	return p
}

// writeProblem ends a request. The header may still be edited before.
func writeProblem(w http.ResponseWriter, p *problem) {
	body, err := encode(p)
	if err != nil {
		panic(err) // plain fields
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	header(w, "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n')) // whoever hung up does not read the error either
}

// header sets what every answer has.
func header(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, refuse(http.StatusNotFound, "There is nothing at %s. Try /get_metadata, /get_all_brokers, /livez or /readyz.", excerpt([]byte(r.URL.Path))))
}

// methodNotAllowed names the methods that would do: RFC 9110 asks for the Allow header, and a person for the sentence. The router
// sends all methods here that it has not heard of.
func methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if chi.RouteContext(r.Context()).Routes.Match(chi.NewRouteContext(), method, r.URL.Path) {
			allowed = append(allowed, method)
		}
	}
	switch {
	case r.Method == "PRI": // begins HTTP/2, by a client that takes it for granted
		w.Header().Set("Connection", "close")
		writeProblem(w, refuse(http.StatusHTTPVersionNotSupported, "HTTP/2 is not served here: use HTTP/1.1."))
		return
	case len(allowed) == 0:
		notFound(w, r)
		return
	}
	methods := strings.Join(allowed, ", ")
	w.Header().Set("Allow", methods)
	writeProblem(w, refuse(http.StatusMethodNotAllowed, "%s takes %s, not %s.", excerpt([]byte(r.URL.Path)), methods, excerpt([]byte(r.Method))))
}

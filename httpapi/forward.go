package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Changes can only be made where the leader is, and people and scripts do not know where that is. A node that does not
// lead sends them on, once: a request that was sent on and finds no leader where it arrives is answered so, or two nodes
// that take each other for the leader would send it around for ever.
//
// Who was told of a change through a node finds it there: a success is passed on when this node's image has it, too.

const (
	// forwardedBy names the node that sent a request on.
	forwardedBy = "Yakt-Forwarded-By"
	// dialTimeout is how long a leader may take to accept a connection.
	dialTimeout = 3 * time.Second
	// maxIdleOnward is how many connections to the leader are kept for the next requests.
	maxIdleOnward = 16
	// maxOnwardAnswer is more than the leader says to any change.
	maxOnwardAnswer = 1 << 20
	// catchUpTimeout is how long a success is kept back for this node to have what the leader has. It may have lost the leader meanwhile,
	// and the change is no less made.
	catchUpTimeout = 5 * time.Second
)

// forward has the leader answer a request whose body has been read already.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, body []byte) {
	leader, _ := s.config.Controller.Leader()
	switch {
	case r.Header.Get(forwardedBy) != "":
		writeProblem(w, noLeader("The leader has just changed."))
		return
	case leader < 0:
		writeProblem(w, noLeader("No leader is known: an election is under way, or the quorum has no majority."))
		return
	case leader == s.config.NodeID:
		writeProblem(w, noLeader("This node has been elected and is taking over."))
		return
	}
	addr, ok := s.config.Controller.Image().Voters().Address(leader)
	if !ok {
		writeProblem(w, noLeader("The leader's address is not known yet."))
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: addr})
			p.SetXForwarded()
			p.Out.Header.Set(forwardedBy, strconv.Itoa(int(s.config.NodeID)))
			// The leader would compare them with its own address; they were checked here.
			p.Out.Header.Del("Origin")
			p.Out.Header.Del("Sec-Fetch-Site")
		},
		Transport:      &s.onward,
		ModifyResponse: s.catchUp,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s.config.Logger.Warn("request not answered by the leader", "controller", leader, "address", addr, "method", r.Method, "path", r.URL.Path, "err", err)
			writeProblem(w, unanswered(leader, err))
		},
		ErrorLog: slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug),
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	proxy.ServeHTTP(w, r)
}

// catchUp keeps the leader's answer back until this node has what it tells of.
func (s *Server) catchUp(answer *http.Response) error {
	if answer.StatusCode/100 != 2 {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, answer.Body, maxOnwardAnswer))
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	var made struct {
		Offset int64 `json:"offset"`
	}
	if json.Unmarshal(body, &made) != nil {
		return nil // whatever it is, it is for who asked
	}
	ctx, cancel := context.WithTimeout(answer.Request.Context(), catchUpTimeout)
	defer cancel()
	if err := s.config.Controller.WaitFor(ctx, made.Offset); err != nil {
		s.config.Logger.Info("answered before this node has what the leader did", "offset", made.Offset, "err", err)
	}
	return nil
}

// noLeader is the answer to a change that was not made and may be made in a moment.
func noLeader(reason string) *problem {
	p := refuse(http.StatusServiceUnavailable, "%s Nothing was changed; send the request again in a moment.", reason)
	p.Name = kerr.NotController.Message
	return p
}

// unanswered is the answer when the leader gave none.
func unanswered(leader int32, err error) *problem {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return noLeader("The leader cannot be reached.")
	case errors.Is(err, context.DeadlineExceeded):
		return unknownOutcome()
	}
	p := refuse(http.StatusGatewayTimeout, "Node %d, which leads, closed the connection without an answer. If it was started with --http=off, nothing was changed, and no node makes "+
		"changes by HTTP while it leads. Otherwise it is stopping, and whether the request took effect is not known: look before sending it again.", leader)
	p.Name = kerr.NetworkException.Message
	return p
}

// readOnly is the answer to a change where there are none, with the name of the node: who asked may have asked another one.
func (s *Server) readOnly(r *http.Request) *problem {
	if r.Header.Get(forwardedBy) != "" {
		return refuse(http.StatusForbidden, "Node %d leads and was started with --http=read: no node makes changes by HTTP while it does.", s.config.NodeID)
	}
	return refuse(http.StatusForbidden, "Node %d changes nothing by HTTP: it was started with --http=read.", s.config.NodeID)
}

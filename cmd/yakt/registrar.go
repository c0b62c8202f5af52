package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
	"yakt/controller/plan"
	"yakt/raftlog"
	"yakt/records"
	"yakt/wire"
)

const (
	// lookInterval is how often a registrar looks whether its node is still registered. Nobody needs it sooner.
	lookInterval = time.Second
	// firstRetry doubles with each attempt in a row, up to lastRetry.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
	// askTimeout is how long the active controller may take to accept a connection and answer.
	askTimeout = 5 * time.Second
)

// registrar sees to it that the cluster knows this process (KIP-919): whenever the image does not have its registration, it
// asks the active controller to write it, be that this node or another. What it goes by is the image alone, so it does not
// matter whether an answer was lost or who leads next.
type registrar struct {
	controller *controller.Controller
	log        *raftlog.Log
	request    *kmsg.ControllerRegistrationRequest
	dial       func(ctx context.Context, addr string) (net.Conn, error)
	logger     *slog.Logger
	complained int32 // of this leader, since the registration is missing; -1: of none
}

// registration is what this process says of itself, with an incarnation id of its own.
func (s Settings) registration(advertise string) (*kmsg.ControllerRegistrationRequest, error) {
	host, port, err := splitAddr(advertise, false)
	if err != nil {
		return nil, fmt.Errorf("the advertised address %q: %w", advertise, err)
	}
	req := kmsg.NewPtrControllerRegistrationRequest()
	req.ControllerID, req.IncarnationID = s.NodeID, records.RandomUUID(rand.Reader)
	req.Listeners = []kmsg.ControllerRegistrationRequestListener{{Name: s.ListenerName, Host: host, Port: port}}
	for _, f := range records.SupportedFeatures() {
		req.Features = append(req.Features, kmsg.ControllerRegistrationRequestFeature{
			Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max,
		})
	}
	return req, nil
}

// run works until ctx ends.
func (r *registrar) run(ctx context.Context) {
	retry := firstRetry
	r.complained = -1
	for {
		pause := lookInterval
		if leader, _ := r.controller.Leader(); leader >= 0 && r.due() {
			if err := r.register(ctx, leader); err != nil {
				pause = retry
				r.complain(ctx, leader, err)
			}
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// due says whether a registration is missing that would be accepted.
func (r *registrar) due() bool {
	im := r.controller.Image()
	if !im.MetadataVersion().HasControllerRegistration() || plan.ControllerRegistered(im, r.request) {
		r.complained = -1
		return false
	}
	self := r.log.DirectoryID() // an emptied node has another, and its successor under its id another again
	return slices.ContainsFunc(r.voters().Voters, func(v records.Voter) bool {
		return v.ID == r.request.ControllerID && v.DirectoryID == self
	})
}

// voters are those that the image names, or that raft knows while it names none.
func (r *registrar) voters() *records.KRaftVoters {
	if v := r.controller.Image().Voters(); v != nil {
		return v
	}
	return &records.KRaftVoters{Voters: r.log.Voters()}
}

// register asks the leader once.
func (r *registrar) register(ctx context.Context, leader int32) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := r.ask(ctx, leader)
	if err != nil {
		return err
	}
	answer := resp.(*kmsg.ControllerRegistrationResponse)
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		if answer.ErrorMessage != nil {
			return fmt.Errorf("%w: %s", err, *answer.ErrorMessage)
		}
		return err
	}
	return nil
}

func (r *registrar) ask(ctx context.Context, leader int32) (kmsg.Response, error) {
	clientID := fmt.Sprintf("controller-%d", r.request.ControllerID)
	if leader == r.request.ControllerID {
		return r.controller.Handle(ctx, controller.Caller{ClientID: clientID}, r.request)
	}
	addr, ok := r.voters().Address(leader)
	if !ok {
		return nil, errors.New("the leader's address is not known yet")
	}
	conn, err := r.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return wire.Ask(ctx, conn, clientID, r.request)
}

// complain logs once what is wrong with a leader. That it no longer leads is not wrong.
func (r *registrar) complain(ctx context.Context, leader int32, err error) {
	if ctx.Err() != nil || errors.Is(err, kerr.NotController) || leader == r.complained {
		return
	}
	r.complained = leader
	r.logger.Warn("this controller could not register itself yet and tries again", "controller", leader, "err", err)
}

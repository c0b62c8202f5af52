package controller

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// envelope answers Envelope v0 (KIP-590): a client's request that a broker forwards, header and all, with the client's
// principal and address. The inner request is begun as if the client had sent it.
func envelope(c *Controller, ctx context.Context, from Caller, outer kmsg.Request) func() (kmsg.Response, error) {
	req := outer.(*kmsg.EnvelopeRequest)
	resp := req.ResponseKind().(*kmsg.EnvelopeResponse)
	refuse := func(e *kerr.Error, err error) func() (kmsg.Response, error) {
		c.logger.Warn("envelope refused", "err", err)
		resp.ErrorCode = e.Code
		return func() (kmsg.Response, error) { return resp, nil }
	}
	principal, err := decodePrincipal(req.RequestPrincipal)
	if err != nil {
		return refuse(kerr.PrincipalDeserializationFailure, err)
	}
	host, ok := netip.AddrFromSlice(req.ClientHostAddress)
	if !ok {
		return refuse(kerr.InvalidRequest, fmt.Errorf("controller: a client address of %d bytes", len(req.ClientHostAddress)))
	}
	inner, err := decodeForwarded(req.RequestData)
	if err != nil {
		return refuse(kerr.UnsupportedVersion, err)
	}
	if !apis[inner.request.Key()].forwardable {
		return refuse(kerr.InvalidRequest, fmt.Errorf("controller: %s is not for forwarding", kmsg.NameForKey(inner.request.Key())))
	}
	finish := c.Begin(ctx, Caller{Principal: principal, Host: host.String(), ClientID: inner.clientID, Listener: from.Listener}, inner.request)
	return func() (kmsg.Response, error) {
		answer, err := finish()
		switch {
		case err != nil:
			return nil, err
		case saysNotController(answer):
			resp.ErrorCode = kerr.NotController.Code
		default:
			resp.ResponseData = inner.encode(answer)
		}
		return resp, nil
	}
}

// forwarded is a request as it lies in an envelope:
//
//	┌───────┬─────────┬───────────────┬─────────────────────┬──────────────┬──────┐
//	│ key   │ version │ correlation   │ client id           │ tags         │ body │
//	│ int16 │ int16   │ int32         │ int16 length, bytes │ if flexible  │      │
//	└───────┴─────────┴───────────────┴─────────────────────┴──────────────┴──────┘
type forwarded struct {
	correlation int32
	clientID    string
	request     kmsg.Request
}

func decodeForwarded(b []byte) (*forwarded, error) {
	r := kbin.Reader{Src: b}
	key, version := r.Int16(), r.Int16()
	f := &forwarded{correlation: r.Int32()}
	if id := r.NullableString(); id != nil {
		f.clientID = *id
	}
	if !r.Ok() {
		return nil, errors.New("controller: the forwarded request's header is cut short")
	}
	api, ok := apis[key]
	if !ok || version < api.min || version > api.max {
		return nil, fmt.Errorf("controller: forwarded %s v%d is not served", kmsg.NameForKey(key), version)
	}
	f.request = kmsg.RequestForKey(key)
	f.request.SetVersion(version)
	if f.request.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if !r.Ok() {
		return nil, errors.New("controller: the forwarded request's header is cut short")
	}
	if err := f.request.ReadFrom(r.Src); err != nil {
		return nil, fmt.Errorf("controller: forwarded %s v%d: %w", kmsg.NameForKey(key), version, err)
	}
	return f, nil
}

// encode gives the response header and body as the broker passes them on.
func (f *forwarded) encode(resp kmsg.Response) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(f.correlation))
	if resp.IsFlexible() {
		out = append(out, 0)
	}
	return resp.AppendTo(out)
}

// decodePrincipal reads what the brokers' default principal builder writes: int16 version 0, type, name, whether the
// client used a delegation token, tags.
func decodePrincipal(b []byte) (string, error) {
	r := kbin.Reader{Src: b}
	version := r.Int16()
	kind, name := r.CompactString(), r.CompactString()
	r.Bool()
	tags := r.Uvarint()
	if uint64(tags) > uint64(len(r.Src)) { // kmsg would count them all
		return "", errors.New("controller: the envelope's principal is cut short")
	}
	for range tags {
		r.Uvarint()
		r.Span(int(r.Uvarint()))
	}
	if err := r.Complete(); err != nil || version != 0 || kind == "" || name == "" {
		return "", errors.New("controller: the envelope's principal is not one that the default principal builder writes")
	}
	return kind + ":" + name, nil
}

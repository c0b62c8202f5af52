package controller

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// anonymous is User:ANONYMOUS as the default principal serde writes it.
var anonymous = append(append([]byte{0, 0, 5}, "User\x0aANONYMOUS"...), 0, 0)

// forward wraps a request as a broker does.
func forward(req kmsg.Request) *kmsg.EnvelopeRequest {
	data := binary.BigEndian.AppendUint16(nil, uint16(req.Key()))
	data = binary.BigEndian.AppendUint16(data, uint16(req.GetVersion()))
	data = binary.BigEndian.AppendUint32(data, 77)
	data = kbin.AppendNullableString(data, kmsg.StringPtr("adminclient-1"))
	if req.IsFlexible() {
		data = append(data, 0)
	}
	env := kmsg.NewPtrEnvelopeRequest()
	env.RequestData = req.AppendTo(data)
	env.RequestPrincipal = anonymous
	env.ClientHostAddress = []byte{127, 0, 0, 1}
	return env
}

func unregisterRequest(id int32) *kmsg.UnregisterBrokerRequest {
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = id
	return req
}

func send(t *testing.T, c *Controller, env *kmsg.EnvelopeRequest) *kmsg.EnvelopeResponse {
	t.Helper()
	resp, err := c.Handle(t.Context(), Caller{}, env)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.EnvelopeResponse)
}

func TestEnvelopeCarriesTheAnswer(t *testing.T) {
	c, _ := start(t)
	register(t, c, 101)
	resp := send(t, c, forward(unregisterRequest(101)))
	if resp.ErrorCode != 0 || len(resp.ResponseData) < 5 || binary.BigEndian.Uint32(resp.ResponseData) != 77 {
		t.Fatalf("%+v", resp)
	}
	inner := kmsg.NewPtrUnregisterBrokerResponse()
	if err := inner.ReadFrom(resp.ResponseData[5:]); err != nil || inner.ErrorCode != 0 {
		t.Fatalf("%+v, %v", inner, err)
	}
	if _, ok := c.Image().Broker(101); ok {
		t.Error("the broker is still registered")
	}
}

// Only the envelope's own code makes a broker look for another controller.
func TestEnvelopeSaysNotControllerItself(t *testing.T) {
	c, l := start(t)
	l.mu.Lock()
	l.leading = false
	l.mu.Unlock()
	stood := make(chan struct{})
	c.writer.mail.post(func() {
		c.leadershipChanged()
		close(stood)
	})
	<-stood
	resp := send(t, c, forward(unregisterRequest(101)))
	if resp.ErrorCode != kerr.NotController.Code || resp.ResponseData != nil {
		t.Errorf("%+v", resp)
	}
}

func TestEnvelopeRefusals(t *testing.T) {
	c, _ := start(t)
	badPrincipal := forward(unregisterRequest(1))
	badPrincipal.RequestPrincipal = []byte{0, 1, 2}
	endless := forward(unregisterRequest(1)) // a principal that claims four thousand million tags
	endless.RequestPrincipal = append(append([]byte{0, 0, 5}, "User\x0aANONYMOUS"...), 0, 0xff, 0xff, 0xff, 0xff, 0x0f)
	badAddress := forward(unregisterRequest(1))
	badAddress.ClientHostAddress = []byte{1, 2, 3}
	cut := forward(unregisterRequest(1))
	cut.RequestData = cut.RequestData[:6]
	cutBody := forward(unregisterRequest(1))
	cutBody.RequestData = cutBody.RequestData[:len(cutBody.RequestData)-3]
	unknown := forward(unregisterRequest(1))
	binary.BigEndian.PutUint16(unknown.RequestData[2:], 99)
	nested := forward(forward(unregisterRequest(1)))
	for name, tc := range map[string]struct {
		env  *kmsg.EnvelopeRequest
		code int16
	}{
		"principal":       {badPrincipal, kerr.PrincipalDeserializationFailure.Code},
		"endless tags":    {endless, kerr.PrincipalDeserializationFailure.Code},
		"address":         {badAddress, kerr.InvalidRequest.Code},
		"cut header":      {cut, kerr.UnsupportedVersion.Code},
		"cut body":        {cutBody, kerr.UnsupportedVersion.Code},
		"unknown version": {unknown, kerr.UnsupportedVersion.Code},
		"not forwardable": {nested, kerr.InvalidRequest.Code},
	} {
		if resp := send(t, c, tc.env); resp.ErrorCode != tc.code {
			t.Errorf("%s: %v, want %v", name, kerr.ErrorForCode(resp.ErrorCode), kerr.ErrorForCode(tc.code))
		}
	}
}

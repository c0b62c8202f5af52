package controller

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// addVoterRequest asks for a voter as fakeVoter names it.
func addVoterRequest(id int32) *kmsg.AddRaftVoterRequest {
	v := fakeVoter(id, "new.example")
	req := kmsg.NewPtrAddRaftVoterRequest()
	req.Version, req.TimeoutMillis = 1, 20_000
	req.VoterID, req.VoterDirectoryID = v.ID, v.DirectoryID
	for _, e := range v.Endpoints {
		l := kmsg.NewAddRaftVoterRequestListener()
		l.Name, l.Host, l.Port = e.Name, e.Host, e.Port
		req.Listeners = append(req.Listeners, l)
	}
	return req
}

func removeVoterRequest(id int32) *kmsg.RemoveRaftVoterRequest {
	req := kmsg.NewPtrRemoveRaftVoterRequest()
	req.VoterID, req.VoterDirectoryID = id, fakeVoter(id, "").DirectoryID
	return req
}

// votersAnswer sends a request and returns its message and error.
func votersAnswer(t *testing.T, c *Controller, req kmsg.Request) (string, error) {
	t.Helper()
	resp, err := c.Handle(t.Context(), Caller{Principal: "User:ANONYMOUS"}, req)
	if err != nil {
		t.Fatal(err)
	}
	var code int16
	var message *string
	switch resp := resp.(type) {
	case *kmsg.AddRaftVoterResponse:
		code, message = resp.ErrorCode, resp.ErrorMessage
	case *kmsg.RemoveRaftVoterResponse:
		code, message = resp.ErrorCode, resp.ErrorMessage
	}
	if (code == 0) != (message == nil) {
		t.Errorf("%v with message %v", kerr.ErrorForCode(code), message)
	}
	if message == nil {
		return "", nil
	}
	return *message, kerr.ErrorForCode(code)
}

// loggedVoters is who votes by the records of the log.
func loggedVoters(c *Controller) (ids []int32) {
	for _, v := range c.Image().Voters().Voters {
		ids = append(ids, v.ID)
	}
	slices.Sort(ids)
	return ids
}

// TestVotersAreChangedByRequest: when the answer comes, the records of the log say so.
func TestVotersAreChangedByRequest(t *testing.T) {
	c, l := start(t)
	for _, step := range []struct {
		req  kmsg.Request
		want []int32
	}{
		{addVoterRequest(2), []int32{1, 2}}, {addVoterRequest(3), []int32{1, 2, 3}},
		{removeVoterRequest(2), []int32{1, 3}}, {addVoterRequest(2), []int32{1, 2, 3}},
	} {
		if why, err := votersAnswer(t, c, step.req); err != nil {
			t.Fatal(err, why)
		}
		if got := loggedVoters(c); !slices.Equal(got, step.want) {
			t.Errorf("%v vote, want %v", got, step.want)
		}
	}
	l.late = true
	req := addVoterRequest(4)
	req.AckWhenCommitted = false
	if why, err := votersAnswer(t, c, req); err != nil {
		t.Error("when it need not vote yet:", err, why)
	}
	req.AckWhenCommitted, req.TimeoutMillis = true, 20
	if why, err := votersAnswer(t, c, req); err != kerr.RequestTimedOut || !strings.Contains(why, "has to catch up first") {
		t.Error(err, why)
	}
	if why, err := votersAnswer(t, c, removeVoterRequest(4)); err != nil {
		t.Error("one that does not vote yet:", err, why)
	}
}

func TestVoterRequestsAreRefused(t *testing.T) {
	c, l := start(t)
	if why, err := votersAnswer(t, c, addVoterRequest(2)); err != nil {
		t.Fatal(err, why)
	}
	elsewhere := "MkU3OEVBNTcwNTJENDM2Qk"
	add := func(change func(*kmsg.AddRaftVoterRequest)) kmsg.Request {
		req := addVoterRequest(3)
		change(req)
		return req
	}
	remove := func(change func(*kmsg.RemoveRaftVoterRequest)) kmsg.Request {
		req := removeVoterRequest(2)
		change(req)
		return req
	}
	for name, test := range map[string]struct {
		req  kmsg.Request
		want *kerr.Error
	}{
		"add to another cluster": {add(func(r *kmsg.AddRaftVoterRequest) { r.ClusterID, r.VoterID = &elsewhere, -1 }), kerr.InconsistentClusterID},
		"add nobody":             {add(func(r *kmsg.AddRaftVoterRequest) { r.VoterID = -1 }), kerr.InvalidRequest},
		"add no directory":       {add(func(r *kmsg.AddRaftVoterRequest) { r.VoterDirectoryID = [16]byte{} }), kerr.InvalidRequest},
		"add no endpoint":        {add(func(r *kmsg.AddRaftVoterRequest) { r.Listeners[0].Name = "OTHER" }), kerr.InvalidRequest},
		"add a voter": {add(func(r *kmsg.AddRaftVoterRequest) {
			r.VoterID, r.VoterDirectoryID = 2, [16]byte{1} // by its id alone, as Apache has it
		}), kerr.DuplicateVoter},
		"remove from another":     {remove(func(r *kmsg.RemoveRaftVoterRequest) { r.ClusterID = &elsewhere }), kerr.InconsistentClusterID},
		"remove nobody":           {remove(func(r *kmsg.RemoveRaftVoterRequest) { r.VoterID = -1 }), kerr.InvalidRequest},
		"remove no directory":     {remove(func(r *kmsg.RemoveRaftVoterRequest) { r.VoterDirectoryID = [16]byte{} }), kerr.InvalidRequest},
		"remove a stranger":       {remove(func(r *kmsg.RemoveRaftVoterRequest) { r.VoterID = 9 }), kerr.VoterNotFound},
		"remove of another's dir": {remove(func(r *kmsg.RemoveRaftVoterRequest) { r.VoterDirectoryID = [16]byte{1} }), kerr.VoterNotFound},
	} {
		if why, err := votersAnswer(t, c, test.req); err != test.want {
			t.Errorf("%s: %v %s, want %v", name, err, why, test.want)
		}
	}
	for want, denied := range map[*kerr.Error]error{
		kerr.InvalidRequest:  fmt.Errorf("another one is there: %w", fs.ErrInvalid),
		kerr.RequestTimedOut: errors.New("nobody is there"),
	} {
		l.denied = denied
		for _, req := range []kmsg.Request{addVoterRequest(3), removeVoterRequest(2)} {
			if why, err := votersAnswer(t, c, req); err != want || !strings.Contains(why, denied.Error()) {
				t.Errorf("%v: %v %s", denied, err, why)
			}
		}
	}
	l.denied = nil
	c.changing.Lock()
	if why, err := votersAnswer(t, c, addVoterRequest(3)); err != kerr.RequestTimedOut || !strings.Contains(why, "under way") {
		t.Error(err, why)
	}
	c.changing.Unlock()
	if got := loggedVoters(c); !slices.Equal(got, []int32{1, 2}) {
		t.Error("the voters have changed:", got)
	}
	if why, err := votersAnswer(t, c, removeVoterRequest(2)); err != nil {
		t.Error(err, why)
	}
	if why, err := votersAnswer(t, c, removeVoterRequest(1)); err != kerr.VoterNotFound || !strings.Contains(why, "only voter") {
		t.Error(err, why)
	}
}

// TestLeaderThatRemovesItselfSendsTheClientOn: it has let go of leadership, and the next leader is to be asked.
func TestLeaderThatRemovesItselfSendsTheClientOn(t *testing.T) {
	c, _ := start(t)
	if why, err := votersAnswer(t, c, addVoterRequest(2)); err != nil {
		t.Fatal(err, why)
	}
	if why, err := votersAnswer(t, c, removeVoterRequest(1)); err != kerr.NotLeaderForPartition {
		t.Fatal(err, why)
	}
	env := send(t, c, forward(removeVoterRequest(1)))
	if env.ErrorCode != kerr.NotController.Code {
		t.Errorf("a broker that forwards it is answered %v", kerr.ErrorForCode(env.ErrorCode))
	}
}

package httpapi

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller"
	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

// fakeController answers everything with what it is told to, and notes what it was asked. The zero value leads an empty cluster.
type fakeController struct {
	image   *image.Image
	standby bool
	leader  int32
	answer  plan.HandAnswer
	created kmsg.CreateTopicsResponseTopic
	changes controller.Changes
	block   bool // answer nothing until the request is given up
	behind  bool // never have what is waited for
	err     error

	from  controller.Caller
	asked any   // the request, as the controller got it
	until int64 // what was waited for last
}

func (f *fakeController) Image() *image.Image {
	if f.image == nil {
		return emptyImage()
	}
	return f.image
}

// emptyImage is that of a cluster in which nothing is, after the one record of offset 0.
func emptyImage() *image.Image {
	e := new(image.Image).Edit()
	e.Replay(new(records.NoOp), 0)
	return e.Image()
}

func (f *fakeController) Active() bool { return !f.standby }

func (f *fakeController) Leader() (int32, int32) { return f.leader, 1 }

func (f *fakeController) WaitFor(ctx context.Context, end int64) error {
	f.until = end
	if !f.behind {
		return nil
	}
	if _, ok := ctx.Deadline(); !ok {
		<-ctx.Done() // for ever
	}
	return context.DeadlineExceeded
}

func (f *fakeController) take(ctx context.Context, from controller.Caller, request any) (plan.HandAnswer, error) {
	f.from, f.asked = from, request
	if f.block {
		<-ctx.Done()
		return plan.HandAnswer{}, ctx.Err()
	}
	return f.answer, f.err
}

func (f *fakeController) Handle(ctx context.Context, from controller.Caller, req kmsg.Request) (kmsg.Response, error) {
	_, err := f.take(ctx, from, req)
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	resp.Topics = append(resp.Topics, f.created)
	return resp, err
}

func (f *fakeController) RegisterByHand(ctx context.Context, from controller.Caller, r plan.HandRegistration) (plan.HandAnswer, error) {
	return f.take(ctx, from, r)
}

func (f *fakeController) ChangeRegistration(ctx context.Context, from controller.Caller, r plan.RegistrationChange) (plan.HandAnswer, error) {
	return f.take(ctx, from, r)
}

func (f *fakeController) UnregisterByHand(ctx context.Context, from controller.Caller, id int32) (plan.HandAnswer, error) {
	return f.take(ctx, from, id)
}

func (f *fakeController) CreatePartition(ctx context.Context, from controller.Caller, r plan.NewPartition) (plan.HandAnswer, error) {
	return f.take(ctx, from, r)
}

func (f *fakeController) AllocateProducerIDsFor(ctx context.Context, from controller.Caller, id int32) (plan.HandAnswer, error) {
	return f.take(ctx, from, id)
}

// question is what the changes were asked with.
type question struct {
	since int64
	limit int
}

func (f *fakeController) ChangesSince(_ context.Context, since int64, limit int) (controller.Changes, error) {
	f.asked = question{since, limit}
	return f.changes, f.err
}

package controller

import (
	"context"
	"fmt"

	"yakt/controller/plan"
)

// RegisterByHand registers a broker that has no process. An error, here and below, means that there is no answer: ctx has
// ended, and what was asked for may or may not happen.
func (c *Controller) RegisterByHand(ctx context.Context, from Caller, r plan.HandRegistration) (plan.HandAnswer, error) {
	return c.byHand(ctx, from, "RegisterByHand", func(v *plan.View) (plan.HandAnswer, plan.Result) { return plan.RegisterByHand(v, r) })
}

// ChangeRegistration changes the state of a registered broker, with the elections that follow from it.
func (c *Controller) ChangeRegistration(ctx context.Context, from Caller, r plan.RegistrationChange) (plan.HandAnswer, error) {
	return c.byHand(ctx, from, "ChangeRegistration", func(v *plan.View) (plan.HandAnswer, plan.Result) { return plan.ChangeRegistration(v, r) })
}

// UnregisterByHand takes a broker out of the cluster; its leaderships go to others first.
func (c *Controller) UnregisterByHand(ctx context.Context, from Caller, broker int32) (plan.HandAnswer, error) {
	return c.byHand(ctx, from, "UnregisterByHand", func(v *plan.View) (plan.HandAnswer, plan.Result) { return plan.UnregisterByHand(v, broker) })
}

// CreatePartition adds the next partition to a topic.
func (c *Controller) CreatePartition(ctx context.Context, from Caller, r plan.NewPartition) (plan.HandAnswer, error) {
	return c.byHand(ctx, from, "CreatePartition", func(v *plan.View) (plan.HandAnswer, plan.Result) { return plan.CreatePartition(v, r) })
}

// AllocateProducerIDsFor hands a broker, whatever its epoch, the next block of producer ids.
func (c *Controller) AllocateProducerIDsFor(ctx context.Context, from Caller, broker int32) (plan.HandAnswer, error) {
	return c.byHand(ctx, from, "AllocateProducerIDsFor", func(v *plan.View) (plan.HandAnswer, plan.Result) {
		return plan.AllocateProducerIDsFor(v, broker)
	})
}

// handPlan decides on a request by hand.
type handPlan func(*plan.View) (plan.HandAnswer, plan.Result)

// byHand has a request planned, with all that is left of it after the first operation, and answers when it is committed.
func (c *Controller) byHand(ctx context.Context, from Caller, name string, f handPlan) (plan.HandAnswer, error) {
	if !c.Active() {
		return plan.HandAnswer{Refusal: errNotLeading}, nil
	}
	answers := make(chan plan.HandAnswer, 1)
	var answer plan.HandAnswer // the run loop's until it is sent
	var planned func(handPlan) func(*plan.View) plan.Result
	planned = func(f handPlan) func(*plan.View) plan.Result {
		return func(v *plan.View) plan.Result {
			var result plan.Result
			if answer, result = f(v); answer.Rest != nil {
				result.Rest = planned(answer.Rest)
			}
			return result
		}
	}
	var op *operation
	op = &operation{
		caller: from,
		name:   name,
		plan:   planned(f),
		settled: func(err error) {
			if answer.Offset = op.end; err != nil {
				answer = plan.HandAnswer{Refusal: refusalFor(err)}
			}
			answers <- answer
		},
	}
	if !c.writer.mail.submit(op) {
		return plan.HandAnswer{Refusal: errOverloaded}, nil
	}
	select {
	case a := <-answers:
		return a, nil
	case <-ctx.Done():
		return plan.HandAnswer{}, fmt.Errorf("controller: %s: %w", name, ctx.Err())
	}
}

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// change has the leader change the quorum, whoever that is meanwhile, until it is as wanted.
func (f quorumFlags) change(ctx context.Context, done func(*quorum) bool, request func(*quorum) kmsg.Request) error {
	var last error
	for {
		q, err := f.describe(ctx)
		switch {
		case err != nil:
			return errors.Join(last, err)
		case done(q):
			return nil
		}
		code, message, err := askChange(ctx, q.leaderAddr, request(q))
		switch {
		case err != nil:
			last = err // perhaps it was done: the next look tells
		case code == nil:
			return nil
		case code != kerr.NotLeaderForPartition:
			if again, err := f.describe(ctx); err == nil && done(again) {
				return nil
			}
			return fmt.Errorf("node %d says: %w: %s", q.Leader, code, message)
		}
		if err := pause(ctx); err != nil {
			return errors.Join(last, err)
		}
	}
}

func askChange(ctx context.Context, addr string, req kmsg.Request) (refused error, message string, err error) {
	resp, err := ask(ctx, addr, req)
	if err != nil {
		return nil, "", err
	}
	var text *string
	switch resp := resp.(type) {
	case *kmsg.AddRaftVoterResponse:
		refused, text = kerr.ErrorForCode(resp.ErrorCode), resp.ErrorMessage
	case *kmsg.RemoveRaftVoterResponse:
		refused, text = kerr.ErrorForCode(resp.ErrorCode), resp.ErrorMessage
	}
	if text != nil {
		message = *text
	}
	return refused, message, nil
}

// find returns a member by its whole name.
func (q *quorum) find(id int32, directory records.UUID) (member, bool) {
	for _, m := range q.Members {
		if m.ID == id && m.directory == directory {
			return m, true
		}
	}
	return member{}, false
}

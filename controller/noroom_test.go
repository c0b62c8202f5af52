package controller

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/plan"
	"yakt/records"
)

// noRoom refuses what a log on a disk that is nearly full does.
func noRoom(b records.Batch) error {
	if b.Control() {
		return nil
	}
	return fmt.Errorf("the disk is nearly full: %w", syscall.ENOSPC)
}

func TestChangesThatTheLogHasNoRoomForSaySo(t *testing.T) {
	c, l := start(t)
	register(t, c, 101)
	l.mu.Lock()
	l.refuse = noRoom
	l.mu.Unlock()
	resp, err := c.Handle(t.Context(), Caller{}, unregisterRequest(101))
	if r := resp.(*kmsg.UnregisterBrokerResponse); err != nil || r.ErrorCode != kerr.KafkaStorageError.Code || r.ErrorMessage == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if a, err := c.UnregisterByHand(t.Context(), script, 101); err != nil || a.Refusal == nil || a.Refusal.Err != kerr.KafkaStorageError {
		t.Errorf("%+v, %v", a, err)
	}
	if _, ok := c.Image().Broker(101); !ok || !c.Active() {
		t.Error("what is known is not served any more")
	}
	l.mu.Lock()
	l.refuse = nil
	l.mu.Unlock()
	if a, err := c.UnregisterByHand(t.Context(), script, 101); err != nil || a.Refusal != nil {
		t.Errorf("with room again: %+v, %v", a, err)
	}
}

// Each attempt at a take-over leaves a LeaderChange in the log, so one that cannot succeed must not be made ten times a second.
func TestATakeOverWithoutRoomIsTriedMoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{NodeID: 1, ListenerName: "CONTROLLER", Settings: plan.Settings{MetadataVersion: records.LatestMetadataVersion}})
		l := newFakeLog(c)
		var opened atomic.Int32
		l.refuse = func(b records.Batch) error {
			if b.Control() {
				opened.Add(1)
			}
			return noRoom(b)
		}
		c.Start(l)
		defer func() {
			c.Close()
			l.close()
		}()
		time.Sleep(5 * time.Minute) // virtual
		if n := opened.Load(); n < 10 || n > 40 || c.Active() {
			t.Errorf("%d attempts, active %v", n, c.Active())
		}
		l.mu.Lock()
		l.refuse = nil
		l.mu.Unlock()
		time.Sleep(maxTakeOverPause + 2*tickInterval)
		if !c.Active() {
			t.Error("there is room, and it is not the active controller")
		}
	})
}

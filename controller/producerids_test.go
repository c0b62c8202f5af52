package controller

import (
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func initProducer(t *testing.T, c *Controller, transactionalID *string) *kmsg.InitProducerIDResponse {
	t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID = 4, transactionalID
	resp, err := c.Handle(t.Context(), script, req)
	if err != nil {
		t.Error(err)
		return kmsg.NewPtrInitProducerIDResponse()
	}
	return resp.(*kmsg.InitProducerIDResponse)
}

// Producers that ask at the same time get ids that nobody else gets, from as few blocks as possible.
func TestNoTwoProducersGetTheSameID(t *testing.T) {
	c, _ := start(t)
	registerByHand(t, c, 11, 9092)
	block, err := c.AllocateProducerIDsFor(t.Context(), script, 11)
	if err != nil {
		t.Fatal(err)
	}
	theirs := block.ProducerIDStart
	const producers, each = 8, 150
	ids := make(chan int64, producers*each)
	var wg sync.WaitGroup
	for range producers {
		wg.Go(func() {
			for range each {
				resp := initProducer(t, c, nil)
				if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 {
					t.Errorf("%+v", resp)
				}
				ids <- resp.ProducerID
			}
		})
	}
	wg.Wait()
	close(ids)
	seen := map[int64]bool{}
	for id := range ids {
		if seen[id] || id >= theirs && id < theirs+1000 || id >= c.Image().NextProducerID() {
			t.Fatalf("id %d, next %d", id, c.Image().NextProducerID())
		}
		seen[id] = true
	}
	if next := c.Image().NextProducerID(); len(seen) != producers*each || next != 3000 {
		t.Errorf("%d ids, next %d", len(seen), next)
	}
}

func TestProducersWithATransactionalIDAreSentToItsCoordinator(t *testing.T) {
	c, _ := start(t)
	for id, want := range map[string]*kerr.Error{"tx": kerr.NotCoordinator, "": kerr.InvalidRequest} {
		if resp := initProducer(t, c, &id); resp.ErrorCode != want.Code || resp.ProducerID != -1 {
			t.Errorf("%q: %+v", id, resp)
		}
	}
}

// What was taken as the active controller is this node's own; when it is used up there is no more.
func TestProducerIDsOutlastLeadership(t *testing.T) {
	c, _ := start(t)
	first := initProducer(t, c, nil)
	onLoop(c, func() { c.standDown() })
	c.producerIDs.mu.Lock()
	c.producerIDs.left = 1
	c.producerIDs.mu.Unlock()
	if resp := initProducer(t, c, nil); resp.ErrorCode != 0 || resp.ProducerID != first.ProducerID+1 {
		t.Errorf("%+v after %+v", resp, first)
	}
}

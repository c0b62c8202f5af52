package harness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// standInHeartbeat is more often than a real broker's 2 s, so that tests may set short sessions.
const standInHeartbeat = 100 * time.Millisecond

// StandIn is a broker as far as a controller can tell: it registers, claims to have read the whole log, heartbeats and
// is unfenced. It stores nothing. It survives restarts of the controller, as brokers do.
type StandIn struct {
	ID     int32
	Addr   string // advertised; nobody listens there
	stop   context.CancelFunc
	ended  chan struct{}
	mu     sync.Mutex
	latest error
	serves bool // by the last answer
}

// StartStandIn starts a broker and returns when it is unfenced.
func StartStandIn(t testing.TB, y *Yakt, id int32) *StandIn {
	t.Helper()
	return StartStandInOf(t, y.ClusterID, id, y.Addr)
}

// StartStandInOf starts a broker of a cluster whose controllers, not necessarily YAKt's, are at these addresses.
func StartStandInOf(t testing.TB, cluster string, id int32, controllers ...string) *StandIn {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &StandIn{ID: id, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+int(id))), stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.run(ctx, cluster, controllers)
	}()
	t.Cleanup(s.Stop)
	Eventually(t, startTimeout, fmt.Sprintf("stand-in broker %d unfenced", id), func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.serves {
			return fmt.Errorf("it is fenced; the stand-in says: %w", s.latest)
		}
		return nil
	})
	return s
}

// Stop falls silent, as a broker does whose machine dies.
func (s *StandIn) Stop() {
	s.stop()
	<-s.ended
}

// Err is what went wrong last; nil after a heartbeat that was answered well.
func (s *StandIn) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}

func (s *StandIn) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = err
}

func (s *StandIn) run(ctx context.Context, cluster string, controllers []string) {
	var incarnation, dir [16]byte
	rand.Read(incarnation[:])
	rand.Read(dir[:])
	dir[0] |= 1 // not one of the reserved ids
	epoch := int64(-1)
	tick := time.NewTicker(standInHeartbeat)
	defer tick.Stop()
	for try := 0; ctx.Err() == nil; try++ {
		s.note(s.session(ctx, cluster, controllers[try%len(controllers)], tick, incarnation, dir, &epoch))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// session is the life of one connection.
func (s *StandIn) session(ctx context.Context, cluster, controller string, tick *time.Ticker, incarnation, dir [16]byte, epoch *int64) error {
	conn, err := DialKafka(ctx, controller, strconv.Itoa(int(s.ID)))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		if *epoch < 0 {
			registered, err := conn.Request(Registration(cluster, s.ID, s.Addr, incarnation, dir))
			if err != nil {
				return err
			}
			answer := registered.(*kmsg.BrokerRegistrationResponse)
			if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
				return fmt.Errorf("registration: %w", err)
			}
			*epoch = answer.BrokerEpoch
		}
		beat := kmsg.NewPtrBrokerHeartbeatRequest()
		beat.SetVersion(1)
		beat.BrokerID, beat.BrokerEpoch = s.ID, *epoch
		beat.CurrentMetadataOffset = 1 << 40 // it reads nothing, so it is never behind
		answered, err := conn.Request(beat)
		if err != nil {
			return err
		}
		answer := answered.(*kmsg.BrokerHeartbeatResponse)
		switch err := kerr.ErrorForCode(answer.ErrorCode); {
		case errors.Is(err, kerr.StaleBrokerEpoch):
			*epoch = -1
		case err != nil:
			return fmt.Errorf("heartbeat: %w", err)
		default:
			s.mu.Lock()
			s.latest, s.serves = nil, !answer.IsFenced
			s.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Registration is the request with which a process registers as a broker at this address.
func Registration(clusterID string, id int32, addr string, incarnation, dir [16]byte) *kmsg.BrokerRegistrationRequest {
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.SetVersion(3)
	req.BrokerID, req.ClusterID, req.IncarnationID = id, clusterID, incarnation
	req.LogDirs = [][16]byte{dir}
	req.PreviousBrokerEpoch = -1
	host, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.Atoi(port)
	req.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: host, Port: uint16(number)}}
	for _, f := range []struct {
		name     string
		from, to int16
	}{
		{"metadata.version", 7, 30}, {"kraft.version", 0, 1}, {"transaction.version", 0, 2}, {"group.version", 0, 1},
		{"share.version", 0, 1}, {"streams.version", 0, 1}, {"eligible.leader.replicas.version", 0, 1},
	} {
		req.Features = append(req.Features, kmsg.BrokerRegistrationRequestFeature{Name: f.name, MinSupportedVersion: f.from, MaxSupportedVersion: f.to})
	}
	return req
}

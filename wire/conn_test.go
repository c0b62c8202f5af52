package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// metadata is a request that its Handler can tell apart: it asks for one topic with this name.
func metadata(name string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(name)
	req.Topics = append(req.Topics, topic)
	return req
}

func topicOf(req kmsg.Request) string { return *req.(*kmsg.MetadataRequest).Topics[0].Topic }

// handles makes a Handler of a function for what metadata requests ask for.
func handles(f func(ctx context.Context, topic string) error) *handler {
	return &handler{testVersions, func(ctx context.Context, _ Caller, req kmsg.Request) (kmsg.Response, error) {
		if err := f(ctx, topicOf(req)); err != nil {
			return nil, err
		}
		return emptyAnswer(req), nil
	}}
}

func TestAnswersComeInTheOrderOfRequestsWhateverFinishesFirst(t *testing.T) {
	const n = 20
	var done [n + 1]chan struct{}
	for i := range done {
		done[i] = make(chan struct{})
	}
	close(done[n])
	_, addr := start(t, Config{Handler: handles(func(_ context.Context, topic string) error {
		var i int
		fmt.Sscan(topic, &i)
		<-done[i+1] // the last finishes first
		close(done[i])
		return nil
	})})
	nc := dial(t, addr)
	var all []byte
	for i := range n {
		all = append(all, request(metadata(fmt.Sprint(i)), int16(i%14), int32(i))...)
	}
	send(t, nc, all)
	for i := range n {
		if correlation, _ := receive(t, nc); correlation != int32(i) {
			t.Fatalf("answer %d is to request %d", i, correlation)
		}
	}
}

// TestAnAnswerWithAnErrorIsTheLast: it arrives, and then the connection ends, with what was asked after it unanswered.
func TestAnAnswerWithAnErrorIsTheLast(t *testing.T) {
	server, addr := start(t, Config{Handler: &handler{testVersions, func(_ context.Context, _ Caller, req kmsg.Request) (kmsg.Response, error) {
		if topicOf(req) == "last" {
			return emptyAnswer(req), errors.New("ask somebody else")
		}
		return emptyAnswer(req), nil
	}}})
	nc := dial(t, addr)
	send(t, nc, request(metadata("first"), 12, 0))
	receive(t, nc)
	send(t, nc, request(metadata("last"), 12, 1))
	if correlation, _ := receive(t, nc); correlation != 1 {
		t.Fatalf("answer to %d", correlation)
	}
	if n, err := io.Copy(io.Discard, nc); n != 0 || err != nil {
		t.Errorf("%d bytes more, and then %v", n, err)
	}
	if failed := server.counters.failed.Load(); failed != 0 {
		t.Errorf("%d handlers failed", failed)
	}
}

// beginner is a Handler under which requests happen in order.
type beginner struct {
	*handler
	begin func(topic string) (finish func())
}

func (b *beginner) Begin(_ context.Context, _ Caller, req kmsg.Request) func() (kmsg.Response, error) {
	finish := b.begin(topicOf(req))
	return func() (kmsg.Response, error) {
		finish()
		return emptyAnswer(req), nil
	}
}

func TestWhatIsBegunHappensInOrderAndTogether(t *testing.T) {
	const n = 30
	var mu sync.Mutex
	var events []string
	happens := func(what, topic string) int {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, what+" "+topic)
		return len(events)
	}
	allBegun := make(chan struct{})
	s, addr := start(t, Config{Handler: &beginner{handles(nil), func(topic string) func() {
		if happens("begin", topic) == n {
			close(allBegun)
		}
		return func() {
			<-allBegun // though the first has no answer yet
			happens("finish", topic)
		}
	}}})
	nc := dial(t, addr)
	var want []string
	for i := range n {
		send(t, nc, request(metadata(fmt.Sprint(i)), 9, int32(i)))
		want = append(want, fmt.Sprint("begin ", i))
	}
	for i := range n {
		if correlation, _ := receive(t, nc); correlation != int32(i) {
			t.Fatalf("answer %d is to request %d", i, correlation)
		}
		want = append(want, fmt.Sprint("finish ", i))
	}
	if !slices.Equal(events, want) {
		t.Errorf("%q", events)
	}
	shutdown(t, s)
}

// TestAnswersAreNotMadeFasterThanTheyAreTaken: a peer that pipelines and does not read has a few of the answers held for
// it, not all; reading, it gets every one, in order.
func TestAnswersAreNotMadeFasterThanTheyAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, size = 40, answersAhead / 4
		made := 0
		h := &largeAnswers{answers(), size, &made}
		s, nc := pipe(t, Config{Handler: h})
		for i := range n {
			send(t, nc, request(metadata("x"), 9, int32(i)))
		}
		synctest.Wait()
		if most := answersAhead/size + 2; made > most {
			t.Errorf("%d answers of %d bytes were made for a peer that reads none; at most %d may wait", made, size, most)
		}
		for i := range n {
			if correlation, rest := receive(t, nc); correlation != int32(i) || len(rest) < size {
				t.Fatalf("answer %d is to request %d, %d bytes", i, correlation, len(rest))
			}
		}
		synctest.Wait()
		for c := range s.conns {
			if left := c.unwritten.Load(); left != 0 {
				t.Errorf("%d bytes are unwritten", left)
			}
		}
	})
}

// TestPeersThatLeaveTheirAnswersEndAllTheSame: no call is left over that waits for room.
func TestPeersThatLeaveTheirAnswersEndAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		s, nc := pipe(t, Config{Handler: &largeAnswers{answers(), answersAhead, &made}})
		for i := range 10 {
			send(t, nc, request(metadata("x"), 9, int32(i)))
		}
		synctest.Wait()
		nc.Close()
		shutdown(t, s)
		if made != 10 {
			t.Errorf("%d of 10 were completed", made)
		}
	})
}

// largeAnswers is a Beginner that answers everything with size bytes and counts how often it did.
type largeAnswers struct {
	*handler
	size int
	made *int
}

func (l *largeAnswers) Begin(_ context.Context, _ Caller, req kmsg.Request) func() (kmsg.Response, error) {
	return func() (kmsg.Response, error) {
		*l.made++
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		resp.ClusterID = kmsg.StringPtr(strings.Repeat("x", l.size))
		return resp, nil
	}
}

func TestLargeAndSmallAnswersArriveWhole(t *testing.T) {
	h := answers()
	h.handle = func(_ context.Context, _ Caller, req kmsg.Request) (kmsg.Response, error) {
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		var n int
		fmt.Sscan(topicOf(req), &n)
		resp.ClusterID = kmsg.StringPtr(strings.Repeat("x", n%30000))
		for range n / 30000 {
			resp.Topics = append(resp.Topics, kmsg.MetadataResponseTopic{Topic: resp.ClusterID})
		}
		return resp, nil
	}
	s, addr := start(t, Config{Handler: h})
	nc := dial(t, addr)
	sizes := []int{0, 5_999_999, 1, 65530, 65536, 2, 3, 29999, 100_000, 4, 8_999_999, 5}
	go func() {
		for i, n := range sizes {
			nc.Write(request(metadata(fmt.Sprint(n)), 8, int32(i)))
		}
	}()
	received := 0
	for i, n := range sizes {
		correlation, rest := receive(t, nc)
		received += 8 + len(rest)
		resp := kmsg.NewPtrMetadataResponse()
		resp.Version = 8
		if err := resp.ReadFrom(rest); err != nil || correlation != int32(i) {
			t.Fatalf("answer to %d for %d: %v", correlation, i, err)
		}
		if len(*resp.ClusterID) != n%30000 || len(resp.Topics) != n/30000 || strings.Trim(*resp.ClusterID, "x") != "" {
			t.Errorf("answer %d has a name of %d bytes and %d topics", i, len(*resp.ClusterID), len(resp.Topics))
		}
	}
	shutdown(t, s)
	if m := s.Metrics(); m.BytesOut != uint64(received) {
		t.Errorf("counted %d bytes out, of %d", m.BytesOut, received)
	}
}

func TestRequestsInProgressAreLimited(t *testing.T) {
	const limit = 3
	started, proceed := make(chan string, 100), make(chan struct{})
	var running atomic.Int32
	_, addr := start(t, Config{MaxInFlight: limit, Handler: handles(func(_ context.Context, topic string) error {
		if running.Add(1) > limit {
			t.Error("too many requests in progress")
		}
		started <- topic
		<-proceed
		running.Add(-1)
		return nil
	})})
	nc := dial(t, addr)
	for i := range 10 {
		send(t, nc, request(metadata("x"), 9, int32(i)))
	}
	for range limit {
		<-started
	}
	close(proceed)
	for i := range 10 {
		if correlation, _ := receive(t, nc); correlation != int32(i) {
			t.Fatalf("answer %d is to request %d", i, correlation)
		}
	}
}

func TestAnErrorOfTheHandlerEndsTheConnectionAfterEarlierAnswers(t *testing.T) {
	var log logBuffer
	s, addr := start(t, Config{Logger: log.logger(), Handler: handles(func(_ context.Context, topic string) error {
		if topic == "bad" {
			return errors.New("the log is on fire")
		}
		return nil
	})})
	nc := dial(t, addr)
	send(t, nc, append(request(metadata("good"), 9, 1), request(metadata("bad"), 9, 2)...))
	if correlation, _ := receive(t, nc); correlation != 1 {
		t.Errorf("answer to %d", correlation)
	}
	expectClosed(t, nc)
	shutdown(t, s)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "Metadata version 9: the log is on fire") {
		t.Errorf("logged %q", got)
	}
	if m := s.Metrics(); m.Failed != 1 || m.Malformed != 0 || m.Open != 0 || m.Requests[3] != 2 {
		t.Errorf("%+v", m)
	}
}

func TestWrongAnswersAreTheHandlersFault(t *testing.T) {
	for name, resp := range map[string]kmsg.Response{"none": nil, "another API's": kmsg.NewPtrFetchResponse()} {
		t.Run(name, func(t *testing.T) {
			h := answers()
			h.handle = func(context.Context, Caller, kmsg.Request) (kmsg.Response, error) { return resp, nil }
			s, addr := start(t, Config{Handler: h})
			nc := dial(t, addr)
			send(t, nc, request(metadata("x"), 9, 1))
			expectClosed(t, nc)
			shutdown(t, s)
			if m := s.Metrics(); m.Failed != 1 {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestRequestsEndWithTheirConnection(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error)
	_, addr := start(t, Config{Handler: handles(func(ctx context.Context, _ string) error {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})})
	nc := dial(t, addr)
	send(t, nc, request(metadata("x"), 9, 1))
	<-started
	nc.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestShutdownAnswersWhatIsInProgress(t *testing.T) {
	started, proceed := make(chan struct{}, 2), make(chan struct{})
	s, addr := start(t, Config{Handler: handles(func(ctx context.Context, _ string) error {
		started <- struct{}{}
		<-proceed
		return ctx.Err()
	})})
	nc, idle := dial(t, addr), dial(t, addr)
	send(t, nc, append(request(metadata("x"), 9, 1), request(metadata("y"), 9, 2)...))
	<-started
	<-started
	send(t, nc, unhex(t, "000000")) // half of a third, which is never taken
	done := make(chan error)
	go func() { done <- s.Shutdown(t.Context()) }()
	expectClosed(t, idle)
	close(proceed)
	for i := range 2 {
		if correlation, _ := receive(t, nc); correlation != int32(i+1) {
			t.Errorf("answer to %d", correlation)
		}
	}
	expectClosed(t, nc)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("still accepts connections")
	}
	if err := s.Serve(listen(t)); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func TestShutdownCutsOffWhatTakesTooLong(t *testing.T) {
	started := make(chan struct{})
	var running atomic.Bool
	s, addr := start(t, Config{Handler: handles(func(ctx context.Context, _ string) error {
		running.Store(true)
		defer running.Store(false)
		close(started)
		<-ctx.Done()
		return ctx.Err()
	})})
	nc := dial(t, addr)
	send(t, nc, request(metadata("x"), 9, 1))
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if running.Load() {
		t.Error("a Handle is still running")
	}
	expectClosed(t, nc)
}

func TestTooManyConnectionsAreRefused(t *testing.T) {
	var log logBuffer
	s, addr := start(t, Config{Handler: answers(), MaxConnections: 1, Logger: log.logger()})
	first := dial(t, addr)
	send(t, first, request(kmsg.NewPtrApiVersionsRequest(), 0, 1))
	receive(t, first)
	expectClosed(t, dial(t, addr))
	send(t, first, request(kmsg.NewPtrApiVersionsRequest(), 0, 2))
	receive(t, first)
	if m := s.Metrics(); m.Open != 1 || m.Refused != 1 || !strings.Contains(log.String(), "too many") {
		t.Errorf("%+v, logged %q", m, log.String())
	}
}

// busyListener has no file descriptors left, for a while.
type busyListener struct {
	*harness.PipeListener
	failures int
}

type busyError struct{}

func (busyError) Error() string   { return "too many open files" }
func (busyError) Temporary() bool { return true }

func (l *busyListener) Accept() (net.Conn, error) {
	if l.failures--; l.failures >= 0 {
		return nil, busyError{}
	}
	return l.PipeListener.Accept()
}

func TestServeOutlastsALackOfFileDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		s := NewServer(Config{Handler: answers(), Logger: log.logger()})
		l := &busyListener{harness.NewPipeListener(), 20}
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		begin := time.Now()
		nc := l.Dial()
		if d := time.Since(begin); d < 5*time.Second || d > 20*time.Second {
			t.Errorf("accepted after %v", d)
		}
		send(t, nc, request(kmsg.NewPtrApiVersionsRequest(), 0, 1))
		receive(t, nc)
		nc.Close()
		shutdown(t, s)
		if err := <-served; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "too many open files"); n < 10 || n > 20 {
			t.Errorf("%d lines", n)
		}
	})
}

func TestServeReportsAFailedListener(t *testing.T) {
	s := NewServer(Config{Handler: answers()})
	l := listen(t)
	l.Close()
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestFewLinesAreLoggedForManyBadConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		l := newSparseLogger(log.logger())
		for range 100 {
			l.warn("bad")
		}
		if n := strings.Count(log.String(), "\n"); n != linesPerSecond {
			t.Errorf("%d lines", n)
		}
		time.Sleep(time.Second)
		l.warn("bad")
		l.warn("bad")
		if got := log.String(); !strings.HasSuffix(got, "msg=bad left_out=90\n"+lastLine(got)) {
			t.Errorf("logged %s", got)
		}
	})
}

func lastLine(s string) string {
	return s[strings.LastIndex(strings.TrimSuffix(s, "\n"), "\n")+1:]
}

// pipe is a connection to a server that lives in a synctest bubble, where sockets cannot.
func pipe(t *testing.T, config Config) (*Server, net.Conn) {
	client, server := net.Pipe()
	s := NewServer(config)
	s.start(server)
	t.Cleanup(func() {
		client.Close()
		s.Shutdown(context.Background())
	})
	return s, client
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, nc := pipe(t, Config{Handler: handles(func(context.Context, string) error {
			time.Sleep(25 * time.Minute) // is in progress, thus not idle
			return nil
		})})
		go nc.Write(request(metadata("x"), 9, 1))
		receive(t, nc)
		answered := time.Since(begin)
		expectClosed(t, nc)
		if idle := time.Since(begin) - answered; answered != 25*time.Minute || idle <= 0 || idle > 10*time.Minute {
			t.Errorf("answered after %v, closed %v later", answered, idle)
		}
	})
}

func TestSlowFramesAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		s, nc := pipe(t, Config{Handler: answers(), Logger: log.logger()})
		frame := request(kmsg.NewPtrApiVersionsRequest(), 4, 1)
		for _, b := range frame { // 1 byte a second is slow, but not too slow
			send(t, nc, []byte{b})
			time.Sleep(time.Second)
		}
		receive(t, nc)

		begin := time.Now()
		var err error
		for sent := 0; err == nil; sent++ {
			_, err = nc.Write([]byte{0, 0, 16, 0, 0}[min(sent, 4):][:1])
			time.Sleep(time.Second)
		}
		if d := time.Since(begin); d < 30*time.Second || d > 35*time.Second {
			t.Errorf("cut off after %v", d)
		}
		s.Shutdown(t.Context())
		if !strings.Contains(log.String(), "frame has not arrived within 30s") {
			t.Errorf("logged %q", log.String())
		}
	})
}

func TestFramesThatFindNoRoomAreRefusedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		s, nc := pipe(t, Config{Handler: answers(), MaxReceiveBytes: 1 << 20, MaxFrameBytes: 1 << 20, Logger: log.logger()})
		s.receive.Acquire(t.Context(), 1<<20) // by somebody who keeps it
		begin := time.Now()
		frame := make([]byte, 1<<20)
		frame[1] = 0xf
		_, err := nc.Write(frame)
		if d := time.Since(begin); err == nil || d != 30*time.Second {
			t.Errorf("%v after %v", err, d)
		}
		s.Shutdown(t.Context())
		if !strings.Contains(log.String(), "no room for a frame of 983040 bytes within 30s") {
			t.Errorf("logged %q", log.String())
		}
		s.receive.Release(1 << 20)
	})
}

func TestPeersThatTakeNoAnswersAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		s, nc := pipe(t, Config{Handler: answers(), Logger: log.logger()})
		begin := time.Now()
		send(t, nc, request(kmsg.NewPtrApiVersionsRequest(), 4, 1))
		io.ReadFull(nc, make([]byte, 1)) // and no more
		s.Shutdown(t.Context())
		if d := time.Since(begin); d != 30*time.Second || !strings.Contains(log.String(), "nothing of an answer within 30s") {
			t.Errorf("closed after %v, logged %q", d, log.String())
		}
	})
}

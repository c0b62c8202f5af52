package wire

import (
	"context"
	"encoding/binary"
	"math"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// crowd gives the lists in v n elements and, if tags is set, every structure a tag that nobody knows: that
// takes kmsg the most memory for the fewest bytes.
func crowd(v reflect.Value, n int, tags bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			unknown, ok := f.Addr().Interface().(*kmsg.Tags)
			switch {
			case !ok:
				crowd(f, n, tags)
			case tags:
				unknown.Set(100, nil)
			}
		}
	case reflect.Slice:
		for range n {
			change(v)
			crowd(v.Index(v.Len()-1), min(n, 3), tags)
		}
	case reflect.Pointer:
		change(v)
		crowd(v.Elem(), n, tags)
	}
}

func TestWeightCoversWhatDecodingAllocates(t *testing.T) {
	const slack = 16 << 10 // for what the runtime does meanwhile
	var before, after runtime.MemStats
	// The race detector has kmsg allocate each list twice.
	groups := append([]byte{0, 0, 3, 232}, make([]byte, 2*1000)...)
	list := kmsg.NewPtrDescribeGroupsRequest()
	times := int64(testing.AllocsPerRun(10, func() {
		list.Groups = nil
		list.ReadFrom(groups)
	}))
	everyVersion(t, func(t *testing.T, key, version int16) {
		req := kmsg.RequestForKey(key)
		if version > 0 && version < req.MaxVersion() {
			return
		}
		req.SetVersion(version)
		s, err := shapeOf(req)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			n, tags := 1+199*(i%2), i >= 2
			req := kmsg.RequestForKey(key)
			req.SetVersion(version)
			crowd(reflect.ValueOf(req).Elem(), n, tags)
			body := req.AppendTo(nil)
			weight, err := s.weigh(body, math.MaxInt64)
			if err != nil {
				t.Fatalf("%s version %d: %v", kmsg.NameForKey(key), version, err)
			}
			weight -= int64(len(body)) // which are there already

			runtime.ReadMemStats(&before)
			decoded := kmsg.RequestForKey(key)
			decoded.SetVersion(version)
			if err := decoded.ReadFrom(body); err != nil {
				t.Fatalf("%s version %d: %v", kmsg.NameForKey(key), version, err)
			}
			runtime.ReadMemStats(&after)
			allocated := int64(after.TotalAlloc - before.TotalAlloc)
			if allocated > times*weight+slack || n > 1 && weight > 2*allocated+slack {
				t.Errorf("%s version %d: %d bytes in %d weigh %d and allocate %d", kmsg.NameForKey(key), version, len(body), n, weight, allocated)
			}
		}
	})
}

// create makes a CreateTopics body with n topics that nobody has named, each with a tag that nobody knows.
func create(n int) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = make([]kmsg.CreateTopicsRequestTopic, n)
	for i := range req.Topics {
		req.Topics[i].UnknownTags.Set(100, nil)
	}
	return req
}

func weightOf(t *testing.T, req kmsg.Request, version int16) int64 {
	t.Helper()
	fresh := kmsg.RequestForKey(req.Key())
	fresh.SetVersion(version)
	s, err := shapeOf(fresh)
	if err != nil {
		t.Fatal(err)
	}
	req.SetVersion(version)
	weight, err := s.weigh(req.AppendTo(nil), math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	return weight
}

func TestHostileCountsTakeNoMemory(t *testing.T) {
	const size = 8 << 20
	for _, test := range []struct {
		name    string
		key     int16
		version int16
		count   []byte
	}{
		{"classic array", 19, 2, binary.BigEndian.AppendUint32(nil, size-100)},
		{"compact array", 19, 7, binary.AppendUvarint([]byte{0}, size-100)}, // after the header's tags
		{"nullable array", 3, 8, binary.BigEndian.AppendUint32(nil, size-100)},
		{"array of integers", 43, 1, append([]byte{0, 0, 0, 0, 1, 0, 1, 65}, binary.BigEndian.AppendUint32(nil, size/4)...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, addr := start(t, Config{Handler: answers()})
			nc := dial(t, addr)
			frame := make([]byte, 4+size)
			b := binary.BigEndian.AppendUint32(frame[:0], size)
			b = binary.BigEndian.AppendUint16(b, uint16(test.key))
			b = binary.BigEndian.AppendUint16(b, uint16(test.version))
			b = append(b, 0, 0, 0, 1, 0xff, 0xff)
			copy(frame[len(b):], test.count)

			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			send(t, nc, frame)
			expectClosed(t, nc)
			runtime.ReadMemStats(&after)
			// The frame and the smaller buffers it has outgrown; kmsg would allocate 60 to 1000 MiB.
			if n := after.TotalAlloc - before.TotalAlloc; n > 20<<20 {
				t.Errorf("%d MiB allocated", n>>20)
			}
			shutdown(t, s)
			if m := s.Metrics(); m.Malformed != 1 {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestManyUnknownTagsWeighWhatTheyAllocate(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, 16, 100, 1000, 100_000} {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		for i := range n {
			req.UnknownTags.Set(uint32(i), nil)
		}
		weight := weightOf(t, req, 0)
		body := req.AppendTo(nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := kmsg.NewPtrUnregisterBrokerRequest().ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if allocated := int64(after.TotalAlloc - before.TotalAlloc); allocated > weight-int64(len(body))+16<<10 || weight > 4*allocated+16<<10 {
			t.Errorf("%d tags weigh %d and allocate %d", n, weight, allocated)
		}
	}
}

// A forwarded request counts, too: the Handler will decode it.
func TestEnvelopesWeighWhatTheyCarry(t *testing.T) {
	carry := func(req kmsg.Request, version int16) *kmsg.EnvelopeRequest {
		envelope := kmsg.NewPtrEnvelopeRequest()
		envelope.RequestData = request(req, version, 1)[4:]
		return envelope
	}
	weight := weightOf(t, create(10000), 7)
	var log logBuffer
	s, addr := start(t, Config{Handler: answers(), MaxDecodeBytes: weight, Logger: log.logger()}) // an eighth of it is not for this
	nc := dial(t, addr)
	for i, envelope := range []*kmsg.EnvelopeRequest{
		carry(create(5000), 7),
		carry(kmsg.NewPtrListGroupsRequest(), 0), // not served: the Handler's answer says so
		{RequestData: []byte{0, 18}},
	} {
		send(t, nc, request(envelope, 0, int32(i)))
		receive(t, nc)
	}
	send(t, nc, request(carry(create(10000), 7), 0, 1))
	expectClosed(t, nc)
	nc = dial(t, addr)
	send(t, nc, request(&kmsg.EnvelopeRequest{RequestData: unhex(t, "0012 0003 00000001 0009 41 00 00")}, 0, 1))
	expectClosed(t, nc)
	shutdown(t, s)
	for _, reason := range []string{"Envelope of CreateTopics version 7 takes more than", "Envelope of ApiVersions: client id of 9 bytes"} {
		if !strings.Contains(log.String(), reason) {
			t.Errorf("logged %q, want %q", log.String(), reason)
		}
	}
}

// Eight connections ask for more than there is; one after the other gets it, and small requests do not wait.
func TestDecodedRequestsHaveALimitTogether(t *testing.T) {
	const topics, conns = 20000, 8
	weight := weightOf(t, create(topics), 7)
	limit := weight * 3 / 2 // less than two; with an eighth for small requests, still more than one
	var heaviest atomic.Uint64
	started, proceed := make(chan struct{}, conns), make(chan struct{})
	h := answers()
	h.handle = func(_ context.Context, _ Caller, req kmsg.Request) (kmsg.Response, error) {
		if req.Key() == int16(kmsg.CreateTopics) {
			started <- struct{}{}
			<-proceed
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			for old := heaviest.Load(); old < m.HeapAlloc && !heaviest.CompareAndSwap(old, m.HeapAlloc); old = heaviest.Load() {
			}
			runtime.KeepAlive(req)
		}
		return emptyAnswer(req), nil
	}
	s, addr := start(t, Config{Handler: h, MaxDecodeBytes: limit})
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	frame := request(create(topics), 7, 1)
	var all []net.Conn
	for range conns {
		nc := dial(t, addr)
		send(t, nc, frame)
		all = append(all, nc)
	}
	for range conns {
		<-started
		nc := dial(t, addr)
		send(t, nc, request(kmsg.NewPtrApiVersionsRequest(), 4, 1))
		receive(t, nc)
		select {
		case <-started:
			t.Error("two at once")
		default:
		}
		proceed <- struct{}{}
	}
	for _, nc := range all {
		receive(t, nc)
	}
	if used := int64(heaviest.Load() - before.HeapAlloc); used > limit+int64(conns*len(frame)) {
		t.Errorf("%d bytes in use, the limit is %d", used, limit)
	}

	nc := dial(t, addr)
	send(t, nc, request(create(2*topics), 7, 1)) // can never be decoded within the limit
	expectClosed(t, nc)
	shutdown(t, s)
	if m := s.Metrics(); m.Malformed != 1 {
		t.Errorf("%+v", m)
	}
}

func TestHalfReceivedFramesHaveALimitTogether(t *testing.T) {
	const size = 1 << 20
	_, addr := start(t, Config{Handler: answers(), MaxFrameBytes: size, MaxReceiveBytes: size})
	frame := func(correlation byte) []byte { // a request, and then what is ignored
		b := make([]byte, 4+size)
		copy(b, request(kmsg.NewPtrApiVersionsRequest(), 0, int32(correlation)))
		binary.BigEndian.PutUint32(b, size)
		return b
	}
	stalls, waits, small := dial(t, addr), dial(t, addr), dial(t, addr)
	send(t, stalls, frame(1)[:size/2])
	send(t, waits, frame(2)[:4+100<<10]) // so that one of them has all there is
	for i := range 100 {
		send(t, small, request(kmsg.NewPtrApiVersionsRequest(), 0, int32(i)))
		receive(t, small)
	}
	stalls.Close()
	send(t, waits, frame(2)[4+100<<10:])
	if correlation, _ := receive(t, waits); correlation != 2 {
		t.Errorf("answer to %d", correlation)
	}
}

package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// FuzzRequest gives arbitrary frames to the whole way from bytes to a request. What passes the shape has to
// be what kmsg can decode; what does not pass must not be given to it. Encoding what was decoded and going
// the same way again has to lead to the same bytes.
func FuzzRequest(f *testing.F) {
	for _, e := range exchanges(f) {
		f.Add(unhex(f, e.Request)[4:])
	}
	var list []APIVersions
	for key := range int16(kmsg.MaxKey + 1) {
		if req := kmsg.RequestForKey(key); req != nil {
			list = append(list, APIVersions{Key: key, Max: req.MaxVersion()})
			for version := range req.MaxVersion() + 1 {
				f.Add(request(req, version, 1)[4:])
			}
		}
	}
	all := newVersions(list)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < minFrame {
			return
		}
		h, rest := parseHeader(frame)
		served := all.find(h.key)
		if served == nil || h.version < served.Min || h.version > served.Max {
			return
		}
		shape := served.shape(h.version)
		body, err := h.parseRest(rest, shape.flexible)
		if err != nil {
			return
		}
		weight, err := shape.weigh(body, math.MaxInt64)
		if err != nil {
			return
		}
		if weight > 1000*int64(len(body)+1)+10_000 {
			t.Fatalf("%d bytes weigh %d", len(body), weight)
		}
		req := kmsg.RequestForKey(h.key)
		req.SetVersion(h.version)
		if err := req.ReadFrom(body); err != nil {
			t.Fatalf("fits its shape, but: %v", err)
		}
		encoded := req.AppendTo(nil)
		if _, err := shape.weigh(encoded, math.MaxInt64); err != nil {
			t.Fatalf("%x decoded and encoded is %x: %v", body, encoded, err)
		}
		again := kmsg.RequestForKey(h.key)
		again.SetVersion(h.version)
		if err := again.ReadFrom(encoded); err != nil {
			t.Fatal(err)
		}
		if third := again.AppendTo(nil); !bytes.Equal(encoded, third) {
			t.Fatalf("%x decoded and encoded is %x", encoded, third)
		}
	})
}

// FuzzShape looks in the other direction: what kmsg can decode fits its shape.
func FuzzShape(f *testing.F) {
	for _, e := range exchanges(f) {
		f.Add(e.Key, e.Version, unhex(f, e.Request)[20:])
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		req := kmsg.RequestForKey(key)
		if req == nil || version < 0 || version > req.MaxVersion() {
			return
		}
		req.SetVersion(version)
		if req.IsFlexible() { // smaller numbers, for kmsg believes every number of tags
			body = bytes.Clone(body)
			for i := range body {
				body[i] &= 0x7f
			}
		}
		if req.ReadFrom(body) != nil {
			return
		}
		fresh := kmsg.RequestForKey(key)
		fresh.SetVersion(version)
		s, err := shapeOf(fresh)
		if err != nil {
			t.Fatal(err)
		}
		s.allowAbsence() // kmsg does
		if _, err := s.weigh(body, math.MaxInt64); err != nil {
			t.Fatalf("%s version %d: kmsg decodes %x, but: %v", kmsg.NameForKey(key), version, body, err)
		}
	})
}

// allowAbsence lets every list be absent, in whatever the shape holds.
func (s *shape) allowAbsence() {
	s.nullable = true
	if s.elem != nil {
		s.elem.allowAbsence()
	}
	for _, f := range append(s.fields[:len(s.fields):len(s.fields)], s.tagged...) {
		f.allowAbsence()
	}
}

// FuzzMux gives arbitrary first bytes, in two pieces, to the Mux. Nothing of what it hands out is lost.
func FuzzMux(f *testing.F) {
	for _, s := range []string{"\x00\x00\x00\x10", "YAKtraft", "YAKtrafo", "GET / HTTP/1.1", "\x16\x03\x01", "", "Y"} {
		for cut := range len(s) + 1 {
			f.Add([]byte(s), cut)
		}
	}
	f.Fuzz(func(t *testing.T, first []byte, cut int) {
		cut = min(max(cut, 0), len(first))
		l := harness.NewPipeListener()
		m := NewMux(l, time.Minute, 0, nil)
		type accepted struct {
			from string
			nc   net.Conn
		}
		got := make(chan accepted, 1)
		for name, sub := range map[string]net.Listener{"kafka": m.Kafka(), "raft": m.Raft(), "http": m.HTTP()} {
			go func() {
				if nc, err := sub.Accept(); err == nil {
					got <- accepted{name, nc}
				}
			}()
		}
		nc := l.Dial()
		written := make(chan error, 1)
		go func() {
			_, err := nc.Write(first[:cut])
			if err == nil {
				_, err = nc.Write(first[cut:])
			}
			nc.Close()
			written <- err
		}()
		want := ""
		switch {
		case bytes.HasPrefix(first, []byte{0}):
			want = "kafka"
		case bytes.HasPrefix(first, []byte(RaftMagic)):
			want = "raft"
		case len(first) > 0 && first[0] != 'Y' && first[0] >= 'A' && first[0] <= 'Z':
			want = "http"
		}
		if want != "" {
			a := <-got
			b, err := io.ReadAll(a.nc)
			a.nc.Close()
			if a.from != want || !bytes.Equal(b, first) || err != nil {
				t.Errorf("%q went to %s as %q, %v", first, a.from, b, err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		} else if err := <-written; err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
		m.Close()
		select {
		case a := <-got:
			t.Errorf("%q went to %s", first, a.from)
		default:
		}
	})
}

// FuzzConnection sends arbitrary bytes to a whole Server, which has to answer or to close, and to go on.
func FuzzConnection(f *testing.F) {
	for _, e := range exchanges(f) {
		f.Add(unhex(f, e.Request))
	}
	f.Add(binary.BigEndian.AppendUint32(nil, math.MaxUint32))
	s := NewServer(Config{Handler: answers(), FrameTimeout: time.Minute})
	f.Fuzz(func(t *testing.T, sent []byte) {
		nc, server := net.Pipe()
		s.start(server)
		go func() {
			nc.Write(sent)
			nc.Write(make([]byte, 4)) // a length that is refused, or some more of what was begun
			nc.Close()
		}()
		if _, err := io.Copy(io.Discard, nc); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	})
}

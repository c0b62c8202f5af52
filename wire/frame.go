package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A request frame, and the answer to it:
//
//	int32 length | int16 key | int16 version | int32 correlation | nullable string client id | tags*  | body
//	int32 length |                             int32 correlation |                             tags** | body
//
//	*  header v2, when the request's version is a flexible one (KIP-482); otherwise header v1, without tags
//	** header v1, when the response's version is a flexible one, but never for ApiVersions: its answer is
//	   read by clients that do not know yet which versions we speak (KIP-511)

// minFrame is the part of the header that every version has.
const minFrame = 2 + 2 + 4

const (
	// firstPiece is what is allocated on the strength of nothing but a written length.
	firstPiece = 4 << 10
	// smallFrame is what a connection may have half received without asking for a share of the common limit.
	smallFrame = 64 << 10
)

// malformed is an error that is the peer's doing: what it sent, or that it was too slow.
type malformed string

func (m malformed) Error() string { return string(m) }

// header is a request's.
type header struct {
	key, version int16
	correlation  int32
	clientID     string
}

// readLength reads the first four bytes of a frame.
func readLength(r io.Reader, limit int) (int, error) {
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	n := int32(binary.BigEndian.Uint32(b[:]))
	switch {
	case n < minFrame:
		return 0, malformed(fmt.Sprintf("frame length %d is shorter than a request header", n))
	case int64(n) > int64(limit):
		return 0, malformed(fmt.Sprintf("frame length %d is above the limit of %d", n, limit))
	}
	return int(n), nil
}

// readFrame reads the n bytes after the length. The buffer only ever doubles what has arrived; reserve is
// called once, before it grows beyond smallFrame.
func readFrame(r io.Reader, n int, reserve func(n int) error) ([]byte, error) {
	frame := make([]byte, min(n, firstPiece))
	for have := 0; ; {
		if _, err := io.ReadFull(r, frame[have:]); err != nil {
			return nil, cutOff(err)
		}
		have = len(frame)
		if have == n {
			return frame, nil
		}
		size := min(n, 2*have)
		if have <= smallFrame && size > smallFrame {
			if err := reserve(n); err != nil {
				return nil, err
			}
		}
		grown := make([]byte, size)
		copy(grown, frame)
		frame = grown
	}
}

// cutOff makes an end within a frame look different from an end between frames.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseHeader reads the first part of the header, up to the correlation id.
func parseHeader(frame []byte) (header, []byte) {
	return header{
		key:         int16(binary.BigEndian.Uint16(frame)),
		version:     int16(binary.BigEndian.Uint16(frame[2:])),
		correlation: int32(binary.BigEndian.Uint32(frame[4:])),
	}, frame[minFrame:]
}

// parseRest reads the client id, which is a plain nullable string in every header version, and the tags of
// header v2. No tag of the request header is known, so they are only skipped. Apache takes every negative
// length for null, and so does this.
func (h *header) parseRest(b []byte, flexible bool) (body []byte, err error) {
	if len(b) < 2 {
		return nil, malformed("header ends before the client id")
	}
	r := reader{b: b}
	if n := int(int16(r.uint(2))); n > len(r.b) {
		return nil, malformed(fmt.Sprintf("client id of %d bytes in a header with %d left", n, len(r.b)))
	} else if n > 0 {
		h.clientID = string(r.b[:n])
		r.skip(int64(n))
	}
	if !flexible {
		return r.b, nil
	}
	r.skipTags()
	if r.bad {
		return nil, malformed("header ends within its tags")
	}
	return r.b, nil
}

// beginAnswer appends a length to be filled in by endAnswer, and the response header.
func beginAnswer(dst []byte, correlation int32, flexible bool) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if flexible {
		dst = append(dst, 0)
	}
	return dst
}

// endAnswer fills in the length of the answer that is all of frame.
func endAnswer(frame []byte) ([]byte, error) {
	n := len(frame) - 4
	if n > math.MaxInt32 {
		return nil, fmt.Errorf("answer of %d bytes is longer than a frame can be", n)
	}
	binary.BigEndian.PutUint32(frame, uint32(n))
	return frame, nil
}

// appendAnswer encodes the answer to a request of one version, with the header that belongs to it.
func appendAnswer(dst []byte, h header, resp kmsg.Response) ([]byte, error) {
	if resp.Key() != h.key {
		return nil, fmt.Errorf("answer to %s is one to %s", kmsg.NameForKey(h.key), kmsg.NameForKey(resp.Key()))
	}
	resp.SetVersion(h.version)
	clearNewerTags(resp, h.version)
	dst = beginAnswer(dst, h.correlation, resp.IsFlexible() && h.key != keyAPIVersions)
	return endAnswer(resp.AppendTo(dst))
}

// reader reads what frames are made of. Once something is missing it is bad, and reads zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

// uvarint reads an unsigned varint of at most 32 bits.
func (r *reader) uvarint() uint32 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > binary.MaxVarintLen32 || v > math.MaxUint32 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

func (r *reader) skip(n int64) {
	if n < 0 || n > int64(len(r.b)) {
		r.fail()
		return
	}
	r.b = r.b[n:]
}

// skipTags skips the tags that end a header.
func (r *reader) skipTags() {
	for count := r.uvarint(); count > 0 && !r.bad; count-- {
		r.uvarint()
		r.skip(int64(r.uvarint()))
	}
}

// uint reads an unsigned integer of n bytes.
func (r *reader) uint(n int) (v uint32) {
	if n > len(r.b) {
		r.fail()
		return 0
	}
	for _, b := range r.b[:n] {
		v = v<<8 | uint32(b)
	}
	r.b = r.b[n:]
	return v
}

package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of the answers that Ask takes, far above any to what a controller asks another.
const (
	maxAnswer        = 1 << 20  // bytes
	maxDecodedAnswer = 16 << 20 // memory
)

// Ask sends one request, at the version it has, and reads the answer. The connection has nothing else on its way and is of
// no more use after an error. It is for what controllers say to each other; clients have libraries that find their way. Whatever
// answers instead of a controller makes Ask fail, and nothing worse.
func Ask(ctx context.Context, conn net.Conn, clientID string, req kmsg.Request) (resp kmsg.Response, err error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			err = fmt.Errorf("%s to %s: %w", kmsg.NameForKey(req.Key()), conn.RemoteAddr(), err)
		}
	}()
	const correlation = 1
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, correlation)
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	r := reader{b: make([]byte, 4)}
	if _, err := io.ReadFull(conn, r.b); err != nil {
		return nil, err
	}
	n := r.uint(4)
	if n > maxAnswer {
		return nil, malformed(fmt.Sprintf("an answer of %d bytes", n))
	}
	if r.b, err = readFrame(conn, int(n), func(int) error { return nil }); err != nil {
		return nil, err
	}
	answered := r.uint(4)
	resp = req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != keyAPIVersions {
		r.skipTags()
	}
	if r.bad || answered != correlation {
		return nil, malformed("this is no answer to what was asked")
	}
	like := req.ResponseKind() // not resp, which keeps its fields unset
	like.SetVersion(req.GetVersion())
	shape, err := shapeOf(like)
	if err != nil {
		return nil, err
	}
	if _, err := shape.weigh(r.b, maxDecodedAnswer); err != nil {
		return nil, malformed(fmt.Sprintf("the answer %v", err))
	}
	if err := readBody(resp, r.b); err != nil {
		return nil, err
	}
	return resp, nil
}

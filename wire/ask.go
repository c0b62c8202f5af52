package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAnswer bounds the answers that Ask takes, far above any to what a controller asks another.
const maxAnswer = 1 << 20

// Ask sends one request, at the version it has, and reads the answer. The connection has nothing else on its way and is of
// no more use after an error. It is for what controllers say to each other; clients have libraries that find their way.
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
		for tags := r.uvarint(); tags > 0 && !r.bad; tags-- {
			r.uvarint()
			r.skip(int64(r.uvarint()))
		}
	}
	if r.bad || answered != correlation {
		return nil, malformed("this is no answer to what was asked")
	}
	if err := resp.ReadFrom(r.b); err != nil {
		return nil, err
	}
	return resp, nil
}

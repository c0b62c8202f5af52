package harness

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// requestTimeout is how long one answer may take.
const requestTimeout = 10 * time.Second

// Conn is one connection to a Kafka listener, one request at a time, at the versions the caller sets. It belongs to one
// goroutine.
type Conn struct {
	net.Conn
	in        *bufio.Reader
	formatter *kmsg.RequestFormatter
	next      int32
}

// DialKafka opens a connection.
func DialKafka(ctx context.Context, addr, clientID string) (*Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: conn, in: bufio.NewReader(conn), formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))}, nil
}

// Request sends a request at its version and reads the answer. After an error the connection is of no more use.
func (c *Conn) Request(req kmsg.Request) (kmsg.Response, error) {
	return c.RequestWithin(req, requestTimeout)
}

// RequestWithin is Request for who will not wait as long.
func (c *Conn) RequestWithin(req kmsg.Request, patience time.Duration) (kmsg.Response, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	c.next++
	if _, err := c.Write(c.formatter.AppendRequest(nil, req, c.next)); err != nil {
		return nil, err
	}
	var length [4]byte
	if _, err := io.ReadFull(c.in, length[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(c.in, frame); err != nil {
		return nil, err
	}
	if len(frame) < 4 || binary.BigEndian.Uint32(frame) != uint32(c.next) {
		return nil, errors.New("the answer is to another request")
	}
	body := frame[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("the answer's header has tags or none of them")
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp, nil
}

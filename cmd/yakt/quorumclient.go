package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/wire"
)

// quorumFlags is what the commands that ask a running node have in common.
type quorumFlags struct {
	Server  string        `default:"127.0.0.1:5010" placeholder:"HOST:PORT" help:"Any node of the quorum; it says which one leads (${default})."`
	Timeout time.Duration `default:"30s" help:"How long to wait for an answer (${default})."`
}

func (f quorumFlags) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), f.Timeout)
}

// within runs a command for as long as --timeout says.
func (f quorumFlags) within(run func(ctx context.Context, stdout io.Writer) error) error {
	ctx, cancel := f.context()
	defer cancel()
	return run(ctx, os.Stdout)
}

// reach opens a connection to a node.
func reach(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("no node can be reached at %s: name one that runs (--server HOST:PORT is who is asked), or start it: %w", addr, err)
	}
	return conn, nil
}

// talk opens a connection for f, whose reads and writes end with ctx.
func talk(ctx context.Context, addr string, f func(net.Conn) error) error {
	conn, err := reach(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return f(conn)
}

// ask sends one Kafka request to a node, at the version it has.
func ask(ctx context.Context, addr string, req kmsg.Request) (kmsg.Response, error) {
	conn, err := reach(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return wire.Ask(ctx, conn, "yakt-quorum", req)
}

// pause waits a moment before something is asked again.
func pause(ctx context.Context) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no answer in time: %w", ctx.Err())
	}
}

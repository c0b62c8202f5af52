package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/raftlog"
	"yakt/records"
	"yakt/wire"
)

// quorumFlags is what they have in common.
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

// dial opens a connection that lasts as long as ctx.
func dial(ctx context.Context, addr string) (conn net.Conn, closeConn func(), err error) {
	conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { stop(); conn.Close() }, nil
}

// ask sends one Kafka request to a node, at the version it has.
func ask(ctx context.Context, addr string, req kmsg.Request) (kmsg.Response, error) {
	conn, closeConn, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	return wire.Ask(ctx, conn, "yakt-quorum", req)
}

type quorumAddCmd struct {
	quorumFlags
	Node string `arg:"" name:"ID/HOST:PORT" help:"The node to add, where it runs. Its directory id is asked of it."`
}

// Run is what kong calls.
func (c *quorumAddCmd) Run() error { return c.within(c.run) }

func (c *quorumAddCmd) run(ctx context.Context, stdout io.Writer) error {
	p, err := parsePeer(c.Node, "/")
	if err != nil {
		return fmt.Errorf("%q is not ID/HOST:PORT: %w", c.Node, err)
	}
	who, err := identify(ctx, p.addr)
	if err != nil {
		return err
	}
	if who.NodeID != p.id {
		return fmt.Errorf("node %d answers at %s, not node %d", who.NodeID, p.addr, p.id)
	}
	host, port, err := splitAddr(p.addr, false)
	if err != nil {
		return err
	}
	err = c.change(ctx, func(q *quorum) bool { m, ok := q.find(who.NodeID, who.DirectoryID); return ok && m.Votes },
		func(q *quorum) kmsg.Request {
			req := kmsg.NewPtrAddRaftVoterRequest()
			req.Version, req.ClusterID, req.TimeoutMillis = 1, &who.ClusterID, int32(min(c.Timeout, time.Hour)/time.Millisecond)
			req.VoterID, req.VoterDirectoryID = who.NodeID, who.DirectoryID
			l := kmsg.NewAddRaftVoterRequestListener()
			l.Name, l.Host, l.Port = q.listener, host, uint16(port)
			req.Listeners = append(req.Listeners, l)
			return req
		})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "node %d, directory %s, votes\n", who.NodeID, who.DirectoryID)
	return err
}

// identify asks who runs at an address.
func identify(ctx context.Context, addr string) (raftlog.Identity, error) {
	conn, closeConn, err := dial(ctx, addr)
	if err != nil {
		return raftlog.Identity{}, err
	}
	defer closeConn()
	who, err := raftlog.Identify(conn)
	if err != nil {
		return who, fmt.Errorf("who runs at %s: %w", addr, err)
	}
	return who, nil
}

type quorumRemoveCmd struct {
	quorumFlags
	Node string `arg:"" name:"ID[/DIRECTORY]" help:"The node to remove; its directory id only if two have that id."`
}

// Run is what kong calls.
func (c *quorumRemoveCmd) Run() error { return c.within(c.run) }

func (c *quorumRemoveCmd) run(ctx context.Context, stdout io.Writer) error {
	q, err := c.describe(ctx)
	if err != nil {
		return err
	}
	m, err := q.named(c.Node)
	if err != nil {
		return err
	}
	err = c.change(ctx, func(q *quorum) bool { _, ok := q.find(m.ID, m.directory); return !ok }, func(*quorum) kmsg.Request {
		req := kmsg.NewPtrRemoveRaftVoterRequest()
		req.ClusterID, req.VoterID, req.VoterDirectoryID = &q.Cluster, m.ID, m.directory
		return req
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "node %d, directory %s, is no longer a member\n", m.ID, m.Directory)
	return err
}

// named finds the member that ID or ID/DIRECTORY means.
func (q *quorum) named(text string) (member, error) {
	id, directory, exact := strings.Cut(text, "/")
	n, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return member{}, fmt.Errorf("%q is neither ID nor ID/DIRECTORY", text)
	}
	var found []member
	for _, m := range q.Members {
		if m.ID == int32(n) && (!exact || m.Directory == directory) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return member{}, fmt.Errorf("the quorum knows no %s; `yakt quorum status` lists who there is", text)
	case 1:
		return found[0], nil
	}
	return member{}, fmt.Errorf("node %d is there with several directories: name one, as in %d/%s", n, n, found[0].Directory)
}

// change has the leader change the quorum, whoever that is meanwhile, until it is as wanted.
func (f quorumFlags) change(ctx context.Context, done func(*quorum) bool, request func(*quorum) kmsg.Request) error {
	var last error
	for {
		q, err := f.describe(ctx)
		switch {
		case err != nil:
			return errors.Join(last, err)
		case done(q):
			return nil
		}
		code, message, err := askChange(ctx, q.leaderAddr, request(q))
		switch {
		case err != nil:
			last = err // perhaps it was done: the next look tells
		case code == nil:
			return nil
		case code != kerr.NotLeaderForPartition:
			if again, err := f.describe(ctx); err == nil && done(again) {
				return nil
			}
			return fmt.Errorf("node %d says: %w: %s", q.Leader, code, message)
		}
		if err := pause(ctx); err != nil {
			return errors.Join(last, err)
		}
	}
}

func askChange(ctx context.Context, addr string, req kmsg.Request) (refused error, message string, err error) {
	resp, err := ask(ctx, addr, req)
	if err != nil {
		return nil, "", err
	}
	var text *string
	switch resp := resp.(type) {
	case *kmsg.AddRaftVoterResponse:
		refused, text = kerr.ErrorForCode(resp.ErrorCode), resp.ErrorMessage
	case *kmsg.RemoveRaftVoterResponse:
		refused, text = kerr.ErrorForCode(resp.ErrorCode), resp.ErrorMessage
	}
	if text != nil {
		message = *text
	}
	return refused, message, nil
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

type quorumTransferCmd struct {
	quorumFlags
	To int32 `arg:"" optional:"" default:"-1" name:"ID" help:"The voter that is to lead; without it, the one that is furthest."`
}

// Run is what kong calls.
func (c *quorumTransferCmd) Run() error { return c.within(c.run) }

func (c *quorumTransferCmd) run(ctx context.Context, stdout io.Writer) error {
	for addr := c.Server; ; {
		h, err := askHandover(ctx, addr, c.To)
		switch {
		case err != nil:
			return err
		case h.Done:
			_, err := fmt.Fprintf(stdout, "node %d leads\n", h.Leader)
			return err
		case h.Leader < 0:
			return fmt.Errorf("leadership was not handed over: %s", h.Why)
		}
		addr = h.Address
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func askHandover(ctx context.Context, addr string, to int32) (raftlog.Handover, error) {
	conn, closeConn, err := dial(ctx, addr)
	if err != nil {
		return raftlog.Handover{}, err
	}
	defer closeConn()
	h, err := raftlog.AskHandover(conn, to)
	if err != nil {
		return h, fmt.Errorf("hand leadership over, asked of %s: %w", addr, err)
	}
	return h, nil
}

// find returns a member by its whole name.
func (q *quorum) find(id int32, directory records.UUID) (member, bool) {
	for _, m := range q.Members {
		if m.ID == id && m.directory == directory {
			return m, true
		}
	}
	return member{}, false
}

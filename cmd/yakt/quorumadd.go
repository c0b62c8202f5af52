package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/raftlog"
)

// quorumAddCmd lets a node into the quorum.
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
func identify(ctx context.Context, addr string) (who raftlog.Identity, err error) {
	err = talk(ctx, addr, func(conn net.Conn) error {
		if who, err = raftlog.Identify(conn); err != nil {
			return fmt.Errorf("who runs at %s: %w", addr, err)
		}
		return nil
	})
	return who, err
}

package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"yakt/raftlog"
)

// quorumTransferCmd has another voter lead.
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

func askHandover(ctx context.Context, addr string, to int32) (h raftlog.Handover, err error) {
	err = talk(ctx, addr, func(conn net.Conn) error {
		if h, err = raftlog.AskHandover(conn, to); err != nil {
			return fmt.Errorf("hand leadership over, asked of %s: %w", addr, err)
		}
		return nil
	})
	return h, err
}

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// quorumRemoveCmd takes a node out of it.
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

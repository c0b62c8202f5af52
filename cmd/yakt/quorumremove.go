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
	name, err := parseMember(c.Node)
	if err != nil {
		return err
	}
	q, err := c.describe(ctx)
	if err != nil {
		return err
	}
	m, err := q.named(name)
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

// memberName is ID or ID/DIRECTORY.
type memberName struct {
	text      string
	id        int32
	directory string
	exact     bool // there is a directory
}

func parseMember(text string) (memberName, error) {
	id, directory, exact := strings.Cut(text, "/")
	n, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return memberName{}, fmt.Errorf("%q is neither ID nor ID/DIRECTORY", text)
	}
	return memberName{text, int32(n), directory, exact}, nil
}

// named finds the member that a name means.
func (q *quorum) named(name memberName) (member, error) {
	var found []member
	for _, m := range q.Members {
		if m.ID == name.id && (!name.exact || m.Directory == name.directory) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return member{}, fmt.Errorf("the quorum knows no %s; `yakt quorum status` lists who there is", name.text)
	case 1:
		return found[0], nil
	}
	return member{}, fmt.Errorf("node %d is there with several directories: name one, as in %d/%s", name.id, name.id, found[0].Directory)
}

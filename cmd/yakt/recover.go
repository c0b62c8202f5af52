package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"yakt/raftlog"
)

// recoverCmd is the last resort: a majority of the controllers is lost for good, and what one of them has becomes what is
// so. It says what that means, and does it only when told to.
type recoverCmd struct {
	Dir string `arg:"" help:"The data directory of the node that is left, which must be stopped. Of several, that with the highest epoch, then the highest end offset."`
	Yes bool   `help:"Do it. Without, only what would happen is printed."`
}

// tailBatches is how many batches of uncertain fate are printed.
const tailBatches = 20

// Run is what kong calls.
func (c *recoverCmd) Run() error { return c.run(os.Stdout) }

func (c *recoverCmd) run(stdout io.Writer) (err error) {
	s, err := openStopped(c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.Alone() {
		fmt.Fprintf(stdout, "%s: %s. It is the only voter: there is nothing to recover, just start it.\n", c.Dir, whose(s))
		return nil
	}
	out := bufio.NewWriter(stdout)
	err = errors.Join(c.describe(s, out), out.Flush())
	if err != nil {
		return err
	}
	if !c.Yes {
		_, err := fmt.Fprintf(stdout, "\nNothing was changed. If the others are lost for good: yakt quorum recover %s --yes\n", c.Dir)
		return err
	}
	was := s.Self()
	if err := s.Recover(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "\nDone: node %d is the whole quorum, under a new directory id. Start it with the command it always had.\n"+
		"The directories of the others must never be started again: empty them, and let them join with -e %d/%s.\n", was.NodeID, was.NodeID, was.Addr)
	return err
}

// describe prints whose directory it is, what would become committed, and which brokers may know of more.
func (c *recoverCmd) describe(s *raftlog.Stopped, out *bufio.Writer) error {
	fmt.Fprintf(out, "%s: %s\n", c.Dir, whose(s))
	fmt.Fprintf(out, "Its term is %d and becomes %d.\n\nIt had these members, and would have itself alone:\n", s.Term(), s.Term()+raftlog.RecoveryTerms)
	for _, m := range s.Members() {
		role := "voter"
		if !m.Voter {
			role = "still catching up, no voter"
		}
		if m == s.Self() {
			role += ", this one"
		}
		fmt.Fprintf(out, "  node %d at %s, directory id %s: %s\n", m.NodeID, m.Addr, m.DirectoryID, role)
	}
	if err := c.describeTail(s, out); err != nil {
		return err
	}
	return c.describeBrokers(s, out)
}

func (c *recoverCmd) describeTail(s *raftlog.Stopped, out *bufio.Writer) error {
	from := s.Committed()
	if from == s.EndOffset() {
		_, err := fmt.Fprintf(out, "\nAll that it has is known to be committed.\n")
		return err
	}
	fmt.Fprintf(out, "\nOf its log, %s.\nThese %d records, offsets %d to %d, would become committed, whether or not they were:\n",
		known(s), s.EndOffset()-from, from, s.EndOffset()-1)
	var line []byte
	n := 0
	for b, err := range s.Batches() {
		if err != nil {
			return err
		}
		if b.BaseOffset() < from {
			continue
		}
		if n++; n > tailBatches {
			continue
		}
		// A record that cannot be read stands in its place as an error.
		line, _ = new(dumpCmd).appendBatch(append(line[:0], "  "...), b)
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if more := n - tailBatches; more > 0 {
		fmt.Fprintf(out, "  and %d batches more: yakt dump %s prints them all\n", more, c.Dir)
	}
	return nil
}

func (c *recoverCmd) describeBrokers(s *raftlog.Stopped, out *bufio.Writer) error {
	img, err := replayed(s)
	if err != nil {
		return err
	}
	var real, byHand []string
	for b := range img.Brokers() {
		if b.ByHand() {
			byHand = append(byHand, strconv.Itoa(int(b.ID)))
		} else {
			real = append(real, strconv.Itoa(int(b.ID)))
		}
	}
	fmt.Fprintf(out, "\nWhat the others had committed beyond offset %d is lost, and this directory cannot tell whether there was any.\n", s.EndOffset())
	_, err = fmt.Fprintf(out, "A broker may have seen it. Registered by this log: %s (by hand, with no copy of it: %s). Look at each, and at any that registered later:\n"+
		"  yakt dump BROKER-LOG-DIR/%s/*.log | tail -n 1\n"+
		"If its baseOffset + recordCount is above %d, or its partitionLeaderEpoch above %d, that broker has seen a history that is\n"+
		"lost, and stalls or stops on this shorter one: stop it, remove its %s directory, start it. Others need nothing.\n"+
		"If nothing is printed, the name of its newest .checkpoint has the two numbers.\n",
		listed(real), listed(byHand), metadataDir, s.EndOffset(), s.Epoch(), metadataDir)
	return err
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

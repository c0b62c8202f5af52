package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// dumpDirectory prints the log of a stopped node, from its start to its end, as dumpFile prints segments.
func (c *dumpCmd) dumpDirectory(dir string, out *bufio.Writer, stderr io.Writer) (err error) {
	s, err := openStopped(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Fprintf(stderr, "yakt: %s: %s\n", dir, whose(s))
	if snapshots := s.Snapshots(); s.StartOffset() > 0 && len(snapshots) > 0 {
		fmt.Fprintf(stderr, "yakt: the log begins at offset %d; what was before is in %s\n", s.StartOffset(),
			filepath.Join(dir, metadataDir, snapshots[0].FileName()))
	}
	if n := s.Dropped(); n > 0 {
		fmt.Fprintf(stderr, "yakt: %d batches in it do not count on any node and are left out\n", n)
	}
	fmt.Fprintf(stderr, "yakt: %s\n", known(s))
	var bad error
	var line []byte
	for b, err := range s.Batches() {
		if err != nil {
			return errors.Join(bad, err)
		}
		line, err = c.appendBatch(line[:0], b)
		if err != nil && bad == nil {
			bad = fmt.Errorf("%s: %w", dir, err)
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return bad
}

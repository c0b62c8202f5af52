package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"yakt/raftlog"
	"yakt/records"
)

// exportCmd writes what a stopped node has the way Apache Kafka lays it out, for Kafka's own tools:
//
//	OUT/__cluster_metadata-0/00000000000000000245.log                    the log, from its start; a new segment after a GiB
//	OUT/__cluster_metadata-0/00000000000000000245-0000000003.checkpoint  the snapshots that the log goes on from
//
// Those tools need no index; who opens the directory as a log makes what is missing.
type exportCmd struct {
	Dir string `arg:"" help:"The data directory of a node that is stopped."`
	To  string `required:"" placeholder:"OUT" help:"Where to make __cluster_metadata-0. It must not be there yet."`
}

// segmentBytes is Kafka's metadata.log.segment.bytes: one file of its tools' may not be longer than 2 GiB.
const segmentBytes = 1 << 30

// Run is what kong calls.
func (c *exportCmd) Run() error { return c.run(os.Stdout, segmentBytes) }

func (c *exportCmd) run(stdout io.Writer, perSegment int64) (err error) {
	s, err := openStopped(c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	dir := filepath.Join(c.To, metadataDir)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already, and nothing is overwritten: name another directory with --to", dir)
	}
	if err := os.MkdirAll(c.To, 0o700); err != nil {
		return err
	}
	// What is not whole never has the final name. Passwords' hashes are in it: nobody else may look.
	part, err := os.MkdirTemp(c.To, metadataDir+".part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part) // gone already when all went well
	names, err := exportLog(s, part, perSegment)
	if err != nil {
		return err
	}
	for _, id := range s.Snapshots() {
		if err := exportSnapshot(s, id, part); err != nil {
			return err
		}
		names = append(names, id.FileName())
	}
	if err := os.Rename(part, dir); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\n%s\n", whose(s), known(s))
	for _, name := range names {
		fmt.Fprintln(stdout, filepath.Join(dir, name))
	}
	return nil
}

// exportLog writes the batches that count as segments, named by the offset they begin at.
func exportLog(s *raftlog.Stopped, dir string, perSegment int64) (names []string, err error) {
	var out *newFile
	defer func() {
		if out != nil {
			err = errors.Join(err, out.close())
		}
	}()
	begin := func(offset int64) error {
		if out != nil {
			if err := out.close(); err != nil {
				return err
			}
		}
		name := fmt.Sprintf("%020d.log", offset)
		names = append(names, name)
		out, err = create(filepath.Join(dir, name))
		return err
	}
	if err := begin(s.StartOffset()); err != nil {
		return nil, err
	}
	size := int64(0)
	for b, err := range s.Batches() {
		if err != nil {
			return nil, err
		}
		if size > 0 && size+int64(len(b)) > perSegment {
			if err := begin(b.BaseOffset()); err != nil {
				return nil, err
			}
			size = 0
		}
		if _, err := out.Write(b); err != nil {
			return nil, err
		}
		size += int64(len(b))
	}
	return names, nil
}

func exportSnapshot(s *raftlog.Stopped, id records.SnapshotID, dir string) error {
	from, err := s.OpenSnapshot(id)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := create(filepath.Join(dir, id.FileName()))
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.close())
}

// newFile is a file that is on disk once it is closed.
type newFile struct {
	*bufio.Writer
	file *os.File
}

func create(path string) (*newFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &newFile{bufio.NewWriterSize(f, 64<<10), f}, nil
}

func (f *newFile) close() error { return errors.Join(f.Flush(), f.file.Sync(), f.file.Close()) }

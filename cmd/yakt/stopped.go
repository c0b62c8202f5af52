package main

import (
	"bufio"
	"errors"
	"fmt"

	"yakt/controller/image"
	"yakt/raftlog"
	"yakt/records"
)

// metadataDir is Kafka's name for the directory of the metadata log.
const metadataDir = image.MetadataTopic + "-0"

// openStopped opens a node's data directory, and says what to do if it is a running one's.
func openStopped(dir string) (*raftlog.Stopped, error) {
	s, err := raftlog.OpenStopped(dir)
	if errors.Is(err, raftlog.ErrInUse) {
		return nil, fmt.Errorf("a node is running on %s: stop it first, or ask it (GET /get_metadata): %w", dir, err)
	}
	return s, err
}

// whose says whose directory it is and how far its log goes.
func whose(s *raftlog.Stopped) string {
	self := s.Self()
	return fmt.Sprintf("node %d of cluster %s, directory id %s; offsets %d to %d, the last of epoch %d",
		self.NodeID, s.ClusterID(), self.DirectoryID, s.StartOffset(), s.EndOffset(), s.Epoch())
}

// known says what of the log is committed. Raft does not store that.
func known(s *raftlog.Stopped) string {
	if s.Committed() == s.EndOffset() {
		return "all of it is committed"
	}
	below := "nothing is known to be"
	if s.Committed() > 0 {
		below = fmt.Sprintf("what is below offset %d is", s.Committed())
	}
	return fmt.Sprintf("%s committed; what comes after may be, or the quorum may have lost it: this directory alone does not tell", below)
}

// replayed is the image at the end of a stopped node's log.
func replayed(s *raftlog.Stopped) (img *image.Image, err error) {
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case *image.ReplayError:
			img, err = nil, failed
		default:
			panic(failed)
		}
	}()
	e := new(image.Image).Edit()
	if all := s.Snapshots(); len(all) > 0 {
		from, err := readSnapshot(s, all[len(all)-1])
		if err != nil {
			return nil, err
		}
		e = from.Edit()
	}
	for b, err := range s.Batches() {
		if err != nil {
			return nil, err
		}
		if b.BaseOffset() >= e.View().EndOffset() {
			e.ReplayBatch(b)
		}
	}
	return e.Image(), nil
}

func readSnapshot(s *raftlog.Stopped, id records.SnapshotID) (*image.Image, error) {
	file, err := s.OpenSnapshot(id)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return image.ReadCheckpoint(id, bufio.NewReaderSize(file, 64<<10))
}

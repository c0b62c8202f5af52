package raftlog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"yakt/records"
)

// identity says whose directory this is. It is Kafka's meta.properties, version 1, so that Kafka's tools know it, and a
// row of the database with the same three values: files of two directories cannot be mixed without being noticed.
// It is durable before the first byte of the log is written.
type identity struct {
	cluster   string
	node      int32
	directory records.UUID
	joined    bool   // it became a member of a quorum that existed; its directory never begins a history. Not in text
	listed    string // the ids of those for whom it began a quorum (begin.go), 1,2,3; empty: for nobody else. Not in text
}

const (
	metaFile  = "meta.properties"
	joinedKey = "yakt.joined"
	listedKey = "yakt.listed"
)

func (id identity) text() string {
	return fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", id.cluster, id.node, id.directory)
}

// file is what the file says: text, and the mark of who joined, or of who began for others.
func (id identity) file() string {
	text := id.text()
	if id.joined {
		text += joinedKey + "=true\n"
	}
	if id.listed != "" {
		text += listedKey + "=" + id.listed + "\n"
	}
	return text
}

// idsText is node ids as 1,2,3.
func idsText(ids []int32) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.Itoa(int(id))
	}
	return strings.Join(texts, ",")
}

func parseIDs(text string) (ids []int32, err error) {
	for one := range strings.SplitSeq(text, ",") {
		id, err := strconv.ParseInt(one, 10, 32)
		if err != nil {
			return nil, err
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

// readIdentity returns os.ErrNotExist for a directory without meta.properties.
func readIdentity(fs vfs.FS, dir string) (identity, error) {
	path := fs.PathJoin(dir, metaFile)
	f, err := fs.Open(path)
	if err != nil {
		return identity{}, err
	}
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err := errors.Join(err, f.Close()); err != nil {
		return identity{}, fmt.Errorf("raftlog: read %s: %w", path, err)
	}
	return parseIdentity(path, string(text))
}

func parseIdentity(path, text string) (id identity, err error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if v := values["version"]; v != "1" {
		return id, fmt.Errorf("raftlog: %s has version %q; this program reads version 1", path, v)
	}
	node, err := strconv.ParseInt(values["node.id"], 10, 32)
	if err != nil {
		return id, fmt.Errorf("raftlog: %s has no usable node.id: %q", path, values["node.id"])
	}
	directory, err := records.ParseUUID(values["directory.id"])
	if err != nil {
		return id, fmt.Errorf("raftlog: %s has no usable directory.id: %w", path, err)
	}
	if values["cluster.id"] == "" {
		return id, fmt.Errorf("raftlog: %s has no cluster.id", path)
	}
	listed := values[listedKey]
	if _, err := parseIDs(listed); err != nil && listed != "" {
		return id, fmt.Errorf("raftlog: %s has no usable %s: %w", path, listedKey, err)
	}
	return identity{cluster: values["cluster.id"], node: int32(node), directory: directory, joined: values[joinedKey] == "true", listed: listed}, nil
}

// check says what is wrong with starting node in the cluster (empty: any) with this directory.
func (id identity) check(dir, cluster string, node int32) error {
	if id.node != node {
		return fmt.Errorf("raftlog: %s belongs to node %d, and this node is told to be %d. "+
			"Start it with --node-id %d, or give node %d a directory of its own", dir, id.node, node, id.node, node)
	}
	if cluster != "" && cluster != id.cluster {
		return fmt.Errorf("raftlog: %s belongs to cluster %s, and this node is told to be in %s. "+
			"Start it with --cluster-id %s or without, or with an empty directory", dir, id.cluster, cluster, id.cluster)
	}
	return nil
}

// newIdentity makes up what is not given.
func newIdentity(cluster string, node int32) identity {
	if cluster == "" {
		cluster = records.RandomUUID(rand.Reader).String()
	}
	return identity{cluster: cluster, node: node, directory: records.RandomUUID(rand.Reader)}
}

// write makes id the identity of dir, all or nothing.
func (id identity) write(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, metaFile)
	f, err := fs.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write([]byte("#\n" + id.file()))
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = fs.Rename(path+".tmp", path)
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err != nil {
		return fmt.Errorf("raftlog: write %s: %w", path, err)
	}
	return nil
}

// confirm compares id, as the file has it, with the database's row, and returns who counts. known is false when the
// database has no row yet. A recovery (recover.go) writes the row first: a file that still says what it was before that is
// only behind.
func (id identity) confirm(s *store, dir string) (_ identity, known bool, err error) {
	have, closer, err := s.db.Get([]byte{keyIdentity})
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return id, false, nil
	case err != nil:
		return id, false, fmt.Errorf("raftlog: read the identity: %w", err)
	}
	defer closer.Close()
	if string(have) == id.text() {
		return id, true, nil
	}
	former, formerCloser, err := s.db.Get([]byte(keyFormer))
	if err == nil {
		defer formerCloser.Close()
	}
	switch {
	case err == nil && string(former) == id.text():
		now, err := parseIdentity("the database in "+dir, string(have))
		now.joined = id.joined
		return now, true, err
	case err != nil && !errors.Is(err, pebble.ErrNotFound):
		return id, false, fmt.Errorf("raftlog: read the identity: %w", err)
	}
	return id, true, fmt.Errorf("raftlog: the database in %s was written under another %s: it has %q and the file %q. "+
		"Put the directory back as it was, or start with an empty one", dir, metaFile, have, id.text())
}

// claim makes file and row agree, and returns whose directory it is: a database without a row gets one, and a file that
// is behind is written.
func (id identity) claim(fs vfs.FS, s *store, dir string) (identity, error) {
	counts, known, err := id.confirm(s, dir)
	switch {
	case err != nil:
		return id, err
	case !known:
		b := s.db.NewBatch()
		must(b.Set([]byte{keyIdentity}, []byte(id.text()), nil))
		return id, s.commit(b, "store the identity")
	case counts != id:
		return counts, counts.write(fs, dir)
	}
	return id, nil
}

// openIdentity reads the identity of dir or gives an empty directory one. learn, if not nil, asks others what that is to be.
func openIdentity(fs vfs.FS, dir, cluster string, node int32, learn func(identity) (identity, error)) (id identity, isNew bool, err error) {
	id, err = readIdentity(fs, dir)
	switch {
	case err == nil:
		return id, false, id.check(dir, cluster, node)
	case !errors.Is(err, os.ErrNotExist):
		return id, false, err
	}
	// Without its identity, a directory that holds anything of ours is half of something.
	for _, name := range []string{databaseDir, metadataDir} {
		names, err := fs.List(fs.PathJoin(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return id, false, fmt.Errorf("raftlog: look into %s: %w", dir, err)
		}
		if len(names) > 0 && !onlyLock(names) {
			return id, false, fmt.Errorf("raftlog: %s holds %s but no %s, so it is not known whose log that is. "+
				"Put the file back, or start with an empty directory", dir, name, metaFile)
		}
	}
	id = newIdentity(cluster, node)
	if learn != nil {
		id.cluster = cluster
		if id, err = learn(id); err != nil {
			return id, false, err
		}
	}
	return id, true, id.write(fs, dir)
}

func onlyLock(names []string) bool { return len(names) == 1 && names[0] == "LOCK" }

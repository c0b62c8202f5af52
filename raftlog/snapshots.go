package raftlog

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// snapshots is raft's SnapshotStore. A snapshot is a Kafka checkpoint file, byte for byte, in __cluster_metadata-0 under
// Kafka's name for it, so that Kafka's tools open it and FetchSnapshot serves it by position. raft's own facts about it
// are a row of the database, keyed by the file's name, and written last:
//
//	write <name>-<index>.checkpoint.part → sync it → mode 0400 → rename → sync the directory → row
//
// A file without a row is what a crash left and is removed at start; a row whose file is missing or has another checksum
// is a bad snapshot, and the one before it is used.
//
// raft also streams snapshots from node to node. Its stream is the file behind a preamble that names its position:
//
//	0        4              12       16
//	├ "YKS1" ┼ end offset   ┼ epoch  ┼ the file…
//	           int64          int32
//
// Two snapshots are kept, and the log from the older one on, so that a bad file costs nothing. While only one exists the
// log keeps everything. Safe for use from any goroutine; raft calls Create from its snapshot goroutine or its main one.
// Only who writes or removes a snapshot waits for the disk: brokers ask for the newest one with every Fetch.
type snapshots struct {
	fs     vfs.FS
	dir    string
	store  *store
	logger *slog.Logger

	writing sync.Mutex    // held while what is kept changes, on disk and here; taken before mu
	mu      sync.Mutex    // held for moments only, never while the disk is asked for anything
	kept    []*checkpoint // by index, oldest first
	left    []*checkpoint // no longer kept, with their files not removed yet
}

const (
	metadataDir     = "__cluster_metadata-0"
	preambleMagic   = "YKS1"
	preambleLen     = 16
	snapshotsToKeep = 2

	// snapshotPiece is how many bytes of a snapshot are handed to the disk at a time, while the file grows. With all of it left to
	// the sync at the end, the synced writes of the log, which share the file system's journal, would wait for a hundred megabytes.
	snapshotPiece = 1 << 20
)

// A checkpoint is one snapshot that is kept, or one that is only waiting for its last reader. Its row changes, under mu, when the same state
// is taken again at a later entry: who reads it without mu has a copy.
type checkpoint struct {
	id      records.SnapshotID
	row     snapshotRow
	readers int
}

// snapshotRow is the JSON value of the row of one snapshot.
type snapshotRow struct {
	RaftVersion        raft.SnapshotVersion `json:"raftVersion"`
	Index              uint64               `json:"index"`
	Term               uint64               `json:"term"`
	Configuration      raft.Configuration   `json:"configuration"`
	ConfigurationIndex uint64               `json:"configurationIndex"`
	Size               int64                `json:"size"`
	CRC32C             uint32               `json:"crc32c"`
}

func snapshotKey(name string) []byte { return append([]byte{keySnapshot}, name...) }

func (c checkpoint) meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: c.row.RaftVersion, ID: c.id.FileName(), Index: c.row.Index, Term: c.row.Term,
		Configuration: c.row.Configuration, ConfigurationIndex: c.row.ConfigurationIndex, Size: c.row.Size + preambleLen,
	}
}

// openSnapshots reads the rows, checks the files against them, and removes what a crash left over.
func openSnapshots(fs vfs.FS, dir string, store *store, logger *slog.Logger) (*snapshots, error) {
	s, bad, err := readSnapshots(fs, dir, store, logger)
	if err != nil {
		return nil, err
	}
	for _, c := range bad {
		if err := s.remove(c); err != nil {
			return nil, err
		}
	}
	if err := s.removeLeftovers(); err != nil {
		return nil, err
	}
	s.protect()
	return s, nil
}

// readSnapshots reads the rows and checks the files against them. It changes nothing.
func readSnapshots(fs vfs.FS, dir string, store *store, logger *slog.Logger) (s *snapshots, bad []*checkpoint, err error) {
	s = &snapshots{fs: fs, dir: dir, store: store, logger: logger}
	it, err := store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keySnapshot}, UpperBound: []byte{keySnapshot + 1}})
	if err != nil {
		return nil, nil, fmt.Errorf("raftlog: list snapshots: %w", err)
	}
	for it.First(); it.Valid(); it.Next() {
		name := string(it.Key()[1:])
		c := &checkpoint{}
		id, ok := records.ParseSnapshotFileName(name)
		if !ok {
			return nil, nil, errors.Join(fmt.Errorf("raftlog: the database has a row of a snapshot %q, which is no name of one", name), it.Close())
		}
		if err := json.Unmarshal(it.Value(), &c.row); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("raftlog: the row of snapshot %s is damaged: %w", name, err), it.Close())
		}
		c.id = id
		if err := s.verify(*c); err != nil {
			logger.Error("raftlog: a snapshot is bad and is not used", "file", name, "err", err)
			bad = append(bad, c)
			continue
		}
		s.kept = append(s.kept, c)
	}
	if err := it.Close(); err != nil {
		return nil, nil, fmt.Errorf("raftlog: list snapshots: %w", err)
	}
	slices.SortFunc(s.kept, func(a, b *checkpoint) int { return int(int64(a.row.Index) - int64(b.row.Index)) })
	return s, bad, nil
}

// removeLeftovers removes unfinished files and finished ones whose row was never written.
func (s *snapshots) removeLeftovers() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("raftlog: list %s: %w", s.dir, err)
	}
	for _, name := range names {
		id, finished := records.ParseSnapshotFileName(name)
		if finished && s.find(id) != nil || !finished && !strings.HasSuffix(name, ".checkpoint.part") {
			continue
		}
		if err := s.fs.Remove(s.fs.PathJoin(s.dir, name)); err != nil {
			return fmt.Errorf("raftlog: remove the unfinished snapshot %s: %w", name, err)
		}
		s.logger.Info("raftlog: removed an unfinished snapshot", "file", name)
	}
	return nil
}

// protect tells the store what compaction must leave.
func (s *snapshots) protect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := uint64(0)
	if len(s.kept) >= snapshotsToKeep {
		from = s.kept[0].row.Index
	}
	s.store.setKeepFrom(from)
}

func (s *snapshots) path(id records.SnapshotID) string { return s.fs.PathJoin(s.dir, id.FileName()) }

// find returns the kept snapshot with that id. The caller holds mu or is alone.
func (s *snapshots) find(id records.SnapshotID) *checkpoint {
	for _, c := range s.kept {
		if c.id == id {
			return c
		}
	}
	return nil
}

// verify compares the file with its row.
func (s *snapshots) verify(c checkpoint) error {
	f, err := s.fs.Open(s.path(c.id), vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if n != c.row.Size || sum.Sum32() != c.row.CRC32C {
		return fmt.Errorf("it has %d bytes with checksum %08x and should have %d with %08x", n, sum.Sum32(), c.row.Size, c.row.CRC32C)
	}
	return nil
}

// remove forgets c: its row, then its file unless somebody is reading it. The caller holds writing, on one of raft's goroutines, or is alone.
func (s *snapshots) remove(c *checkpoint) error {
	b := s.store.db.NewBatch()
	must(b.Delete(snapshotKey(c.id.FileName()), nil))
	if err := s.store.commit(b, "forget snapshot "+c.id.FileName()); err != nil {
		return s.store.stop(err)
	}
	s.mu.Lock()
	s.kept = slices.DeleteFunc(s.kept, func(k *checkpoint) bool { return k == c })
	s.left = append(s.left, c)
	s.mu.Unlock()
	s.sweep()
	return nil
}

// sweep removes the files of what is no longer kept, unless somebody is reading them. The caller holds writing, or is alone.
func (s *snapshots) sweep() {
	var unread []string
	s.mu.Lock()
	s.left = slices.DeleteFunc(s.left, func(c *checkpoint) bool {
		if c.readers > 0 {
			return false
		}
		if s.find(c.id) == nil { // a kept snapshot may have the same name again: then the file is that one's
			unread = append(unread, c.id.FileName())
		}
		return true
	})
	s.mu.Unlock()
	for _, name := range unread {
		if err := s.fs.Remove(s.fs.PathJoin(s.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.logger.Warn("raftlog: remove an old snapshot", "file", name, "err", err)
		}
	}
}

// List implements raft.SnapshotStore: newest first.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	metas := make([]*raft.SnapshotMeta, 0, len(s.kept))
	for _, c := range slices.Backward(s.kept) {
		metas = append(metas, c.meta())
	}
	return metas, nil
}

// Open implements raft.SnapshotStore. A snapshot that turns out to be bad is forgotten.
func (s *snapshots) Open(name string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	id, ok := records.ParseSnapshotFileName(name)
	if !ok {
		return nil, nil, fmt.Errorf("raftlog: %q is no snapshot: %w", name, os.ErrNotExist)
	}
	r, err := s.open(id)
	if err != nil {
		return nil, nil, err
	}
	if err := s.verify(r.is); err != nil {
		r.Close()
		s.writing.Lock()
		defer s.writing.Unlock()
		if s.keeps(r.of) {
			s.logger.Error("raftlog: a snapshot is bad and is not used", "file", name, "err", err)
			err = errors.Join(err, s.remove(r.of))
			s.protect()
		}
		return nil, nil, fmt.Errorf("raftlog: snapshot %s is bad: %w", name, err)
	}
	stream := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader(preamble(id)), io.NewSectionReader(r, 0, r.Size())), r}
	return r.is.meta(), stream, nil
}

func (s *snapshots) keeps(c *checkpoint) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.kept, c)
}

// open opens the file of a kept snapshot. It stays until the reader is closed, even if it is no longer kept by then.
func (s *snapshots) open(id records.SnapshotID) (*snapshotReader, error) {
	s.mu.Lock()
	c := s.find(id)
	if c == nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("raftlog: snapshot %s: %w", id.FileName(), os.ErrNotExist)
	}
	c.readers++
	is := *c
	s.mu.Unlock()
	f, err := s.fs.Open(s.path(id))
	if err != nil {
		s.release(c)
		return nil, fmt.Errorf("raftlog: snapshot: %w", err)
	}
	return &snapshotReader{File: f, is: is, of: c, from: s}, nil
}

// release takes a reader of c's away. If c waits for that only, its file goes; while a snapshot is being written, with the end of that.
func (s *snapshots) release(c *checkpoint) {
	s.mu.Lock()
	c.readers--
	over := c.readers == 0 && slices.Contains(s.left, c)
	s.mu.Unlock()
	if over && s.writing.TryLock() {
		defer s.writing.Unlock()
		s.sweep()
	}
}

type snapshotReader struct {
	vfs.File
	is   checkpoint // as it was when the reader was opened
	of   *checkpoint
	from *snapshots
	once sync.Once
}

// Size is the file's length.
func (r *snapshotReader) Size() int64 { return r.is.row.Size }

func (r *snapshotReader) Close() (err error) {
	r.once.Do(func() {
		err = r.File.Close()
		r.from.release(r.of)
	})
	return err
}

// newest returns the newest kept snapshot; ok is false while there is none.
func (s *snapshots) newest() (c checkpoint, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return c, false
	}
	return *s.kept[len(s.kept)-1], true
}

// withID returns the kept snapshot with that id.
func (s *snapshots) withID(id records.SnapshotID) (c checkpoint, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.find(id); found != nil {
		return *found, true
	}
	return c, false
}

// all returns the kept snapshots, oldest first.
func (s *snapshots) all() []checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []checkpoint
	for _, c := range s.kept {
		all = append(all, *c)
	}
	return all
}

// base returns the oldest kept snapshot up to an index from which the log is whole; the empty state if it is whole from
// its beginning.
func (s *snapshots) base(upTo uint64) (checkpoint, bool) {
	first, _ := s.store.FirstIndex()
	if first <= 1 {
		return checkpoint{}, true
	}
	for _, c := range s.all() {
		if c.row.Index+1 >= first && c.row.Index <= upTo {
			return c, true
		}
	}
	return checkpoint{}, false
}

func preamble(id records.SnapshotID) string {
	b := append([]byte(nil), preambleMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(id.EndOffset))
	return string(binary.BigEndian.AppendUint32(b, uint32(id.Epoch)))
}

func readPreamble(b []byte) (records.SnapshotID, error) {
	if len(b) != preambleLen || string(b[:4]) != preambleMagic {
		return records.SnapshotID{}, fmt.Errorf("raftlog: a snapshot stream begins with %x", b)
	}
	return records.SnapshotID{EndOffset: int64(binary.BigEndian.Uint64(b[4:])), Epoch: int32(binary.BigEndian.Uint32(b[12:]))}, nil
}

// Create implements raft.SnapshotStore. The file is opened when the preamble has said its name.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{to: s, sum: crc32.Checksum(nil, castagnoli), row: snapshotRow{RaftVersion: version, Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex}}, nil
}

// A sink takes one snapshot stream. One goroutine uses it.
type sink struct {
	to     *snapshots
	row    snapshotRow
	head   []byte
	id     records.SnapshotID
	part   string
	file   vfs.File
	buf    *bufio.Writer
	sum    uint32
	reuse  bool // this very state is already kept: a file that may be half sent to an observer must not change
	closed bool
}

// ID implements raft.SnapshotSink. It is known once the preamble was written.
func (w *sink) ID() string { return w.id.FileName() }

func (w *sink) Write(p []byte) (int, error) {
	n := 0
	if need := preambleLen - len(w.head); need > 0 {
		n = min(need, len(p))
		w.head = append(w.head, p[:n]...)
		if len(w.head) < preambleLen {
			return n, nil
		}
		if err := w.begin(); err != nil {
			return n, err
		}
	}
	for !w.reuse && n < len(p) {
		piece := p[n:min(n+snapshotPiece, len(p))]
		w.sum = crc32.Update(w.sum, castagnoli, piece) // before the file has it: vfs.File may change what it writes
		if _, err := w.buf.Write(piece); err != nil {
			return n, fmt.Errorf("raftlog: write snapshot %s: %w", w.part, err)
		}
		w.row.Size += int64(len(piece))
		n += len(piece)
	}
	return len(p), nil
}

// begin opens the file that the preamble names.
func (w *sink) begin() error {
	id, err := readPreamble(w.head)
	if err != nil {
		return err
	}
	w.id = id
	s := w.to
	if same, ok := s.withID(id); ok && s.verify(same) == nil {
		w.reuse = true
		w.row.Size, w.row.CRC32C = same.row.Size, same.row.CRC32C
		return nil
	}
	w.part = s.fs.PathJoin(s.dir, fmt.Sprintf("%s-%d.checkpoint.part", strings.TrimSuffix(id.FileName(), ".checkpoint"), w.row.Index))
	file, err := s.fs.Create(w.part, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("raftlog: create a snapshot: %w", err)
	}
	w.file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: snapshotPiece, NoSyncOnClose: true})
	w.buf = bufio.NewWriterSize(w.file, 64<<10)
	return nil
}

// Close implements raft.SnapshotSink: the snapshot becomes one that is kept.
func (w *sink) Close() error {
	if w.closed {
		return nil
	}
	if len(w.head) < preambleLen {
		return fmt.Errorf("raftlog: a snapshot of %d bytes", len(w.head))
	}
	fail := func(err error) error {
		return fmt.Errorf("raftlog: finish snapshot %s: %w", w.id.FileName(), errors.Join(err, w.Cancel()))
	}
	if !w.reuse {
		if err := w.finish(); err != nil {
			return fail(err)
		}
	}
	w.to.writing.Lock()
	defer w.to.writing.Unlock()
	if newest, ok := w.to.newest(); ok && w.row.Index < newest.row.Index {
		return fail(fmt.Errorf("a newer one, %s, has come meanwhile", newest.id.FileName()))
	}
	if !w.reuse {
		if err := w.name(); err != nil {
			return fail(err)
		}
		w.row.CRC32C = w.sum
	}
	w.closed = true
	return w.to.add(&checkpoint{id: w.id, row: w.row})
}

// finish makes the file whole and durable.
func (w *sink) finish() error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	w.file = nil
	if w.to.fs == vfs.Default {
		return os.Chmod(w.part, 0o400)
	}
	return nil
}

// name gives the file the snapshot's name. The caller holds writing: the file of an older snapshot with that name may be about to go.
func (w *sink) name() error {
	s := w.to
	if err := s.fs.Rename(w.part, s.path(w.id)); err != nil {
		return err
	}
	w.part = ""
	return syncDir(s.fs, s.dir)
}

// Cancel implements raft.SnapshotSink.
func (w *sink) Cancel() error {
	if w.closed {
		return nil
	}
	w.closed = true
	var err error
	if w.file != nil {
		err = w.file.Close()
	}
	if w.part != "" {
		err = errors.Join(err, w.to.fs.Remove(w.part))
	}
	return err
}

// add makes c the newest snapshot and forgets those that are too many. If the log does not hold what c closes with, the
// snapshot came from a leader that is ahead of us: the log begins anew at c, in the same write as the row. The caller holds writing.
func (s *snapshots) add(c *checkpoint) error {
	row, err := json.Marshal(c.row)
	if err != nil {
		return err
	}
	if err := s.store.startAt(c.row.Index, c.row.Term, snapshotKey(c.id.FileName()), row); err != nil {
		return err
	}
	s.mu.Lock()
	if same := s.find(c.id); same != nil {
		same.row = c.row // readers of the file stay counted
	} else {
		s.kept = append(s.kept, c)
	}
	tooMany := slices.Clone(s.kept[:max(0, len(s.kept)-snapshotsToKeep)])
	s.mu.Unlock()
	for _, old := range tooMany {
		if err := s.remove(old); err != nil {
			return err
		}
	}
	s.protect()
	s.sweep()
	return nil
}

// syncDir makes the names in dir durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

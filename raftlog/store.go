package raftlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// A store is raft's LogStore and StableStore on one Pebble database. Its keys, by their first byte:
//
//	'e' index uint64 big-endian    one raft entry
//	'i'                            whose database this is (identity.go); "iwas" before a recovery (recover.go)
//	'p' file name                  raft's metadata of one snapshot (snapshots.go)
//	's' name                       raft's stable values: CurrentTerm, LastVoteTerm (uint64 big-endian), LastVoteCand (address)
//
// The value of an entry, integers big-endian:
//
//	0        4  5      6          10      18        26       26+d     26+d+x
//	├ CRC-32C┼ v┼ type ┼ ext. len ┼ term  ┼ time    ┼ data…  ┼ ext.…  ┤
//	  uint32  u8  u8     uint32=x   uint64  int64 ns
//
// v is 1. The checksum covers the eight bytes of the key's index and then the value from byte 4 to its end, so an entry
// under a wrong index is as detectable as a changed byte. data is raft's payload: for a command exactly one Kafka record
// batch, in one piece, so that a Fetch copies it from the value and never decodes it.
//
// Writing: raft's main goroutine stores entries, terms and votes; its snapshot goroutine trims the log and writes
// snapshot rows. Every write that raft relies on is one synced Pebble batch. The first write that fails ends the store:
// it is reported once, never retried (what an fsync failed to write may be gone from the page cache, and the next fsync
// would succeed without it), and the raft goroutine that made it does not go on. What this package itself reads or writes
// beside raft gives the error to its caller: entry, get, set and read.
//
// Reading is safe from any goroutine, also when the store has been closed: that is ErrClosed then. Only scan is for who knows that it is open.
type store struct {
	db     *pebble.DB
	onFail func(error)           // told of the first failure after Open
	onTerm func(uint64)          // told of a new CurrentTerm when it is durable, on raft's main goroutine
	onTrim func()                // told that old entries are about to be deleted
	slow   func()                // for tests, see Config
	since  atomic.Int64          // unix ns: raft's main goroutine waits for the disk since then; 0: it does not
	reason atomic.Pointer[error] // with which it has failed first; nil: it has not
	opened atomic.Bool           // until Open has returned, errors are returned to it instead of ending the goroutine

	writing sync.Mutex // held over one synced write

	// Who reads may do so after the end: whoever serves a request, and the goroutine that tells raft's metrics how old the log is.
	using       sync.RWMutex
	closed      bool
	mu          sync.Mutex
	first, last uint64 // 0, 0: empty
	keepFrom    uint64 // no entry from here on is deleted as old: the index of the oldest snapshot kept
	term        uint64
	voteTerm    uint64 // a LastVoteTerm waiting for its LastVoteCand
	votePending bool

	syncs   atomic.Int64 // synced writes
	entries atomic.Int64 // entries stored
	bytes   atomic.Int64 // their bytes
}

const (
	keyEntry    = 'e'
	keyIdentity = 'i'
	keyFormer   = "iwas"
	keySnapshot = 'p'
	keyStable   = 's'
)

// openStore opens the database in dir, which lock already guards.
func openStore(fs vfs.FS, dir string, lock *pebble.Lock, logger *slog.Logger, onFail func(error)) (*store, error) {
	s := &store{onFail: onFail}
	opts := s.options(fs, dir, lock, logger)
	if err := prepareFormat(fs, dir, opts); err != nil {
		return nil, fmt.Errorf("raftlog: prepare the database in %s: %w", dir, err)
	}
	return s.open(dir, opts)
}

// readStore opens a database that exists, for reading: what the write-ahead log holds is read into memory, and no file changes.
func readStore(fs vfs.FS, dir string, lock *pebble.Lock) (*store, error) {
	s := &store{}
	opts := s.options(fs, dir, lock, discard)
	opts.ReadOnly = true
	return s.open(dir, opts)
}

func (s *store) options(fs vfs.FS, dir string, lock *pebble.Lock, logger *slog.Logger) *pebble.Options {
	opts := &pebble.Options{
		FS:                 fs,
		Lock:               lock,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             pebbleLogger{logger, s},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EPERM) { // it cannot see how full the disk is
					logger.Warn("pebble: " + err.Error())
					return
				}
				// A flush or compaction that fails would be tried again at once, for ever, and then writes would stall.
				s.fail(fmt.Errorf("raftlog: the database in %s: %w", dir, err))
			},
			// Who reads is given the error, too. Without this Pebble calls Fatalf, with a page of stack.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.fail(fmt.Errorf("raftlog: %s is damaged: %w. This node must not vote with what is left in %s: start it with an empty directory, as a new member",
					info.Path, inALine(info.Details), dir))
			},
		},
		// A controller is idle most of its life and its log is short: what is written is read back soon, from the memtable.
		MemTableSize:                4 << 20,
		MemTableStopWritesThreshold: 4,
		CacheSize:                   8 << 20,
		MaxOpenFiles:                100,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
	}
	opts.Experimental.ReadSamplingMultiplier = -1 // no compactions because of reads
	return opts
}

// open checks the end of the newest write-ahead log before Pebble reads it.
func (s *store) open(dir string, opts *pebble.Options) (*store, error) {
	if err := checkTail(opts.FS, dir); err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		if pebble.IsCorruptionError(err) {
			return nil, fmt.Errorf("raftlog: %s holds damaged data and is not used: %w. Nothing was changed. "+
				"This node must not vote with what is left of it: start it with an empty directory, as a new member", dir, inALine(err))
		}
		return nil, fmt.Errorf("raftlog: open the database in %s: %w", dir, err)
	}
	s.db = db
	if err := s.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// prepareFormat opens and closes a database that is new or of an older format. Pebble begins its write-ahead log before it
// raises the format, so the first log after that is in the old one, without the marks that say how far it was synced:
// damage in it would be taken for a torn tail.
func prepareFormat(fs vfs.FS, dir string, opts *pebble.Options) error {
	desc, err := pebble.Peek(dir, fs)
	if err != nil || desc.Exists && desc.FormatMajorVersion >= opts.FormatMajorVersion {
		return err
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return err
	}
	return db.Close()
}

// load finds the ends of the log and the current term.
func (s *store) load() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyEntry}, UpperBound: []byte{keyEntry + 1}})
	if err != nil {
		return fmt.Errorf("raftlog: read the log: %w", err)
	}
	if it.First() {
		s.first = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if it.Last() {
		s.last = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("raftlog: read the log: %w", err)
	}
	s.term, err = s.GetUint64([]byte("CurrentTerm"))
	if err != nil && err != errNotFound {
		return err
	}
	return nil
}

func (s *store) close() error {
	s.using.Lock()
	defer s.using.Unlock()
	s.closed = true
	return s.db.Close()
}

// use keeps the database open until done is called.
func (s *store) use() (done func(), err error) {
	s.using.RLock()
	if s.closed {
		s.using.RUnlock()
		return nil, ErrClosed
	}
	return s.using.RUnlock, nil
}

// commit writes b and waits for the disk. No write begins before the one before it is durable: that is what lets
// waltail.go tell damage from a torn write.
func (s *store) commit(b *pebble.Batch, what string) error {
	defer b.Close()
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.reason.Load() != nil {
		return errors.New("raftlog: an earlier write failed")
	}
	s.syncs.Add(1)
	if err := s.db.Apply(b, syncWrites); err != nil {
		return s.fail(fmt.Errorf("raftlog: %s: %w", what, err))
	}
	if s.reason.Load() != nil { // Pebble reports a failed write to its logger and then answers nil
		return fmt.Errorf("raftlog: %s: the database failed", what)
	}
	return nil
}

// waitsForDisk notes that raft's main goroutine waits for the disk until done is called.
func (s *store) waitsForDisk() (done func()) {
	s.since.Store(time.Now().UnixNano())
	if s.slow != nil {
		s.slow()
	}
	return func() {
		if s.slow != nil {
			s.slow()
		}
		s.since.Store(0)
	}
}

// waited is for how long it has been waiting.
func (s *store) waited() time.Duration {
	since := s.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// GetLog implements raft.LogStore.
func (s *store) GetLog(index uint64, l *raft.Log) error {
	err := s.entry(index, l)
	switch err {
	case nil, raft.ErrLogNotFound:
		return err
	case ErrClosed:
		return raft.ErrLogNotFound // what raft asks for after its end does not matter
	}
	return s.stop(err)
}

// entry reads one entry, or says raft.ErrLogNotFound.
func (s *store) entry(index uint64, l *raft.Log) error {
	done, err := s.use()
	if err != nil {
		return err
	}
	defer done()
	value, closer, err := s.db.Get(entryKey(index))
	if errors.Is(err, pebble.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return s.fail(fmt.Errorf("raftlog: read entry %d: %w", index, err))
	}
	defer closer.Close()
	if err := decodeEntry(index, value, l); err != nil {
		return s.fail(err)
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore: all entries become durable in one synced write.
func (s *store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	defer s.waitsForDisk()()
	s.mu.Lock()
	if want := logs[0].Index; s.last != 0 && want != s.last+1 {
		defer s.mu.Unlock()
		panic(fmt.Sprintf("raftlog: entry %d would follow entry %d", want, s.last))
	}
	s.mu.Unlock()

	size := 0
	for _, l := range logs {
		size += entryHeaderLen + len(l.Data) + len(l.Extensions) + 32
	}
	b := s.db.NewBatchWithSize(size)
	for _, l := range logs {
		setEntry(b, l)
	}
	if err := s.commit(b, fmt.Sprintf("store entries %d to %d", logs[0].Index, logs[len(logs)-1].Index)); err != nil {
		return s.stop(err)
	}
	s.entries.Add(int64(len(logs)))
	s.bytes.Add(int64(size))
	s.mu.Lock()
	if s.last == 0 {
		s.first = logs[0].Index
	}
	s.last = logs[len(logs)-1].Index
	s.mu.Unlock()
	return nil
}

// read appends to out the payloads of the entries with these ascending indexes, one after another, as long as out stays
// within maxBytes; the first one in any case. It returns how many it took.
func (s *store) read(out []byte, indexes []uint64, maxBytes int) (_ []byte, taken int, err error) {
	done, err := s.use()
	if err != nil {
		return out, 0, err
	}
	defer done()
	defer func() {
		if err != nil && err != raft.ErrLogNotFound {
			s.fail(err)
		}
	}()
	var it *pebble.Iterator
	if len(indexes) > 1 { // the tail of the log is mostly read one batch at a time, where an iterator costs more than it saves
		it, err = s.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(indexes[0]), UpperBound: entryKey(indexes[len(indexes)-1] + 1)})
		if err != nil {
			return out, 0, err
		}
		defer it.Close()
		it.First()
	}
	for _, index := range indexes {
		var value []byte
		if it == nil {
			v, closer, err := s.db.Get(entryKey(index))
			if errors.Is(err, pebble.ErrNotFound) {
				return out, taken, raft.ErrLogNotFound
			}
			if err != nil {
				return out, taken, fmt.Errorf("raftlog: read entry %d: %w", index, err)
			}
			defer closer.Close()
			value = v
		} else {
			for it.Valid() && binary.BigEndian.Uint64(it.Key()[1:]) < index {
				it.Next()
			}
			if !it.Valid() || binary.BigEndian.Uint64(it.Key()[1:]) != index {
				return out, taken, cmp.Or(it.Error(), raft.ErrLogNotFound)
			}
			if value, err = it.ValueAndErr(); err != nil {
				return out, taken, fmt.Errorf("raftlog: read entry %d: %w", index, err)
			}
		}
		data, err := entryData(index, value)
		if err != nil {
			return out, taken, err
		}
		if len(out) > 0 && len(out)+len(data) > maxBytes {
			return out, taken, nil
		}
		out = append(out, data...)
		taken++
	}
	return out, taken, nil
}

// bootstrap writes the first entry, a configuration, and the first term into an empty store: what raft's BootstrapCluster
// does, in one write. Between its two, a crash would leave a node that has a term and no quorum.
func (s *store) bootstrap(c raft.Configuration) error {
	b := s.db.NewBatch()
	must(b.Set(stableKey([]byte("CurrentTerm")), binary.BigEndian.AppendUint64(nil, 1), nil))
	setEntry(b, &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)})
	if err := s.commit(b, "begin the log"); err != nil {
		return err
	}
	s.mu.Lock()
	s.first, s.last, s.term = 1, 1, 1
	s.mu.Unlock()
	return nil
}

// scan calls f with every entry from one index to another, after checking it. There must be no hole.
func (s *store) scan(from, to uint64, f func(index, term uint64, kind raft.LogType, data []byte) error) error {
	if from > to || to == 0 {
		return nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(from), UpperBound: entryKey(to + 1)})
	if err != nil {
		return err
	}
	next := from
	for it.First(); it.Valid() && err == nil; it.Next() {
		index := binary.BigEndian.Uint64(it.Key()[1:])
		var value, data []byte
		value, err = it.ValueAndErr()
		if err == nil && index != next {
			err = fmt.Errorf("entry %d is missing: after it comes entry %d", next, index)
		}
		if err == nil {
			data, err = entryData(index, value)
		}
		if err == nil {
			err = f(index, entryTerm(value), entryType(value), data)
		}
		next++
	}
	if err == nil && it.Error() == nil && next != to+1 {
		err = fmt.Errorf("entry %d is missing, and so is all up to %d", next, to)
	}
	return errors.Join(err, it.Close())
}

// FirstIndex implements raft.LogStore.
func (s *store) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, nil
}

// LastIndex implements raft.LogStore.
func (s *store) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

// setKeepFrom protects entry index and all after it from being deleted as old; 0 protects everything.
func (s *store) setKeepFrom(index uint64) {
	s.mu.Lock()
	s.keepFrom = index
	s.mu.Unlock()
}

// DeleteRange implements raft.LogStore. raft calls it for two reasons: to cut off a tail that another leader has
// overruled, and, with the range beginning at the first entry, to compact the log below its newest snapshot. Compaction
// stops at the oldest snapshot that is kept and leaves the entry at its index: a follower may ask for its term.
func (s *store) DeleteRange(from, to uint64) error {
	s.mu.Lock()
	if s.last == 0 || from > s.last || to < s.first {
		s.mu.Unlock()
		return nil
	}
	old := from <= s.first
	if old {
		from = s.first
		if s.keepFrom == 0 || s.keepFrom <= from {
			s.mu.Unlock()
			return nil
		}
		to = min(to, s.keepFrom-1)
	}
	to = min(to, s.last)
	if !old && to != s.last {
		defer s.mu.Unlock()
		panic(fmt.Sprintf("raftlog: deleting entries %d to %d would leave a hole in %d to %d", from, to, s.first, s.last))
	}
	s.mu.Unlock()
	if old && s.onTrim != nil {
		s.onTrim()
	}

	b := s.db.NewBatch()
	must(b.DeleteRange(entryKey(from), entryKey(to+1), nil))
	if err := s.commit(b, fmt.Sprintf("delete entries %d to %d", from, to)); err != nil {
		return s.stop(err)
	}
	s.mu.Lock()
	switch {
	case old && to == s.last, !old && from == s.first:
		s.first, s.last = 0, 0
	case old:
		s.first = to + 1
	default:
		s.last = from - 1
	}
	s.mu.Unlock()
	return nil
}

// startAt stores key and value, and in the same write makes (index, term) the first entry of the log unless the log has
// exactly that entry: a no-op that stands for all that an installed snapshot contains. Entries after it stay; raft
// compares them with the leader's. Without it a follower that once led, with a tail nobody else has, would be asked for
// the entry before the leader's first and never find it. It runs on one of raft's goroutines.
func (s *store) startAt(index, term uint64, key, value []byte) error {
	b := s.db.NewBatch()
	must(b.Set(key, value, nil))
	var have raft.Log
	err := s.GetLog(index, &have)
	switch {
	case err != nil && err != raft.ErrLogNotFound:
		return errors.Join(err, b.Close())
	case err == nil && have.Term == term:
		return s.stop(s.commit(b, "store "+string(key[1:])))
	}
	must(b.DeleteRange(entryKey(0), entryKey(index), nil))
	setEntry(b, &raft.Log{Index: index, Term: term, Type: raft.LogNoop})
	if err := s.commit(b, fmt.Sprintf("begin the log at entry %d", index)); err != nil {
		return s.stop(err)
	}
	s.mu.Lock()
	s.first, s.last = index, max(s.last, index)
	s.mu.Unlock()
	return nil
}

// stop ends the goroutine if there is an error, with which the store has failed. The caller is one of raft's goroutines, which would answer a
// failed write with a new election on the same disk, or with a panic: it does not go on. raft's deferred calls still answer whoever
// waits, and a shutdown still ends. While Open runs, the error is returned to it instead.
func (s *store) stop(err error) error {
	if err != nil && s.opened.Load() {
		runtime.Goexit()
	}
	return err
}

// fail marks the store as failed and reports the first reason.
func (s *store) fail(err error) error {
	if s.reason.CompareAndSwap(nil, &err) && s.opened.Load() {
		s.onFail(err)
	}
	return err
}

// must is for errors that only a misused Pebble batch can give.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strconv"

	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"yakt/records"
)

// Pebble reads its newest write-ahead log up to the first chunk that is not intact and takes that for the end, unless a
// chunk in a later block says that the file had been synced further. In version 2.1.7 those marks count only a part of
// what was written (of a write that fills a block, nothing), and within a block they are not looked at: a flipped bit in
// the last 32 KiB, or in much more after large writes, would quietly cut off everything behind it, acknowledged or not.
//
// This package can tell more, because it begins no write before the one before it was synced (store.commit). So if
// anywhere behind the first bad chunk a later write begins intact, the bad chunk had been synced: it is damage. Only
// damage to the very last write looks like one that a crash interrupted.
//
// A log is blocks of 32 KiB. A chunk does not cross them:
//
//	0       4      6    7         11              19
//	├ CRC   ┼ len  ┼kind┼ log no. ┼ synced up to  ┼ data…      kinds 9 to 12: whole, first, middle, last
//	├ CRC   ┼ len  ┼kind┼ log no. ┼ data…                      kinds 5 to 8, the same without the mark
//
// little-endian; the CRC covers everything from the kind on. A log that was closed ends with a chunk of the next log's number.
const (
	walBlock      = 32 << 10
	walHeader     = 11
	walSyncHeader = 19
)

var walName = regexp.MustCompile(`^(\d{6,})\.log$`)

// checkTail refuses a database whose newest write-ahead log is damaged before its last write.
func checkTail(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("raftlog: list %s: %w", dir, err)
	}
	newest, name := uint64(0), ""
	for _, n := range names {
		if m := walName.FindStringSubmatch(n); m != nil {
			if number, err := strconv.ParseUint(m[1], 10, 64); err == nil && number >= newest {
				newest, name = number, n
			}
		}
	}
	if name == "" {
		return nil
	}
	path := fs.PathJoin(dir, name)
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("raftlog: read %s: %w", path, err)
	}
	where := ""
	end, clean := walEnd(data, uint32(newest), func(write []byte) {
		if _, last, ok := offsetsIn(write); ok {
			where = fmt.Sprintf(", after offset %d", last)
		}
	})
	if clean {
		return nil
	}
	later := laterWrite(data, end, uint32(newest))
	if later < 0 {
		return nil
	}
	if where == "" {
		_, next, _ := walChunk(data, later, uint32(newest))
		if first, _, ok := offsetsIn(data[later+walHeaderLen(data[later+6]) : next]); ok {
			where = fmt.Sprintf(", before offset %d", first)
		}
	}
	return fmt.Errorf("raftlog: %s is damaged at byte %d%s: it was synced, because a later write is intact at byte %d. Nothing "+
		"was changed. This node must not vote with what is left of its log: start it with an empty directory, as a new member",
		path, end, where, later)
}

// walEnd returns where the first chunk is that is not intact, and whether the log is whole up to there. It hands every
// whole write before that to f, which must not keep it.
func walEnd(data []byte, number uint32, f func(write []byte)) (end int, clean bool) {
	var write []byte
	pos := 0
	for pos < len(data) {
		room := walBlock - pos%walBlock
		if room < walHeader || room < walSyncHeader && zero(data[pos:min(pos+room, len(data))]) {
			pos += room
			continue
		}
		if len(data)-pos >= walHeader && binary.LittleEndian.Uint32(data[pos+7:]) == number+1 {
			return pos, true // closed
		}
		first, next, ok := walChunk(data, pos, number)
		if !ok {
			return pos, false
		}
		if first {
			write = write[:0]
		}
		write = append(write, data[pos+walHeaderLen(data[pos+6]):next]...)
		if kind := data[pos+6]; kind%4 <= 1 { // whole or last
			f(write)
		}
		pos = next
	}
	return pos, true
}

func walHeaderLen(kind byte) int {
	if kind >= 9 {
		return walSyncHeader
	}
	return walHeader
}

// offsetsIn returns the first and last offset of the metadata log that a write holds, if it is a whole one.
func offsetsIn(write []byte) (first, last int64, ok bool) {
	if len(write) < batchrepr.HeaderLen {
		return 0, 0, false
	}
	for r := batchrepr.Read(write); ; {
		_, key, value, more, err := r.Next()
		if err != nil || !more {
			return first, last, ok
		}
		if len(key) != 9 || key[0] != keyEntry {
			continue
		}
		data, err := entryData(binary.BigEndian.Uint64(key[1:]), value)
		if err != nil || entryType(value) != raft.LogCommand {
			continue
		}
		if b, _, err := records.ParseBatch(data); err == nil {
			if !ok {
				first = b.BaseOffset()
			}
			last, ok = b.LastOffset(), true
		}
	}
}

// walChunk reads the chunk at pos.
func walChunk(data []byte, pos int, number uint32) (first bool, next int, ok bool) {
	blockEnd := min(len(data), pos-pos%walBlock+walBlock)
	if blockEnd-pos < walHeader {
		return false, 0, false
	}
	kind := data[pos+6]
	if kind < 5 || kind > 12 {
		return false, 0, false
	}
	header := walHeaderLen(kind)
	next = pos + header + int(binary.LittleEndian.Uint16(data[pos+4:]))
	if next > blockEnd || binary.LittleEndian.Uint32(data[pos+7:]) != number {
		return false, 0, false
	}
	sum := crc32.Checksum(data[pos+6:next], castagnoli)
	sum = (sum>>15 | sum<<17) + 0xa282ead8
	first = kind == 5 || kind == 6 || kind == 9 || kind == 10
	return first, next, sum == binary.LittleEndian.Uint32(data[pos:])
}

// laterWrite returns where behind pos the first chunk of another write is intact, or -1.
func laterWrite(data []byte, pos int, number uint32) int {
	for p := pos + 1; p+walHeader <= len(data); p++ {
		if first, _, ok := walChunk(data, p, number); ok && first {
			return p
		}
	}
	return -1
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

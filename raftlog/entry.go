package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// One raft entry as the value that store.go draws.
const (
	entryVersion   = 1
	entryHeaderLen = 26
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func entryKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyEntry}, index)
}

// setEntry adds l to b, encoded in place.
func setEntry(b *pebble.Batch, l *raft.Log) {
	op := b.SetDeferred(9, entryHeaderLen+len(l.Data)+len(l.Extensions))
	op.Key[0] = keyEntry
	binary.BigEndian.PutUint64(op.Key[1:], l.Index)
	v := op.Value
	v[4], v[5] = entryVersion, byte(l.Type)
	binary.BigEndian.PutUint32(v[6:], uint32(len(l.Extensions)))
	binary.BigEndian.PutUint64(v[10:], l.Term)
	at := int64(0)
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	binary.BigEndian.PutUint64(v[18:], uint64(at))
	copy(v[entryHeaderLen:], l.Data)
	copy(v[entryHeaderLen+len(l.Data):], l.Extensions)
	binary.BigEndian.PutUint32(v, entryChecksum(op.Key[1:], v))
	if err := op.Finish(); err != nil {
		panic(err) // only for a batch that is already committed
	}
}

func entryChecksum(index, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(index, castagnoli), castagnoli, value[4:])
}

// entryData checks the value of entry index and returns its payload, a part of value.
func entryData(index uint64, value []byte) ([]byte, error) {
	if len(value) < entryHeaderLen {
		return nil, fmt.Errorf("raftlog: entry %d is damaged: %d bytes are left of it", index, len(value))
	}
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], index)
	if have, want := entryChecksum(key[:], value), binary.BigEndian.Uint32(value); have != want {
		return nil, fmt.Errorf("raftlog: entry %d is damaged: its checksum is %08x and should be %08x", index, have, want)
	}
	if value[4] != entryVersion {
		return nil, fmt.Errorf("raftlog: entry %d has format version %d; this program reads version %d", index, value[4], entryVersion)
	}
	ext := int(binary.BigEndian.Uint32(value[6:]))
	if ext > len(value)-entryHeaderLen {
		return nil, fmt.Errorf("raftlog: entry %d is damaged: extensions of %d bytes in a value of %d", index, ext, len(value))
	}
	return value[entryHeaderLen : len(value)-ext], nil
}

func entryTerm(value []byte) uint64 { return binary.BigEndian.Uint64(value[10:]) }

func entryType(value []byte) raft.LogType { return raft.LogType(value[5]) }

// decodeEntry copies the value of entry index into l.
func decodeEntry(index uint64, value []byte, l *raft.Log) error {
	data, err := entryData(index, value)
	if err != nil {
		return err
	}
	body := append([]byte(nil), value[entryHeaderLen:]...)
	*l = raft.Log{Index: index, Term: entryTerm(value), Type: entryType(value)}
	l.Data = body[:len(data):len(data)]
	if len(body) > len(data) {
		l.Extensions = body[len(data):]
	}
	if at := int64(binary.BigEndian.Uint64(value[18:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	return nil
}

package image

import (
	"encoding/binary"
	"slices"

	"yakt/records"
)

// Partitions hold pointers to lists that are the same for many of them: there are far fewer ways to place replicas
// than partitions. Lists are never written to after they are made. An empty list is a nil pointer.
type (
	idList struct {
		ids []int32
		// some has the bit of each id modulo 64. A scan for one broker looks at a list for each of a million partitions, and mostly
		// need not look at the ids as well, which lie elsewhere in memory.
		some uint64
		// usual is what the directories of these replicas were when the list was made: mostly they are the same
		// everywhere, and looking there first is faster than the table.
		usual *dirList
	}
	dirList struct{ ids []records.UUID }
)

// What an empty list is handed out as. Not nil: in a PartitionChange nil says "unchanged".
var (
	noIDs  = []int32{}
	noDirs = []records.UUID{}
)

func (l *idList) all() []int32 {
	if l == nil {
		return noIDs
	}
	return l.ids
}

// has says whether the id is in the list.
func (l *idList) has(id int32) bool {
	return l != nil && l.some&idBit(id) != 0 && slices.Contains(l.ids, id)
}

func idBit(id int32) uint64 { return 1 << (uint32(id) % 64) }

func (l *dirList) all() []records.UUID {
	if l == nil {
		return noDirs
	}
	return l.ids
}

// maxLists bounds the tables of lists that are found again. A full table is dropped and begun anew: lists in use live
// on, only sharing with them ends. It is far above what Kafka's placement makes of hundreds of brokers.
const maxLists = 1 << 16

// lists finds lists that partitions have. It is part of the image, because an edit may be short-lived; that it may
// hold lists that nobody has any more is the price.
type lists struct {
	ids  tree[string, *idList]
	dirs tree[string, *dirList]
}

// intern returns a list with these ids, if possible one that is there already; hints are looked at first.
func (l *lists) intern(o *owner, ids []int32, hints ...*idList) *idList {
	for _, h := range hints {
		if slices.Equal(ids, h.all()) {
			return h
		}
	}
	list, _ := l.find(o, ids)
	return list
}

// internReplicas is intern for replicas and directories at once.
func (l *lists) internReplicas(o *owner, ids []int32, dirs []records.UUID) (*idList, *dirList) {
	list, made := l.find(o, ids)
	switch {
	case made:
		list.usual = l.findDirs(o, dirs) // nobody else has seen the list yet
		return list, list.usual
	case list != nil && slices.Equal(dirs, list.usual.all()):
		return list, list.usual
	}
	return list, l.findDirs(o, dirs)
}

// find returns the list with these ids, and whether it had to be made.
func (l *lists) find(o *owner, ids []int32) (list *idList, made bool) {
	if len(ids) == 0 {
		return nil, false
	}
	var buf [64]byte
	key := buf[:0]
	for _, id := range ids {
		key = binary.BigEndian.AppendUint32(key, uint32(id))
	}
	if list, ok := l.ids.get(string(key)); ok {
		return list, false
	}
	if l.ids.len() >= maxLists {
		l.ids = tree[string, *idList]{}
	}
	list = &idList{ids: slices.Clone(ids)}
	for _, id := range ids {
		list.some |= idBit(id)
	}
	l.ids.set(o, string(key), list)
	return list, true
}

// findDirs returns the list with these directories.
func (l *lists) findDirs(o *owner, ids []records.UUID) *dirList {
	if len(ids) == 0 {
		return nil
	}
	var buf [128]byte
	key := buf[:0]
	for i := range ids {
		key = append(key, ids[i][:]...)
	}
	if list, ok := l.dirs.get(string(key)); ok {
		return list
	}
	if l.dirs.len() >= maxLists {
		l.dirs = tree[string, *dirList]{}
	}
	list := &dirList{ids: slices.Clone(ids)}
	l.dirs.set(o, string(key), list)
	return list
}

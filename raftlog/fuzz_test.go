package raftlog

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// FuzzEntry: no value panics, and what is accepted is what was written.
func FuzzEntry(f *testing.F) {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	f.Add(uint64(1), uint64(1), []byte("data"), []byte("who"), []byte{})
	f.Add(uint64(9), uint64(3), []byte{}, []byte{}, bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, index, term uint64, data, ext, raw []byte) {
		var got raft.Log
		_ = decodeEntry(index, raw, &got)
		b := db.NewBatch()
		defer b.Close()
		setEntry(b, &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: data, Extensions: ext})
		r := b.Reader()
		_, key, value, _, err := r.Next()
		if err != nil || !bytes.Equal(key, entryKey(index)) {
			t.Fatal(err, key)
		}
		if err := decodeEntry(index, value, &got); err != nil {
			t.Fatal(err)
		}
		if got.Index != index || got.Term != term || !bytes.Equal(got.Data, data) || !bytes.Equal(got.Extensions, ext) {
			t.Fatalf("%+v", got)
		}
		if err := decodeEntry(index+1, value, &got); err == nil {
			t.Fatal("accepted under another index")
		}
	})
}

// FuzzWriteAheadLog: no log panics.
func FuzzWriteAheadLog(f *testing.F) {
	f.Add([]byte{}, uint32(1))
	f.Add(bytes.Repeat([]byte{0}, walBlock+100), uint32(1))
	f.Add([]byte("\x00\x00\x00\x00\x05\x00\x09\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00hello"), uint32(6))
	f.Fuzz(func(t *testing.T, data []byte, number uint32) {
		end, clean := walEnd(data, number, func(write []byte) { offsetsIn(write) })
		if end < 0 {
			t.Fatal(end)
		}
		if !clean {
			laterWrite(data, end, number)
		}
	})
}

// FuzzHandshake: no greeting panics, and what is accepted is what was said.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte("YAKtraft\x01\x01c\x032:b\x031:a"))
	f.Add([]byte("YAKtraft\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cluster, from, third, err := readHello(bytes.NewReader(data))
		if err != nil {
			return
		}
		if again := appendHello(nil, cluster, from, third); !bytes.HasPrefix(data, again) {
			t.Fatalf("%q from %q", again, data)
		}
	})
}

// FuzzJoinMessages: nothing that a joiner or who it asks may send panics, and what is accepted is what is written.
func FuzzJoinMessages(f *testing.F) {
	f.Add(joinRequest{what: joinLetIn, address: "node2:9093"}.append(nil))
	f.Add(joinRequest{joinBegin, "node2:9093", []string{"1@node1:9093", "2@node2:9093"}}.append(nil))
	f.Add(joinAnswer{outcome: joinElsewhere, why: "why", leader: "1:a", address: "node1:9093"}.append(nil))
	f.Add(joinAnswer{outcome: joinWaits, cluster: "c"}.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := readJoinRequest(bytes.NewReader(data)); err == nil && !bytes.HasPrefix(data, r.append(nil)) {
			t.Fatalf("%+v from %q", r, data)
		}
		if a, err := readJoinAnswer(bytes.NewReader(data)); err == nil && !bytes.HasPrefix(data, a.append(nil)) {
			t.Fatalf("%+v from %q", a, data)
		}
	})
}

// FuzzMetaProperties: no file panics, and what is accepted survives a round.
func FuzzMetaProperties(f *testing.F) {
	f.Add("#\nversion=1\ncluster.id=c\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAEA\n")
	f.Add("#\nversion=1\ncluster.id=c\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAEA\nyakt.joined=true\n")
	f.Add("#\nversion=1\ncluster.id=c\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAEA\nyakt.listed=1,2,3\n")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseIdentity("meta.properties", text)
		if err != nil {
			return
		}
		if again, err := parseIdentity("meta.properties", id.file()); err != nil || again != id {
			t.Fatal(again, err)
		}
	})
}

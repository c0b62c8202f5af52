package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// APIVersions is the range of versions of one API that is served.
type APIVersions struct{ Key, Min, Max int16 }

const (
	keyAPIVersions        = int16(kmsg.ApiVersions)
	errUnsupportedVersion = 35 // UNSUPPORTED_VERSION
)

// versions finds an API by its key, which Kafka numbers densely from 0.
type versions []*served

// served is one API.
type served struct {
	APIVersions
	shapes []*shape // of its requests, from version Min on
}

func (s *served) shape(version int16) *shape { return s.shapes[version-s.Min] }

func newVersions(list []APIVersions) versions {
	var all versions
	for _, v := range list {
		req := kmsg.RequestForKey(v.Key)
		switch {
		case v.Key < 0 || req == nil:
			panic(fmt.Sprintf("wire: no API has key %d", v.Key))
		case v.Min < 0 || v.Max < v.Min || v.Max > req.MaxVersion():
			panic(fmt.Sprintf("wire: %s %d to %d is not within 0 to %d", kmsg.NameForKey(v.Key), v.Min, v.Max, req.MaxVersion()))
		}
		for int(v.Key) >= len(all) {
			all = append(all, nil)
		}
		if all[v.Key] != nil {
			panic(fmt.Sprintf("wire: %s is listed twice", kmsg.NameForKey(v.Key)))
		}
		all[v.Key] = &served{APIVersions: v}
		for version := v.Min; version <= v.Max; version++ {
			req := kmsg.RequestForKey(v.Key)
			req.SetVersion(version)
			shape, err := shapeOf(req)
			if err != nil {
				panic(fmt.Sprintf("wire: %s version %d: %v", kmsg.NameForKey(v.Key), version, err))
			}
			all[v.Key].shapes = append(all[v.Key].shapes, shape)
		}
	}
	if all.find(keyAPIVersions) == nil {
		panic("wire: ApiVersions is not served, so nobody could ever connect")
	}
	return all
}

// find returns one API, nil if it is not served.
func (vs versions) find(key int16) *served {
	if key < 0 || int(key) >= len(vs) {
		return nil
	}
	return vs[key]
}

// unknownVersionAnswer is the body that every client can read (KIP-511): ApiVersions version 0, with an
// error and the versions of ApiVersions itself, from which the client chooses for its second attempt.
//
//	int16 error 35 | int32 1 | int16 18 | int16 min | int16 max
func (vs versions) unknownVersionAnswer(dst []byte) []byte {
	v := vs.find(keyAPIVersions)
	dst = binary.BigEndian.AppendUint16(dst, errUnsupportedVersion)
	dst = binary.BigEndian.AppendUint32(dst, 1)
	dst = binary.BigEndian.AppendUint16(dst, uint16(v.Key))
	dst = binary.BigEndian.AppendUint16(dst, uint16(v.Min))
	return binary.BigEndian.AppendUint16(dst, uint16(v.Max))
}

// clearNewerTags removes the tagged fields that a version of a response does not have yet. kmsg writes them
// in every flexible version, and Apache's brokers end their process over one.
func clearNewerTags(resp kmsg.Response, version int16) {
	switch r := resp.(type) {
	case *kmsg.FetchResponse:
		if version < 16 {
			r.Brokers = nil
		}
	case *kmsg.FetchSnapshotResponse:
		if version < 1 {
			r.NodeEndpoints = nil
		}
	}
}

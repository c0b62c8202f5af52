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

// versions finds a range by its key, which Kafka numbers densely from 0.
type versions []served

type served struct {
	APIVersions
	ok bool
}

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
			all = append(all, served{})
		}
		if all[v.Key].ok {
			panic(fmt.Sprintf("wire: %s is listed twice", kmsg.NameForKey(v.Key)))
		}
		all[v.Key] = served{v, true}
	}
	if _, ok := all.find(keyAPIVersions); !ok {
		panic("wire: ApiVersions is not served, so nobody could ever connect")
	}
	return all
}

// find returns the range of one API.
func (vs versions) find(key int16) (APIVersions, bool) {
	if key < 0 || int(key) >= len(vs) || !vs[key].ok {
		return APIVersions{}, false
	}
	return vs[key].APIVersions, true
}

// unknownVersionAnswer is the body that every client can read (KIP-511): ApiVersions version 0, with an
// error and the versions of ApiVersions itself, from which the client chooses for its second attempt.
//
//	int16 error 35 | int32 1 | int16 18 | int16 min | int16 max
func (vs versions) unknownVersionAnswer(dst []byte) []byte {
	v, _ := vs.find(keyAPIVersions)
	dst = binary.BigEndian.AppendUint16(dst, errUnsupportedVersion)
	dst = binary.BigEndian.AppendUint32(dst, 1)
	dst = binary.BigEndian.AppendUint16(dst, uint16(v.Key))
	dst = binary.BigEndian.AppendUint16(dst, uint16(v.Min))
	return binary.BigEndian.AppendUint16(dst, uint16(v.Max))
}

package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// ControlType is the type in a control record's key.
type ControlType int16

// The control record types of the metadata log.
const (
	ControlLeaderChange   ControlType = 2
	ControlSnapshotHeader ControlType = 3
	ControlSnapshotFooter ControlType = 4
	ControlKRaftVersion   ControlType = 5
	ControlKRaftVoters    ControlType = 6
)

// ControlRecord is one control record of the metadata log (KIP-595, KIP-630, KIP-853): a pointer to one of the types below.
type ControlRecord interface {
	ControlType() ControlType
}

// LeaderChange opens a leader's epoch. It is written at schema version 0 only: brokers cannot read another.
type LeaderChange struct {
	LeaderID       int32
	Voters         []int32
	GrantingVoters []int32

	version int16 // what the body says of itself: 0 in all that is written, yet Apache's reader takes others
}

// SnapshotHeader opens a checkpoint file.
type SnapshotHeader struct {
	LastContainedLogTimestamp int64 // ms since the epoch
}

// SnapshotFooter closes a checkpoint file.
type SnapshotFooter struct{}

// KRaftVersion is the finalized kraft.version.
type KRaftVersion struct {
	Version int16
}

// Voter is one member of the quorum as KRaftVoters names it.
type Voter struct {
	ID          int32
	DirectoryID UUID
	Endpoints   []VoterEndpoint
	MinKRaft    int16
	MaxKRaft    int16
}

// Endpoint is the voter's endpoint of this name, else its first; false when it has none.
func (v *Voter) Endpoint(name string) (VoterEndpoint, bool) {
	for _, e := range v.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	if len(v.Endpoints) == 0 {
		return VoterEndpoint{}, false
	}
	return v.Endpoints[0], true
}

// VoterEndpoint is one listener of a voter.
type VoterEndpoint struct {
	Name string
	Host string
	Port uint16
}

// KRaftVoters is the voter set.
type KRaftVoters struct {
	Voters []Voter
}

// Address is where a voter is reached, host:port; false when the set, which may be nil, does not say.
func (r *KRaftVoters) Address(id int32) (string, bool) {
	if r == nil {
		return "", false
	}
	for _, v := range r.Voters {
		if v.ID == id && len(v.Endpoints) > 0 {
			return net.JoinHostPort(v.Endpoints[0].Host, strconv.Itoa(int(v.Endpoints[0].Port))), true
		}
	}
	return "", false
}

// ControlType implements ControlRecord.
func (*LeaderChange) ControlType() ControlType { return ControlLeaderChange }

// ControlType implements ControlRecord.
func (*SnapshotHeader) ControlType() ControlType { return ControlSnapshotHeader }

// ControlType implements ControlRecord.
func (*SnapshotFooter) ControlType() ControlType { return ControlSnapshotFooter }

// ControlType implements ControlRecord.
func (*KRaftVersion) ControlType() ControlType { return ControlKRaftVersion }

// ControlType implements ControlRecord.
func (*KRaftVoters) ControlType() ControlType { return ControlKRaftVoters }

// String returns Apache's name of the type.
func (t ControlType) String() string {
	switch t {
	case 0:
		return "ABORT"
	case 1:
		return "COMMIT"
	case ControlLeaderChange:
		return "LEADER_CHANGE"
	case ControlSnapshotHeader:
		return "SNAPSHOT_HEADER"
	case ControlSnapshotFooter:
		return "SNAPSHOT_FOOTER"
	case ControlKRaftVersion:
		return "KRAFT_VERSION"
	case ControlKRaftVoters:
		return "KRAFT_VOTERS"
	}
	return "UNKNOWN"
}

// newControlRecord returns an empty record, nil for a type that has no place in the metadata log.
func newControlRecord(t ControlType) ControlRecord {
	switch t {
	case ControlLeaderChange:
		return new(LeaderChange)
	case ControlSnapshotHeader:
		return new(SnapshotHeader)
	case ControlSnapshotFooter:
		return new(SnapshotFooter)
	case ControlKRaftVersion:
		return new(KRaftVersion)
	case ControlKRaftVoters:
		return new(KRaftVoters)
	}
	return nil
}

// The bodies begin with their own version. Kafka 4.3.0 writes and reads all of them with schema
// version 0, LeaderChange too, which has a version 1 that would carry directory ids.

func (r *LeaderChange) fields(c *codec) {
	c.int16("version", &r.version)
	c.int32("leaderId", &r.LeaderID)
	c.voterIDs("voters", &r.Voters)
	c.voterIDs("grantingVoters", &r.GrantingVoters)
	if r.version > 1 {
		c.fail("version", "is %d, above the highest known, 1", r.version)
	}
}

func (r *SnapshotHeader) fields(c *codec) {
	c.bodyVersion()
	c.int64("lastContainedLogTimestamp", &r.LastContainedLogTimestamp)
}

func (r *SnapshotFooter) fields(c *codec) { c.bodyVersion() }

func (r *KRaftVersion) fields(c *codec) {
	c.bodyVersion()
	c.int16("kRaftVersion", &r.Version)
}

func (r *KRaftVoters) fields(c *codec) {
	c.bodyVersion()
	structs(c, "voters", &r.Voters)
}

func (v *Voter) fields(c *codec) {
	c.int32("voterId", &v.ID)
	c.uuid("voterDirectoryId", &v.DirectoryID)
	structs(c, "endpoints", &v.Endpoints)
	c.inner("kRaftVersionFeature", (*voterFeature)(v))
}

// voterFeature is the part of a Voter that is a struct of its own on disk.
type voterFeature Voter

func (v *voterFeature) fields(c *codec) {
	c.int16("minSupportedVersion", &v.MinKRaft)
	c.int16("maxSupportedVersion", &v.MaxKRaft)
}

func (e *VoterEndpoint) fields(c *codec) {
	c.string("name", &e.Name)
	c.string("host", &e.Host)
	c.uint16("port", &e.Port)
}

// voterRef is how LeaderChange names a voter on disk: a struct of one field.
type voterRef struct{ id int32 }

func (v *voterRef) fields(c *codec) { c.int32("voterId", &v.id) }

// voterIDs is a list of voterRefs that is kept as a list of ids.
func (c *codec) voterIDs(name string, p *[]int32) {
	if c.mode == writingTags || c.mode == readingTags {
		return
	}
	var refs []voterRef
	for _, id := range *p {
		refs = append(refs, voterRef{id})
	}
	structs(c, name, &refs)
	if c.mode == reading || c.mode == parsing {
		*p = nil
		for _, v := range refs {
			*p = append(*p, v.id)
		}
	}
}

// bodyVersion is the version at the beginning of a control record's body, of which only 0 exists.
func (c *codec) bodyVersion() {
	var v int16
	c.int16("version", &v)
	if v > 0 {
		c.fail("version", "is %d, above the highest known, 0", v)
	}
}

// controlKeySize is the size of a control record's key: int16 version 0, int16 type.
const controlKeySize = 4

// ParseControlKey reads a control record's key. As in Apache's reader a higher version of the key
// and bytes after it do not matter.
func ParseControlKey(key []byte) (ControlType, error) {
	if len(key) < controlKeySize {
		return 0, fmt.Errorf("records: a control record's key has %d bytes, not %d", len(key), controlKeySize)
	}
	if v := int16(binary.BigEndian.Uint16(key)); v < 0 {
		return 0, fmt.Errorf("records: a control record's key has version %d", v)
	}
	return ControlType(binary.BigEndian.Uint16(key[2:])), nil
}

// AppendControlKey appends the key of a control record.
func AppendControlKey(dst []byte, t ControlType) []byte {
	return binary.BigEndian.AppendUint16(append(dst, 0, 0), uint16(t))
}

// AppendControl appends the value of a control record; unlike a metadata record's it has no frame.
func AppendControl(dst []byte, r ControlRecord) ([]byte, error) {
	c := newCodec()
	defer c.free()
	c.buf = dst
	if err := c.appendControl(r); err != nil {
		return dst, err
	}
	return c.buf, nil
}

func (c *codec) appendControl(r ControlRecord) error {
	f, ok := r.(fielder)
	if !ok {
		return fmt.Errorf("records: %T is not a control record", r)
	}
	c.begin(0)
	if c.write(f); c.err != nil {
		return fmt.Errorf("records: %v: %w", r.ControlType(), c.err)
	}
	return nil
}

// ReadControl reads a control record from its key and value as Apache's raft reader does: types
// that do not belong into the metadata log are refused, bytes after the value do not matter.
func ReadControl(key, value []byte) (ControlRecord, error) {
	c := newCodec()
	defer c.free()
	return c.readControl(key, value)
}

func (c *codec) readControl(key, value []byte) (ControlRecord, error) {
	t, err := ParseControlKey(key)
	if err != nil {
		return nil, err
	}
	r := newControlRecord(t)
	if r == nil {
		return nil, fmt.Errorf("records: no control record of type %d (%v) belongs into the metadata log", int16(t), t)
	}
	c.begin(0)
	c.in = value
	if c.read(r.(fielder)); c.err != nil {
		return nil, fmt.Errorf("records: %v: %w", t, c.err)
	}
	return r, nil
}

// ReadControlStrict reads a control record and refuses whatever AppendControl would not have written.
func ReadControlStrict(key, value []byte) (ControlRecord, error) {
	r, err := ReadControl(key, value)
	if err != nil {
		return nil, err
	}
	if lc, ok := r.(*LeaderChange); ok && lc.version != 0 {
		return nil, fmt.Errorf("records: LEADER_CHANGE says it has version %d", lc.version)
	}
	again, err := AppendControl(nil, r)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, value) || !bytes.Equal(AppendControlKey(nil, r.ControlType()), key) {
		return nil, fmt.Errorf("records: %v: %w", r.ControlType(), errNotCanonical)
	}
	return r, nil
}

var errNotCanonical = errors.New("not the bytes Kafka's writer makes of it")

package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// MarshalJSON returns the record as Apache's JSON converter prints it for the version: members in
// the schema's order, tagged fields only when they differ from their default. Unknown tagged
// fields have no place in it. Whole numbers go beyond 2^53, so they must not be read as floats.
func MarshalJSON(r Record, version int16) ([]byte, error) {
	return AppendJSON(nil, r, version)
}

// AppendJSON appends what MarshalJSON returns.
func AppendJSON(dst []byte, r Record, version int16) ([]byte, error) {
	k := r.APIKey()
	f, ok := r.(fielder)
	if !ok || version > HighestVersion(k) {
		return dst, fmt.Errorf("records: %v has no version %d", k, version)
	}
	return appendJSON(dst, f, k, version)
}

// UnmarshalJSON reads what MarshalJSON returns. Members the version does not have are refused, and
// so is a missing one, unless it is a tagged field.
func UnmarshalJSON(k Key, version int16, data []byte) (Record, error) {
	r, ok := NewRecord(k)
	if !ok || version > HighestVersion(k) {
		return nil, fmt.Errorf("records: %v has no version %d", k, version)
	}
	if err := unmarshalJSON(r.(fielder), k, version, data); err != nil {
		return nil, err
	}
	return r, nil
}

// MarshalControlJSON returns a control record as Apache's JSON converter prints it.
func MarshalControlJSON(r ControlRecord) ([]byte, error) {
	return AppendControlJSON(nil, r)
}

// AppendControlJSON appends what MarshalControlJSON returns.
func AppendControlJSON(dst []byte, r ControlRecord) ([]byte, error) {
	f, ok := r.(fielder)
	if !ok {
		return dst, fmt.Errorf("records: %T is not a control record", r)
	}
	return appendJSON(dst, f, r.ControlType(), 0)
}

// UnmarshalControlJSON reads what MarshalControlJSON returns.
func UnmarshalControlJSON(t ControlType, data []byte) (ControlRecord, error) {
	r := newControlRecord(t)
	if r == nil {
		return nil, fmt.Errorf("records: no control record of type %v belongs into the metadata log", t)
	}
	if err := unmarshalJSON(r.(fielder), t, 0, data); err != nil {
		return nil, err
	}
	return r, nil
}

func appendJSON(dst []byte, f fielder, name fmt.Stringer, version int16) ([]byte, error) {
	c := newCodec()
	defer c.free()
	c.begin(version)
	c.buf = dst
	if c.print(f); c.err != nil {
		return dst, fmt.Errorf("records: %v version %d to JSON: %w", name, version, c.err)
	}
	return c.buf, nil
}

func unmarshalJSON(f fielder, name fmt.Stringer, version int16, data []byte) error {
	c := newCodec()
	defer c.free()
	data = bytes.TrimSpace(data)
	if !json.Valid(data) {
		return fmt.Errorf("records: %v version %d from JSON: %w", name, version, errors.New("not valid JSON"))
	}
	c.begin(version)
	c.value = data
	if c.parse(f); c.err != nil {
		return fmt.Errorf("records: %v version %d from JSON: %w", name, version, c.err)
	}
	return nil
}

package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"sync"
)

// A codec walks one struct's list of fields and does one thing with each of them. What it does is
// its mode, so that reading, writing, printing and parsing cannot drift apart: they are one list.
//
//	struct   = untagged fields in schema order, tagged section
//	section  = uvarint(count), then count × ( uvarint(tag) uvarint(size) value ), tags ascending
//
// Untagged fields and the tagged section are separate walks over the same list, since a tagged
// field may be declared in the middle of it. A tagged field equal to its default is not written.
// Tags may be declared in any order; the walk is repeated until none is left, which is once when
// they are declared ascending.
//
// The first error stays in err and turns all that follows into nothing. A codec serves one
// goroutine at a time.
type codec struct {
	mode    mode
	version int16 // of the message being coded; negative ones, which Apache's reader lets slip, count as 0
	err     error
	at      string // the field at hand, for errors

	buf []byte // writing and printing: what has been made so far

	in  []byte // reading: the whole input, never kept
	off int    // reading: the next byte of it

	object map[string]json.RawMessage // parsing: the members of the object at hand that nobody took yet
	value  json.RawMessage            // parsing: the value at hand

	tag       uint32 // writingTags: the tag whose turn it is; readingTags: the tag read
	size      uint32 // readingTags: its declared size
	left      int32  // readingTags: tagged fields still to be taken, the one read included
	waiting   uint32 // writing: set of tags that have a value other than the default
	declared  uint32 // writing: set of all tags the schema knows in any version
	unknown   *[]UnknownTag
	hasMember bool // printing: the object at hand has a member already
}

// mode says what a codec does with the fields it walks.
type mode uint8

const (
	writing     mode = iota // untagged fields to bytes
	reading                 // untagged fields from bytes; tagged ones get their default
	writingTags             // the tagged section to bytes
	readingTags             // the tagged section from bytes
	printing                // all fields to JSON
	parsing                 // all fields from JSON
)

// noTag is a tag number that no schema has.
const noTag = 1 << 31

// fielder is a struct that lists its fields.
type fielder interface {
	fields(c *codec)
}

// codecs keeps codecs for reuse: calling fields through an interface would otherwise put a new one on the heap each time.
var codecs = sync.Pool{New: func() any { return new(codec) }}

func newCodec() *codec { return codecs.Get().(*codec) }

// free gives the codec back; it must not keep anybody's bytes alive.
func (c *codec) free() {
	*c = codec{}
	codecs.Put(c)
}

// fail notes the first error, with the name of the field at hand.
func (c *codec) fail(format string, args ...any) {
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf(format, args...)
	if c.at != "" {
		c.err = fmt.Errorf("%s: %w", c.at, c.err)
	}
	if c.mode == reading || c.mode == readingTags {
		c.err = fmt.Errorf("byte %d: %w", c.off, c.err)
	}
}

// absent refuses a value that the version has no field for, as Apache's writer does.
func (c *codec) absent(name string, since int16) {
	c.at = name
	c.fail("has a value, but version %d has no such field (it came with version %d)", c.version, since)
}

// field begins an untagged field and reports whether its value is to be coded now.
func (c *codec) field(name string) bool {
	c.at = name
	switch c.mode {
	case writing, reading:
		return c.err == nil
	case printing:
		c.key(name)
		return true
	case parsing:
		var ok bool
		if c.value, ok = c.object[name]; !ok {
			c.fail("is missing")
		}
		delete(c.object, name)
		return c.err == nil
	}
	return false
}

// fieldSince is field for an untagged field that came with a later version; set says that it holds something.
func (c *codec) fieldSince(since int16, name string, set bool) bool {
	if c.version >= since {
		return c.field(name)
	}
	if set && (c.mode == writing || c.mode == printing) {
		c.absent(name, since)
	}
	return false
}

// tagged begins a tagged field and reports whether its value is to be coded now; set says that it
// differs from its default. tagSize and tagEnd go around the value.
func (c *codec) tagged(tag uint32, since int16, name string, set bool) bool {
	switch c.mode {
	case writing:
		c.declared |= 1 << tag
		if set {
			if c.version < since {
				c.absent(name, since)
			}
			c.waiting |= 1 << tag
		}
		return false
	case writingTags:
		return tag == c.tag
	case readingTags:
		if tag != c.tag || c.err != nil {
			return false
		}
		c.at = name
		if c.version < since {
			c.fail("tag %d is not valid in version %d", tag, c.version)
			return false
		}
		return true
	case printing:
		if !set {
			return false
		}
		if c.version < since {
			c.absent(name, since)
			return false
		}
		c.key(name)
		return true
	case parsing:
		if c.version < since {
			return false // a member of this name is left over, and that is an error
		}
		v, ok := c.object[name]
		if !ok {
			return false
		}
		delete(c.object, name)
		c.at, c.value = name, v
		return c.err == nil
	}
	return false
}

// tagSize writes the head of a tagged field whose value takes n bytes.
func (c *codec) tagSize(n int) {
	if c.mode == writingTags {
		c.buf = appendUvarint(c.buf, c.tag)
		c.buf = appendUvarint(c.buf, uint32(n))
	}
}

// tagEnd ends a tagged field and makes the next one the current.
func (c *codec) tagEnd() {
	switch c.mode {
	case writingTags:
		c.waiting &^= 1 << c.tag
		c.nextWaiting()
	case readingTags:
		c.nextTag()
	}
}

// write appends the struct: its untagged fields, then its tagged section.
func (c *codec) write(r fielder) {
	mode, waiting, declared, unknown := c.mode, c.waiting, c.declared, c.unknown
	c.mode, c.waiting, c.declared, c.unknown = writing, 0, 0, nil
	r.fields(c)
	if c.waiting == 0 && (c.unknown == nil || len(*c.unknown) == 0) {
		c.buf = append(c.buf, 0)
	} else {
		c.writeTags(r)
	}
	c.mode, c.waiting, c.declared, c.unknown = mode, waiting, declared, unknown
}

func (c *codec) writeTags(r fielder) {
	var unknown []UnknownTag
	if c.unknown != nil {
		unknown = *c.unknown
	}
	c.buf = appendUvarint(c.buf, uint32(bits.OnesCount32(c.waiting)+len(unknown)))
	last := -1
	for _, u := range unknown {
		if u.Tag >= noTag || int(u.Tag) <= last {
			c.at = ""
			c.fail("unknown tag %d does not come after tag %d", u.Tag, last)
			return
		}
		if u.Tag < 32 && c.declared&(1<<u.Tag) != 0 {
			c.at = ""
			c.fail("tag %d is a known one", u.Tag)
			return
		}
		// What is known and has a smaller number goes first.
		var after uint32
		if u.Tag < 32 {
			after = c.waiting &^ (1<<u.Tag - 1)
		}
		c.waiting &^= after
		c.writeKnownTags(r)
		c.waiting = after
		c.buf = appendUvarint(c.buf, u.Tag)
		c.buf = appendUvarint(c.buf, uint32(len(u.Data)))
		c.buf = append(c.buf, u.Data...)
		last = int(u.Tag)
	}
	c.writeKnownTags(r)
}

// writeKnownTags writes the waiting tagged fields in ascending order.
func (c *codec) writeKnownTags(r fielder) {
	c.mode = writingTags
	c.nextWaiting()
	for c.waiting != 0 && c.err == nil {
		r.fields(c)
	}
}

func (c *codec) nextWaiting() {
	c.tag = noTag
	if c.waiting != 0 {
		c.tag = uint32(bits.TrailingZeros32(c.waiting))
	}
}

// read fills the struct, which must be a fresh one.
func (c *codec) read(r fielder) {
	mode, unknown := c.mode, c.unknown
	c.mode, c.unknown = reading, nil
	r.fields(c)
	c.at = "tagged fields"
	// Apache's reader takes a count that does not fit into 31 bits for none at all.
	if count := int32(c.uvarint()); count > 0 && c.err == nil {
		c.readTags(r, count)
	}
	c.mode, c.unknown = mode, unknown
}

func (c *codec) readTags(r fielder, count int32) {
	c.mode = readingTags
	c.left = count + 1
	c.nextTag()
	for c.left > 0 && c.err == nil {
		left := c.left
		r.fields(c)
		if c.left == left && c.err == nil { // the whole list was walked and no field has this tag
			c.at = "unknown tagged field"
			data := c.take(int(c.size))
			if c.err != nil {
				return
			}
			if c.unknown != nil {
				*c.unknown = append(*c.unknown, UnknownTag{Tag: c.tag, Data: append([]byte{}, data...)})
			}
			c.nextTag()
		}
	}
}

// nextTag reads the head of the next tagged field, or none when all have been taken.
func (c *codec) nextTag() {
	c.left--
	c.tag = noTag
	if c.left > 0 {
		c.tag = c.uvarint()
		c.size = c.uvarint() // believed for unknown fields only, as Apache's reader does
	}
}

// unknownTags ends a list of fields: here go the tagged fields that the schema does not name.
func (c *codec) unknownTags(p *[]UnknownTag) { c.unknown = p }

// print appends the struct as a JSON object.
func (c *codec) print(r fielder) {
	mode, has := c.mode, c.hasMember
	c.mode, c.hasMember = printing, false
	c.buf = append(c.buf, '{')
	r.fields(c)
	c.buf = append(c.buf, '}')
	c.mode, c.hasMember = mode, has
}

// key begins a member of the object being printed.
func (c *codec) key(name string) {
	if c.hasMember {
		c.buf = append(c.buf, ',')
	}
	c.hasMember = true
	c.buf = append(c.buf, '"')
	c.buf = append(c.buf, name...)
	c.buf = append(c.buf, '"', ':')
}

// parse fills the struct, which must be a fresh one, from the JSON object at hand.
func (c *codec) parse(r fielder) {
	object := c.object
	c.mode, c.object = parsing, nil
	if err := json.Unmarshal(c.value, &c.object); err != nil || c.object == nil {
		if err == nil {
			err = errors.New("is null")
		}
		c.fail("not a JSON object: %w", err)
		return
	}
	r.fields(c)
	for name := range c.object {
		c.at = ""
		c.fail("version %d has no field %q", c.version, name)
		break
	}
	c.object = object
}

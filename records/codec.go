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
// The first error stays in err and turns all that is read after it into nothing. A codec serves
// one goroutine at a time.
type codec struct {
	mode    mode
	version int16 // of the message being coded; negative ones, which Apache's reader lets slip, count as 0
	err     error

	buf []byte // writing and printing: what has been made so far

	in  []byte // reading: the whole input, never kept
	off int    // reading: the next byte of it

	object    map[string]json.RawMessage // parsing: the members of the object at hand that nobody took yet
	value     json.RawMessage            // parsing: the value at hand
	hasMember bool                       // printing: the object at hand has a member already

	waiting uint32 // writing: set of tags that have a value other than the default
	tag     uint32 // writingTags: the tag whose turn it is; readingTags: the tag read
	size    uint32 // readingTags: its declared size
	left    int32  // readingTags: tagged fields still to be taken, the one read included
	unknown *[]UnknownTag
}

// mode says what a codec does with the fields it walks.
type mode uint8

const (
	writing     mode = iota // untagged fields to bytes
	reading                 // untagged fields from bytes; tagged ones get their default
	writingTags             // the tagged section to bytes
	readingTags             // the tagged section from bytes
	listingTags             // which tags the schema knows
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
	c.buf, c.in, c.object, c.value, c.unknown, c.err = nil, nil, nil, nil, nil, nil
	codecs.Put(c)
}

// begin makes the codec ready for one message.
func (c *codec) begin(version int16) {
	c.version, c.err, c.off = version, nil, 0
}

// fail notes the first error. Nothing can be read after it.
func (c *codec) fail(name, format string, args ...any) {
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf("%s "+format, append([]any{name}, args...)...)
	if c.mode == reading || c.mode == readingTags {
		c.err = fmt.Errorf("byte %d: %w", c.off, c.err)
		c.off = len(c.in)
	}
}

// absent refuses a value that the version has no field for, as Apache's writer does.
func (c *codec) absent(name string, since int16) {
	c.fail(name, "has a value, but version %d has no such field: it came with version %d", c.version, since)
}

// text begins a field in the modes that deal with JSON, and reports whether the value is to be coded.
func (c *codec) text(name string) bool {
	switch c.mode {
	case printing:
		if c.hasMember {
			c.buf = append(c.buf, ',')
		}
		c.hasMember = true
		c.buf = append(c.buf, '"')
		c.buf = append(c.buf, name...)
		c.buf = append(c.buf, '"', ':')
		return true
	case parsing:
		v, ok := c.object[name]
		if !ok {
			c.fail(name, "is missing")
		}
		delete(c.object, name)
		c.value = v
		return ok && c.err == nil
	}
	return false
}

// since reports whether the version has a field that came later; set says that it holds something,
// which then is an error for what writes.
func (c *codec) since(version int16, name string, set bool) bool {
	if c.version >= version {
		return true
	}
	if set && (c.mode == writing || c.mode == printing) {
		c.absent(name, version)
	}
	return false
}

// passes reports in the hot modes, and cheaply, that a tagged field has nothing to do now.
func (c *codec) passes(tag uint32, set bool) bool {
	return c.mode == writing && !set || c.mode == writingTags && tag != c.tag
}

// tagged deals with what makes a field a tagged one. When it returns true the field is coded as if
// it were untagged, and tagEnd follows. set says that the value differs from its default, size is
// the number of bytes the value takes.
func (c *codec) tagged(tag uint32, since int16, name string, set bool, size int) bool {
	switch c.mode {
	case writing:
		if set && c.since(since, name, true) {
			c.waiting |= 1 << tag
		}
	case writingTags:
		if tag == c.tag {
			c.buf = appendUvarint(c.buf, tag)
			c.buf = appendUvarint(c.buf, uint32(size))
			c.mode = writing
			return true
		}
	case readingTags:
		if tag == c.tag {
			if c.version < since {
				c.fail(name, "has tag %d, which is not valid in version %d", tag, c.version)
				return false
			}
			c.mode = reading
			return true
		}
	case listingTags:
		c.waiting |= 1 << tag
	case printing:
		return set && c.since(since, name, true)
	case parsing:
		_, ok := c.object[name]
		return ok && c.version >= since // else a member is left over, and that is an error
	}
	return false
}

// tagEnd ends a tagged field and makes the next one the current.
func (c *codec) tagEnd() {
	switch c.mode {
	case writing:
		c.mode = writingTags
		c.waiting &^= 1 << c.tag
		c.nextWaiting()
	case reading:
		c.mode = readingTags
		c.nextTag()
	}
}

// unknownTags ends a list of fields: here go the tagged fields that the schema does not name.
func (c *codec) unknownTags(p *[]UnknownTag) { c.unknown = p }

// write appends the struct: its untagged fields, then its tagged section.
func (c *codec) write(r fielder) {
	waiting, unknown := c.waiting, c.unknown
	c.mode, c.waiting, c.unknown = writing, 0, nil
	r.fields(c)
	if c.waiting == 0 && (c.unknown == nil || len(*c.unknown) == 0) {
		c.buf = append(c.buf, 0)
	} else {
		c.writeTags(r)
	}
	c.mode, c.waiting, c.unknown = writing, waiting, unknown
}

// writeTags writes the tagged section, known and unknown fields merged in ascending order.
func (c *codec) writeTags(r fielder) {
	var unknown []UnknownTag
	if c.unknown != nil {
		unknown = *c.unknown
	}
	c.buf = appendUvarint(c.buf, uint32(bits.OnesCount32(c.waiting)+len(unknown)))
	if len(unknown) > 0 {
		c.checkUnknown(r, unknown)
	}
	for _, u := range unknown {
		var after uint32 // what is waiting and has a larger number
		if u.Tag < 32 {
			after = c.waiting &^ (1<<u.Tag - 1)
		}
		c.waiting &^= after
		c.writeWaiting(r)
		c.waiting = after
		c.buf = appendUvarint(c.buf, u.Tag)
		c.buf = appendUvarint(c.buf, uint32(len(u.Data)))
		c.buf = append(c.buf, u.Data...)
	}
	c.writeWaiting(r)
}

// checkUnknown refuses unknown tags that could not be read back as such.
func (c *codec) checkUnknown(r fielder, unknown []UnknownTag) {
	waiting := c.waiting
	c.mode, c.waiting = listingTags, 0
	r.fields(c)
	known := c.waiting
	c.waiting = waiting
	last := -1
	for _, u := range unknown {
		switch {
		case u.Tag >= noTag || int(u.Tag) <= last:
			c.fail("unknown tag", "%d comes after tag %d", int32(u.Tag), last)
		case u.Tag < 32 && known&(1<<u.Tag) != 0:
			c.fail("unknown tag", "%d is a known one", u.Tag)
		}
		last = int(u.Tag)
	}
}

// writeWaiting writes the waiting tagged fields in ascending order.
func (c *codec) writeWaiting(r fielder) {
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
	unknown := c.unknown
	c.mode, c.unknown = reading, nil
	r.fields(c)
	// Apache's reader takes a count that does not fit into 31 bits for none at all.
	if count := int32(c.uvarint("count of tagged fields")); count > 0 {
		c.readTags(r, count)
	}
	c.mode, c.unknown = reading, unknown
}

func (c *codec) readTags(r fielder, count int32) {
	c.mode = readingTags
	c.left = count
	c.readTag()
	for c.left > 0 && c.err == nil {
		left := c.left
		r.fields(c)
		if c.left == left && c.err == nil { // the whole list was walked and no field has this tag
			data := c.take("unknown tagged field", int(c.size))
			if c.err == nil && c.unknown != nil {
				if *c.unknown == nil {
					const least = 2 // what a tagged field takes
					*c.unknown = make([]UnknownTag, 0, min(int(c.left), (len(c.in)-c.off)/least+1))
				}
				*c.unknown = append(*c.unknown, UnknownTag{Tag: c.tag, Data: append([]byte{}, data...)})
			}
			c.nextTag()
		}
	}
}

// nextTag goes on to the next tagged field, or to none when all have been taken.
func (c *codec) nextTag() {
	c.left--
	c.tag = noTag
	if c.left > 0 {
		c.readTag()
	}
}

// readTag reads the head of a tagged field. Its size is believed for unknown fields only, as Apache's reader does.
func (c *codec) readTag() {
	c.tag = c.uvarint("tag")
	c.size = c.uvarint("size of a tagged field")
}

// print appends the struct as a JSON object.
func (c *codec) print(r fielder) {
	has := c.hasMember
	c.mode, c.hasMember = printing, false
	c.buf = append(c.buf, '{')
	r.fields(c)
	c.buf = append(c.buf, '}')
	c.hasMember = has
}

// parse fills the struct, which must be a fresh one, from the JSON object at hand.
func (c *codec) parse(r fielder) {
	outer := c.object
	c.mode, c.object = parsing, nil
	err := json.Unmarshal(c.value, &c.object)
	if err == nil && c.object == nil {
		err = errors.New("it is null")
	}
	if err != nil {
		c.fail("value", "is not a JSON object: %w", err)
		return
	}
	r.fields(c)
	for name := range c.object {
		c.fail(name, "is no field of version %d", c.version)
		break
	}
	c.object = outer
}

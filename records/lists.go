package records

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// The kinds of fields that hold several values, or a struct; see values.go for the others.

func (c *codec) int32s(name string, p *[]int32) { c.int32List(name, p, false) }

// tagInt32sOrNull is a tagged list whose default is null.
func (c *codec) tagInt32sOrNull(tag uint32, since int16, name string, p *[]int32) {
	if c.passes(tag, *p != nil) {
		return
	}
	if c.tagged(tag, since, name, *p != nil, uvarintSize(uint32(len(*p))+1)+4*len(*p)) {
		c.int32List(name, p, true)
		c.tagEnd()
	}
}

func (c *codec) int32List(name string, p *[]int32, nullable bool) {
	switch c.mode {
	case writing:
		buf := appendUvarint(c.buf, uint32(len(*p))+1)
		for _, v := range *p {
			buf = binary.BigEndian.AppendUint32(buf, uint32(v))
		}
		c.buf = buf
	case reading:
		n := c.length(name, nullable)
		*p = emptyOrNil[int32](n, nullable)
		if n <= 0 {
			return
		}
		b := c.take(name, 4*n)
		if b == nil {
			return
		}
		s := make([]int32, n)
		for i := range s {
			s[i] = int32(binary.BigEndian.Uint32(b[4*i:]))
		}
		*p = s
	case printing, parsing:
		if c.text(name) {
			listText(c, name, p, nullable, (*codec).int32Text)
		}
	}
}

func (c *codec) uuidsSince(version int16, name string, p *[]UUID) {
	if c.since(version, name, len(*p) > 0) {
		c.uuidList(name, p, false)
	}
}

// tagUUIDs is a tagged list whose default is empty.
func (c *codec) tagUUIDs(tag uint32, since int16, name string, p *[]UUID) {
	if c.passes(tag, len(*p) > 0) {
		return
	}
	if c.tagged(tag, since, name, len(*p) > 0, uvarintSize(uint32(len(*p))+1)+16*len(*p)) {
		c.uuidList(name, p, false)
		c.tagEnd()
	}
}

// tagUUIDsOrNull is a tagged list whose default is null.
func (c *codec) tagUUIDsOrNull(tag uint32, since int16, name string, p *[]UUID) {
	if c.passes(tag, *p != nil) {
		return
	}
	if c.tagged(tag, since, name, *p != nil, uvarintSize(uint32(len(*p))+1)+16*len(*p)) {
		c.uuidList(name, p, true)
		c.tagEnd()
	}
}

func (c *codec) uuidList(name string, p *[]UUID, nullable bool) {
	switch c.mode {
	case writing:
		buf := appendUvarint(c.buf, uint32(len(*p))+1)
		for i := range *p {
			buf = append(buf, (*p)[i][:]...)
		}
		c.buf = buf
	case reading:
		n := c.length(name, nullable)
		*p = emptyOrNil[UUID](n, nullable)
		if n <= 0 {
			return
		}
		b := c.take(name, 16*n)
		if b == nil {
			return
		}
		s := make([]UUID, n)
		for i := range s {
			copy(s[i][:], b[16*i:])
		}
		*p = s
	case printing, parsing:
		if c.text(name) {
			listText(c, name, p, nullable, (*codec).uuidText)
		}
	}
}

func (c *codec) strings(name string, p *[]string) {
	switch c.mode {
	case writing:
		c.buf = appendUvarint(c.buf, uint32(len(*p))+1)
		for _, s := range *p {
			c.writeString(name, s)
		}
	case reading:
		*p = readList(c, name, leastString, (*codec).readString)
	case printing, parsing:
		if c.text(name) {
			listText(c, name, p, false, (*codec).stringText)
		}
	}
}

// structs is a list of structs, each with its own tagged section.
func structs[T any, P interface {
	*T
	fielder
}](c *codec, name string, p *[]T) {
	switch c.mode {
	case writing:
		c.buf = appendUvarint(c.buf, uint32(len(*p))+1)
		for i := range *p {
			c.write(P(&(*p)[i]))
		}
	case reading:
		*p = readList(c, name, leastStruct, func(c *codec, _ string, v *T) { c.read(P(v)) })
	case printing:
		c.text(name)
		listText(c, name, p, false, func(c *codec, _ string, v *T) { c.print(P(v)) })
	case parsing:
		if c.text(name) {
			listText(c, name, p, false, func(c *codec, _ string, v *T) { c.parse(P(v)) })
		}
	}
}

// inner is one struct inside another.
func (c *codec) inner(name string, r fielder) {
	switch c.mode {
	case writing:
		c.write(r)
	case reading:
		c.read(r)
	case printing:
		c.text(name)
		c.print(r)
	case parsing:
		if c.text(name) {
			c.parse(r)
		}
	}
}

// Every element of a list takes some bytes of the input, so that an announced count can be
// believed only as far as the rest of the input goes.
const (
	leastString = 1 // a string's length
	leastStruct = 3 // no struct in a list has less than two fields' lengths and a tagged section
)

// readList reads a list that is not nullable, of elements that take at least so many bytes each.
func readList[T any](c *codec, name string, least int, value func(*codec, string, *T)) []T {
	n, left := c.length(name, false), len(c.in)-c.off
	if n > left/least {
		c.fail(name, "has %d elements in %d bytes", n, left)
	}
	if n <= 0 || c.err != nil {
		return nil
	}
	s := make([]T, n)
	for i := range s {
		if value(c, name, &s[i]); c.err != nil {
			c.err = fmt.Errorf("%s %d: %w", name, i, c.err)
			return nil
		}
	}
	return s
}

// listText prints or parses a list.
func listText[T any](c *codec, name string, p *[]T, nullable bool, value func(*codec, string, *T)) {
	if c.mode == printing {
		if *p == nil && nullable {
			c.buf = append(c.buf, "null"...)
			return
		}
		c.buf = append(c.buf, '[')
		for i := range *p {
			if i > 0 {
				c.buf = append(c.buf, ',')
			}
			value(c, name, &(*p)[i])
		}
		c.buf = append(c.buf, ']')
		return
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(c.value, &elements); err != nil || elements == nil && !nullable {
		c.fail(name, "is %.40q, not a JSON array", c.value)
		return
	}
	*p = nil
	if elements != nil {
		*p = emptyOrNil[T](len(elements), nullable)
	}
	if len(elements) == 0 {
		return
	}
	s := make([]T, len(elements))
	for i := range s {
		c.value = elements[i]
		if value(c, name, &s[i]); c.err != nil {
			return
		}
	}
	*p = s
}

// emptyOrNil keeps empty apart from null in a nullable list, and has one form for "none" in the others.
func emptyOrNil[T any](n int, nullable bool) []T {
	if n == 0 && nullable {
		return []T{}
	}
	return nil
}

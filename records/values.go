package records

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// maxString is the longest string Kafka's flexible encoding takes, in bytes of UTF-8.
const maxString = math.MaxInt16

func (c *codec) bool(name string, p *bool) {
	if c.field(name) {
		c.boolValue(p)
	}
}

func (c *codec) boolSince(since int16, name string, p *bool) {
	if c.fieldSince(since, name, *p) {
		c.boolValue(p)
	}
}

func (c *codec) boolValue(p *bool) {
	switch c.mode {
	case writing, writingTags:
		if *p {
			c.buf = append(c.buf, 1)
		} else {
			c.buf = append(c.buf, 0)
		}
	case reading, readingTags:
		if b := c.take(1); b != nil {
			*p = b[0] != 0
		}
	case printing:
		c.buf = strconv.AppendBool(c.buf, *p)
	case parsing:
		switch string(c.value) {
		case "true":
			*p = true
		case "false":
			*p = false
		default:
			c.fail("%.40q is neither true nor false", c.value)
		}
	}
}

func (c *codec) int8(name string, p *int8) {
	if c.field(name) {
		c.int8Value(p)
	}
}

func (c *codec) tagInt8(tag uint32, since int16, name string, p *int8, def int8) {
	if c.mode == reading || c.mode == parsing {
		*p = def
	}
	if c.tagged(tag, since, name, *p != def) {
		c.tagSize(1)
		c.int8Value(p)
		c.tagEnd()
	}
}

func (c *codec) int8Value(p *int8) {
	switch c.mode {
	case writing, writingTags:
		c.buf = append(c.buf, byte(*p))
	case reading, readingTags:
		if b := c.take(1); b != nil {
			*p = int8(b[0])
		}
	default:
		*p = int8(c.intText(int64(*p), 8))
	}
}

func (c *codec) int16(name string, p *int16) {
	if !c.field(name) {
		return
	}
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint16(c.buf, uint16(*p))
	case reading:
		if b := c.take(2); b != nil {
			*p = int16(binary.BigEndian.Uint16(b))
		}
	default:
		*p = int16(c.intText(int64(*p), 16))
	}
}

func (c *codec) uint16(name string, p *uint16) {
	if !c.field(name) {
		return
	}
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint16(c.buf, *p)
	case reading:
		if b := c.take(2); b != nil {
			*p = binary.BigEndian.Uint16(b)
		}
	default:
		v := c.intText(int64(*p), 17)
		if v < 0 {
			c.fail("%d is negative", v)
			return
		}
		*p = uint16(v)
	}
}

func (c *codec) int32(name string, p *int32) {
	if c.field(name) {
		c.int32Value(p)
	}
}

func (c *codec) tagInt32(tag uint32, since int16, name string, p *int32, def int32) {
	if c.mode == reading || c.mode == parsing {
		*p = def
	}
	if c.tagged(tag, since, name, *p != def) {
		c.tagSize(4)
		c.int32Value(p)
		c.tagEnd()
	}
}

func (c *codec) int32Value(p *int32) {
	switch c.mode {
	case writing, writingTags:
		c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(*p))
	case reading, readingTags:
		if b := c.take(4); b != nil {
			*p = int32(binary.BigEndian.Uint32(b))
		}
	default:
		*p = int32(c.intText(int64(*p), 32))
	}
}

func (c *codec) int64(name string, p *int64) {
	if !c.field(name) {
		return
	}
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(*p))
	case reading:
		if b := c.take(8); b != nil {
			*p = int64(binary.BigEndian.Uint64(b))
		}
	default:
		*p = c.intText(*p, 64)
	}
}

// intText prints v and returns it, or parses a value of the given number of bits.
func (c *codec) intText(v int64, bits int) int64 {
	if c.mode == printing {
		c.buf = strconv.AppendInt(c.buf, v, 10)
		return v
	}
	v, err := strconv.ParseInt(string(c.value), 10, bits)
	if err != nil {
		c.fail("%.40q is not a whole number of %d bits", c.value, bits)
	}
	return v
}

func (c *codec) float64(name string, p *float64) {
	if !c.field(name) {
		return
	}
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint64(c.buf, math.Float64bits(*p))
	case reading:
		if b := c.take(8); b != nil {
			*p = math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	case printing:
		c.buf = appendDouble(c.buf, *p)
	case parsing:
		v, err := parseDouble(string(c.value))
		if err != nil {
			c.fail("%.40q is not a number", c.value)
		}
		*p = v
	}
}

func (c *codec) uuid(name string, p *UUID) {
	if c.field(name) {
		c.uuidValue(p)
	}
}

func (c *codec) uuidValue(p *UUID) {
	switch c.mode {
	case writing, writingTags:
		c.buf = append(c.buf, p[:]...)
	case reading, readingTags:
		copy(p[:], c.take(len(p)))
	case printing:
		c.buf = append(c.buf, '"')
		c.buf = p.appendText(c.buf)
		c.buf = append(c.buf, '"')
	case parsing:
		v, err := ParseUUID(c.text())
		if err != nil {
			c.fail("%w", err)
		}
		*p = v
	}
}

func (c *codec) string(name string, p *string) {
	if c.field(name) {
		c.stringValue(p)
	}
}

func (c *codec) stringValue(p *string) {
	switch c.mode {
	case writing, writingTags:
		c.writeString(*p)
	case reading, readingTags:
		n := c.length(false)
		*p = c.readString(n)
	case printing:
		c.buf = appendJSONString(c.buf, *p)
	case parsing:
		*p = c.text()
	}
}

// stringOrNull is a string whose null is a nil pointer.
func (c *codec) stringOrNull(name string, p **string) {
	if c.field(name) {
		c.stringOrNullValue(p)
	}
}

func (c *codec) tagStringOrNull(tag uint32, since int16, name string, p **string) {
	if c.tagged(tag, since, name, *p != nil) {
		if c.mode == writingTags {
			c.tagSize(uvarintSize(uint32(len(**p))+1) + len(**p))
		}
		c.stringOrNullValue(p)
		c.tagEnd()
	}
}

func (c *codec) stringOrNullValue(p **string) {
	switch c.mode {
	case writing, writingTags:
		if *p == nil {
			c.buf = append(c.buf, 0)
		} else {
			c.writeString(**p)
		}
	case reading, readingTags:
		*p = nil
		if n := c.length(true); n >= 0 {
			s := c.readString(n)
			*p = &s
		}
	case printing:
		if *p == nil {
			c.buf = append(c.buf, "null"...)
		} else {
			c.buf = appendJSONString(c.buf, **p)
		}
	case parsing:
		*p = nil
		if string(c.value) != "null" {
			s := c.text()
			*p = &s
		}
	}
}

// writeString refuses what a reader would not read back as the same string.
func (c *codec) writeString(s string) {
	if len(s) > maxString {
		c.fail("a string of %d bytes is longer than %d", len(s), maxString)
		return
	}
	if !utf8.ValidString(s) {
		c.fail("%.80q is not UTF-8", s)
		return
	}
	c.buf = appendUvarint(c.buf, uint32(len(s))+1)
	c.buf = append(c.buf, s...)
}

func (c *codec) readString(n int) string {
	if n > maxString {
		c.fail("a string of %d bytes is longer than %d", n, maxString)
		return ""
	}
	b := c.take(n)
	if !utf8.Valid(b) {
		return decodeUTF8(b)
	}
	return string(b)
}

func (c *codec) bytes(name string, p *[]byte) {
	if !c.field(name) {
		return
	}
	switch c.mode {
	case writing:
		c.buf = appendUvarint(c.buf, uint32(len(*p))+1)
		c.buf = append(c.buf, *p...)
	case reading:
		n := c.length(false)
		if b := c.take(n); len(b) > 0 {
			*p = append(make([]byte, 0, len(b)), b...)
		}
	case printing:
		c.buf = append(c.buf, '"')
		c.buf = base64.StdEncoding.AppendEncode(c.buf, *p)
		c.buf = append(c.buf, '"')
	case parsing:
		v, err := base64.StdEncoding.DecodeString(c.text())
		if err != nil {
			c.fail("%w", err)
		}
		if len(v) > 0 {
			*p = v
		}
	}
}

func (c *codec) int32s(name string, p *[]int32) {
	if c.field(name) {
		c.int32sValue(p, false)
	}
}

// tagInt32sOrNull is a tagged list whose default is null; nil is null and empty is empty.
func (c *codec) tagInt32sOrNull(tag uint32, since int16, name string, p *[]int32) {
	if c.tagged(tag, since, name, *p != nil) {
		c.tagSize(uvarintSize(uint32(len(*p))+1) + 4*len(*p))
		c.int32sValue(p, true)
		c.tagEnd()
	}
}

func (c *codec) int32sValue(p *[]int32, nullable bool) {
	switch c.mode {
	case writing, writingTags:
		c.buf = appendUvarint(c.buf, uint32(len(*p))+1)
		for _, v := range *p {
			c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(v))
		}
	case reading, readingTags:
		n := c.length(nullable)
		*p = emptyOrNil[int32](n, nullable)
		if n <= 0 {
			return
		}
		b := c.take(4 * n)
		if b == nil {
			return
		}
		s := make([]int32, n)
		for i := range s {
			s[i] = int32(binary.BigEndian.Uint32(b[4*i:]))
		}
		*p = s
	default:
		listText(c, p, nullable, (*codec).int32Value)
	}
}

func (c *codec) uuidsSince(since int16, name string, p *[]UUID) {
	if c.fieldSince(since, name, len(*p) > 0) {
		c.uuidsValue(p, false)
	}
}

// tagUUIDs is a tagged list whose default is empty.
func (c *codec) tagUUIDs(tag uint32, since int16, name string, p *[]UUID) {
	if c.tagged(tag, since, name, len(*p) > 0) {
		c.tagSize(uvarintSize(uint32(len(*p))+1) + 16*len(*p))
		c.uuidsValue(p, false)
		c.tagEnd()
	}
}

// tagUUIDsOrNull is a tagged list whose default is null; nil is null and empty is empty.
func (c *codec) tagUUIDsOrNull(tag uint32, since int16, name string, p *[]UUID) {
	if c.tagged(tag, since, name, *p != nil) {
		c.tagSize(uvarintSize(uint32(len(*p))+1) + 16*len(*p))
		c.uuidsValue(p, true)
		c.tagEnd()
	}
}

func (c *codec) uuidsValue(p *[]UUID, nullable bool) {
	switch c.mode {
	case writing, writingTags:
		c.buf = appendUvarint(c.buf, uint32(len(*p))+1)
		for i := range *p {
			c.buf = append(c.buf, (*p)[i][:]...)
		}
	case reading, readingTags:
		n := c.length(nullable)
		*p = emptyOrNil[UUID](n, nullable)
		if n <= 0 {
			return
		}
		b := c.take(16 * n)
		if b == nil {
			return
		}
		s := make([]UUID, n)
		for i := range s {
			copy(s[i][:], b[16*i:])
		}
		*p = s
	default:
		listText(c, p, nullable, (*codec).uuidValue)
	}
}

func (c *codec) strings(name string, p *[]string) {
	if !c.field(name) {
		return
	}
	switch c.mode {
	case writing:
		c.buf = appendUvarint(c.buf, uint32(len(*p))+1)
		for _, s := range *p {
			c.writeString(s)
		}
	case reading:
		*p = readList(c, (*codec).stringValue)
	default:
		listText(c, p, false, (*codec).stringValue)
	}
}

// structs is a list of structs, each with its own tagged section.
func structs[T any, P interface {
	*T
	fielder
}](c *codec, name string, p *[]T) {
	if !c.field(name) {
		return
	}
	switch c.mode {
	case writing:
		c.buf = appendUvarint(c.buf, uint32(len(*p))+1)
		for i := range *p {
			c.write(P(&(*p)[i]))
		}
	case reading:
		*p = readList(c, func(c *codec, v *T) { c.read(P(v)) })
	case printing:
		listText(c, p, false, func(c *codec, v *T) { c.print(P(v)) })
	case parsing:
		listText(c, p, false, func(c *codec, v *T) { c.parse(P(v)) })
	}
}

// inner is one struct inside another.
func (c *codec) inner(name string, r fielder) {
	if !c.field(name) {
		return
	}
	switch c.mode {
	case writing:
		c.write(r)
	case reading:
		c.read(r)
	case printing:
		c.print(r)
	case parsing:
		c.parse(r)
	}
}

// readList reads a list that is not nullable. The announced count is not trusted beyond what the
// rest of the input can hold: four bytes are about the least an element takes.
func readList[T any](c *codec, value func(*codec, *T)) []T {
	n := c.length(false)
	if left := len(c.in) - c.off; n > left {
		c.fail("%d elements in %d bytes", n, left)
	}
	if n <= 0 || c.err != nil {
		return nil
	}
	s := make([]T, 0, min(n, (len(c.in)-c.off)/4+1))
	for range n {
		var v T
		s = append(s, v)
		if value(c, &s[len(s)-1]); c.err != nil {
			return nil
		}
	}
	return s
}

// listText prints or parses a list.
func listText[T any](c *codec, p *[]T, nullable bool, value func(*codec, *T)) {
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
			value(c, &(*p)[i])
		}
		c.buf = append(c.buf, ']')
		return
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(c.value, &elements); err != nil {
		c.fail("not a JSON array: %w", err)
		return
	}
	if elements == nil {
		if !nullable {
			c.fail("is null")
		}
		*p = nil
		return
	}
	*p = emptyOrNil[T](len(elements), nullable)
	if len(elements) == 0 {
		return
	}
	s := make([]T, len(elements))
	for i := range s {
		c.value = elements[i]
		if value(c, &s[i]); c.err != nil {
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

// text returns the string at hand when parsing.
func (c *codec) text() string {
	var s *string
	if err := json.Unmarshal(c.value, &s); err != nil || s == nil {
		c.fail("%.40q is not a JSON string", c.value)
		return ""
	}
	return *s
}

// take returns the next n bytes of the input, which the caller must copy; nil is an error, and so is a negative n.
func (c *codec) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > len(c.in)-c.off {
		c.short(n)
		return nil
	}
	b := c.in[c.off : c.off+n]
	c.off += n
	return b
}

func (c *codec) short(n int) {
	c.fail("wants %d bytes and %d are left", n, len(c.in)-c.off)
}

// length reads the length of a string, byte string or list. Null is -1, and an error unless it is
// allowed. As in Apache's reader everything negative is null.
func (c *codec) length(nullable bool) int {
	n := int32(c.uvarint()) - 1
	if c.err != nil {
		return 0
	}
	if n < 0 {
		if !nullable {
			c.fail("is null")
			return 0
		}
		return -1
	}
	return int(n)
}

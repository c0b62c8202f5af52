package records

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// The kinds of fields. Each method codes one field in whatever mode the codec is; a tag method
// adds what is special about tagged fields and leaves the rest to the plain one. The byte modes
// come first in each, for they are the hot ones. Null is nil; in a list that may be null, empty
// and null differ.

// maxString is the longest string Kafka's flexible encoding takes, in bytes of UTF-8.
const maxString = math.MaxInt16

func (c *codec) bool(name string, p *bool) {
	switch c.mode {
	case writing:
		if *p {
			c.buf = append(c.buf, 1)
		} else {
			c.buf = append(c.buf, 0)
		}
	case reading:
		if b := c.take(name, 1); b != nil {
			*p = b[0] != 0
		}
	case printing, parsing:
		if c.text(name) {
			c.boolText(name, p)
		}
	}
}

func (c *codec) boolText(name string, p *bool) {
	if c.mode == printing {
		c.buf = strconv.AppendBool(c.buf, *p)
		return
	}
	switch string(c.value) {
	case "true", "false":
		*p = string(c.value) == "true"
	default:
		c.fail(name, "is %.40q, neither true nor false", c.value)
	}
}

func (c *codec) boolSince(version int16, name string, p *bool) {
	if c.since(version, name, *p) {
		c.bool(name, p)
	}
}

func (c *codec) int8(name string, p *int8) {
	switch c.mode {
	case writing:
		c.buf = append(c.buf, byte(*p))
	case reading:
		if b := c.take(name, 1); b != nil {
			*p = int8(b[0])
		}
	case printing, parsing:
		if c.text(name) {
			*p = int8(c.intText(name, int64(*p), 8))
		}
	}
}

func (c *codec) tagInt8(tag uint32, since int16, name string, p *int8, def int8) {
	if c.passes(tag, *p != def) {
		return
	}
	if c.mode == reading || c.mode == parsing {
		*p = def
	}
	if c.tagged(tag, since, name, *p != def, 1) {
		c.int8(name, p)
		c.tagEnd()
	}
}

func (c *codec) int16(name string, p *int16) {
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint16(c.buf, uint16(*p))
	case reading:
		if b := c.take(name, 2); b != nil {
			*p = int16(binary.BigEndian.Uint16(b))
		}
	case printing, parsing:
		if c.text(name) {
			*p = int16(c.intText(name, int64(*p), 16))
		}
	}
}

func (c *codec) uint16(name string, p *uint16) {
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint16(c.buf, *p)
	case reading:
		if b := c.take(name, 2); b != nil {
			*p = binary.BigEndian.Uint16(b)
		}
	case printing, parsing:
		if c.text(name) {
			v := c.intText(name, int64(*p), 32)
			if v < 0 || v > math.MaxUint16 {
				c.fail(name, "is %d, which 16 bits do not hold", v)
			}
			*p = uint16(v)
		}
	}
}

func (c *codec) int32(name string, p *int32) {
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(*p))
	case reading:
		if b := c.take(name, 4); b != nil {
			*p = int32(binary.BigEndian.Uint32(b))
		}
	case printing, parsing:
		if c.text(name) {
			c.int32Text(name, p)
		}
	}
}

func (c *codec) int32Text(name string, p *int32) {
	*p = int32(c.intText(name, int64(*p), 32))
}

func (c *codec) tagInt32(tag uint32, since int16, name string, p *int32, def int32) {
	if c.passes(tag, *p != def) {
		return
	}
	if c.mode == reading || c.mode == parsing {
		*p = def
	}
	if c.tagged(tag, since, name, *p != def, 4) {
		c.int32(name, p)
		c.tagEnd()
	}
}

func (c *codec) int64(name string, p *int64) {
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(*p))
	case reading:
		if b := c.take(name, 8); b != nil {
			*p = int64(binary.BigEndian.Uint64(b))
		}
	case printing, parsing:
		if c.text(name) {
			*p = c.intText(name, *p, 64)
		}
	}
}

// intText prints v and returns it, or parses a value of the given number of bits.
func (c *codec) intText(name string, v int64, bits int) int64 {
	if c.mode == printing {
		c.buf = strconv.AppendInt(c.buf, v, 10)
		return v
	}
	v, err := strconv.ParseInt(string(c.value), 10, bits)
	if err != nil {
		c.fail(name, "is %.40q, not a whole number of %d bits", c.value, bits)
	}
	return v
}

func (c *codec) float64(name string, p *float64) {
	switch c.mode {
	case writing:
		c.buf = binary.BigEndian.AppendUint64(c.buf, math.Float64bits(*p))
	case reading:
		if b := c.take(name, 8); b != nil {
			*p = math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	case printing:
		c.text(name)
		c.buf = appendDouble(c.buf, *p)
	case parsing:
		if c.text(name) {
			var err error
			if *p, err = parseDouble(string(c.value)); err != nil {
				c.fail(name, "is %.40q: %w", c.value, err)
			}
		}
	}
}

func (c *codec) uuid(name string, p *UUID) {
	switch c.mode {
	case writing:
		c.buf = append(c.buf, p[:]...)
	case reading:
		copy(p[:], c.take(name, len(p)))
	case printing, parsing:
		if c.text(name) {
			c.uuidText(name, p)
		}
	}
}

func (c *codec) uuidText(name string, p *UUID) {
	if c.mode == printing {
		c.buf = append(c.buf, '"')
		c.buf = p.appendText(c.buf)
		c.buf = append(c.buf, '"')
		return
	}
	var err error
	if *p, err = ParseUUID(c.parseString(name)); err != nil {
		c.fail(name, "is wrong: %w", err)
	}
}

func (c *codec) string(name string, p *string) {
	switch c.mode {
	case writing:
		c.writeString(name, *p)
	case reading:
		c.readString(name, p)
	case printing, parsing:
		if c.text(name) {
			c.stringText(name, p)
		}
	}
}

func (c *codec) stringText(name string, p *string) {
	if c.mode == printing {
		c.buf = appendJSONString(c.buf, *p)
		return
	}
	*p = c.parseString(name)
}

// stringOrNull is a string whose null is a nil pointer.
func (c *codec) stringOrNull(name string, p **string) {
	switch c.mode {
	case writing:
		if *p == nil {
			c.buf = append(c.buf, 0)
		} else {
			c.writeString(name, **p)
		}
	case reading:
		*p = nil
		if n := c.length(name, true); n >= 0 {
			s := c.takeString(name, n)
			*p = &s
		}
	case printing:
		c.text(name)
		if *p == nil {
			c.buf = append(c.buf, "null"...)
		} else {
			c.buf = appendJSONString(c.buf, **p)
		}
	case parsing:
		*p = nil
		if c.text(name) && string(c.value) != "null" {
			s := c.parseString(name)
			*p = &s
		}
	}
}

func (c *codec) tagStringOrNull(tag uint32, since int16, name string, p **string) {
	size := 0
	if *p != nil {
		size = uvarintSize(uint32(len(**p))+1) + len(**p)
	}
	if c.tagged(tag, since, name, *p != nil, size) {
		c.stringOrNull(name, p)
		c.tagEnd()
	}
}

// writeString refuses what a reader would not read back as the same string.
func (c *codec) writeString(name, s string) {
	if len(s) > maxString {
		c.fail(name, "has %d bytes, more than a string may have", len(s))
		return
	}
	if !utf8.ValidString(s) {
		c.fail(name, "is %.80q, which is not UTF-8", s)
		return
	}
	c.buf = appendUvarint(c.buf, uint32(len(s))+1)
	c.buf = append(c.buf, s...)
}

func (c *codec) readString(name string, p *string) {
	*p = c.takeString(name, c.length(name, false))
}

func (c *codec) takeString(name string, n int) string {
	if n > maxString {
		c.fail(name, "has %d bytes, more than a string may have", n)
		return ""
	}
	b := c.take(name, n)
	if !utf8.Valid(b) {
		return decodeUTF8(b)
	}
	return string(b)
}

// parseString returns the string at hand.
func (c *codec) parseString(name string) string {
	var s *string
	if err := json.Unmarshal(c.value, &s); err != nil || s == nil {
		c.fail(name, "is %.40q, not a JSON string", c.value)
		return ""
	}
	return *s
}

func (c *codec) bytes(name string, p *[]byte) {
	switch c.mode {
	case writing:
		c.buf = appendUvarint(c.buf, uint32(len(*p))+1)
		c.buf = append(c.buf, *p...)
	case reading:
		if b := c.take(name, c.length(name, false)); len(b) > 0 {
			*p = append(make([]byte, 0, len(b)), b...)
		}
	case printing:
		c.text(name)
		c.buf = append(c.buf, '"')
		c.buf = base64.StdEncoding.AppendEncode(c.buf, *p)
		c.buf = append(c.buf, '"')
	case parsing:
		if c.text(name) {
			b, err := base64.StdEncoding.DecodeString(c.parseString(name))
			if err != nil {
				c.fail(name, "is wrong: %w", err)
			}
			if len(b) > 0 {
				*p = b
			}
		}
	}
}

// take returns the next n bytes of the input, which the caller must copy. It returns nil after an error.
func (c *codec) take(name string, n int) []byte {
	if n < 0 || n > len(c.in)-c.off {
		c.short(name, n)
		return nil
	}
	b := c.in[c.off : c.off+n]
	c.off += n
	return b
}

func (c *codec) short(name string, n int) {
	c.fail(name, "wants %d bytes, and %d are left", n, len(c.in)-c.off)
}

// length reads the length of a string, byte string or list. Null is -1, and an error unless it is
// allowed. As in Apache's reader everything negative is null.
func (c *codec) length(name string, nullable bool) int {
	n := int32(c.uvarint(name)) - 1
	if n >= 0 {
		return int(n)
	}
	if !nullable {
		c.fail(name, "is null")
		return 0
	}
	return -1
}

package records

// Varints as Kafka writes them: seven bits a byte, least significant first. Lengths, counts, tags
// and the frame are unsigned 32-bit; the record envelope of a batch has zigzag ones.

// maxVarint is the most bytes a 32-bit varint takes.
const maxVarint = 5

// appendUvarint appends an unsigned varint in its shortest form.
func appendUvarint(b []byte, v uint32) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return appendLongUvarint(b, v)
}

func appendLongUvarint(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// uvarintSize is the number of bytes appendUvarint appends.
func uvarintSize(v uint32) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// readUvarint reads an unsigned varint at the beginning of b and returns how many bytes it took, 0
// when there is none. As in Apache's reader it need not be in its shortest form, it has at most
// five bytes, and what does not fit into 32 bits is dropped.
func readUvarint(b []byte) (v uint32, n int) {
	for i, x := range b {
		if i == 4 && x >= 0x80 {
			return 0, 0
		}
		v |= uint32(x&0x7f) << (7 * i)
		if x < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// uvarint reads an unsigned varint, 0 after an error.
func (c *codec) uvarint(name string) uint32 {
	if c.off < len(c.in) && c.in[c.off] < 0x80 {
		c.off++
		return uint32(c.in[c.off-1])
	}
	v, n := readUvarint(c.in[c.off:])
	if n == 0 {
		c.fail(name, "begins with a varint that is too long or cut off")
	}
	c.off += n
	return v
}

// appendVarint appends a zigzag varint in its shortest form.
func appendVarint(b []byte, v int32) []byte {
	return appendUvarint(b, uint32(v<<1)^uint32(v>>31))
}

// varintSize is the number of bytes appendVarint appends.
func varintSize(v int32) int {
	return uvarintSize(uint32(v<<1) ^ uint32(v>>31))
}

// readVarint reads a zigzag varint as readUvarint reads an unsigned one.
func readVarint(b []byte) (v int32, n int) {
	u, n := readUvarint(b)
	return int32(u>>1) ^ -int32(u&1), n
}

// readVarlong reads a zigzag varint of 64 bits, which takes at most ten bytes.
func readVarlong(b []byte) (v int64, n int) {
	var u uint64
	for i, x := range b {
		if i == 9 && x >= 0x80 {
			return 0, 0
		}
		u |= uint64(x&0x7f) << (7 * i)
		if x < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

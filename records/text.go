package records

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// How values look in JSON and what becomes of broken UTF-8: as Java does both, since that is what
// Apache's tools print and what a broker would make of the same bytes.

// appendJSONString appends s as a JSON string, escaping only what JSON demands.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); {
		ch := s[i]
		if ch >= ' ' && ch != '"' && ch != '\\' && ch < utf8.RuneSelf {
			i++
			continue
		}
		if ch >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[done:i]...)
				b = append(b, "\uFFFD"...)
				done = i + 1
			}
			i += n
			continue
		}
		b = append(b, s[done:i]...)
		switch ch {
		case '"', '\\':
			b = append(b, '\\', ch)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[ch>>4], hex[ch&15])
		}
		i++
		done = i
	}
	b = append(b, s[done:]...)
	return append(b, '"')
}

// appendDouble appends v as Java's Double.toString writes it, with what is not a number in quotes.
//
// The digits are the shortest that give v back, but never fewer than two; from 10^-3 up to below
// 10^7 they stand around a point, elsewhere there is one digit before the point and an exponent.
func appendDouble(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	case v == 0 && math.Signbit(v):
		return append(b, "-0.0"...)
	case v == 0:
		return append(b, "0.0"...)
	}
	if v < 0 {
		b, v = append(b, '-'), -v
	}
	var space [32]byte
	text := strconv.AppendFloat(space[:0], v, 'e', -1, 64) // d[.ddd]e±xx
	if text[1] != '.' {
		// Among the shortest Java counts numbers of one digit as having two, and then takes the
		// nearest of two: 4.9E-324, not 5.0E-324.
		text = strconv.AppendFloat(space[:0], v, 'e', 1, 64)
	}
	e := len(text) - 1
	for text[e] != 'e' {
		e--
	}
	exp, _ := strconv.Atoi(string(text[e+1:]))
	digits := append([]byte{text[0]}, text[2:e]...)
	if exp < -3 || exp >= 7 {
		b = append(b, digits[0], '.')
		b = append(b, digits[1:]...)
		b = append(b, 'E')
		return strconv.AppendInt(b, int64(exp), 10)
	}
	if exp < 0 {
		b = append(b, "0."...)
		for range -exp - 1 {
			b = append(b, '0')
		}
		if len(digits) == 2 && digits[1] == '0' {
			digits = digits[:1]
		}
		return append(b, digits...)
	}
	for len(digits) < exp+2 {
		digits = append(digits, '0')
	}
	b = append(b, digits[:exp+1]...)
	b = append(b, '.')
	return append(b, digits[exp+1:]...)
}

// parseDouble reads what appendDouble writes, and any other JSON number.
func parseDouble(s string) (float64, error) {
	switch s {
	case `"NaN"`:
		return math.Float64frombits(0x7ff8 << 48), nil // Java's, which is not Go's
	case `"Infinity"`:
		return math.Inf(1), nil
	case `"-Infinity"`:
		return math.Inf(-1), nil
	}
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, errors.New("not a number")
	}
	return strconv.ParseFloat(s, 64)
}

// decodeUTF8 turns bytes that are not UTF-8 into a string that is, as Java's decoder does: each
// beginning of a character that does not go on becomes one U+FFFD, and so does any byte that
// begins none. A surrogate in three bytes is one such beginning.
func decodeUTF8(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = brokenRune(b)
		}
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}

// brokenRune is the number of bytes at the beginning of b that stand for one broken character.
func brokenRune(b []byte) int {
	more := 0 // how many bytes may follow the first and still belong to it
	low, high := byte(0x80), byte(0xbf)
	switch first := b[0]; {
	case first >= 0xe0 && first <= 0xef:
		more = 2
		if first == 0xe0 {
			low = 0xa0
		}
	case first >= 0xf0 && first <= 0xf4:
		more = 2
		if first == 0xf0 {
			low = 0x90
		}
		if first == 0xf4 {
			high = 0x8f
		}
	}
	n := 1
	for n <= more && n < len(b) && b[n] >= low && b[n] <= high {
		n++
		low, high = 0x80, 0xbf
	}
	return n
}

package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// shape is what kmsg reads for one type in one version: enough to go over bytes without decoding them, and
// to say beforehand how much memory decoding takes. kmsg allocates arrays as long as somebody wrote that
// they are, and loops over a written number of tags even when there are no bytes left: four billion rounds
// for five bytes. So nothing is given to it that does not fit its shape.
//
// kmsg does not describe its types, but they are plain structs in the order of the wire, and it encodes
// them. shapeOf changes one field at a time and looks at which byte changes; then it checks its result. A
// shape is made once for each version served and never changes.
type shape struct {
	kind     kind
	least    int   // bytes on the wire at least; exactly, if kind is fixed
	memory   int64 // bytes of the Go value itself
	flexible bool  // lengths are varints (KIP-482)
	pointer  bool  // text that may be absent
	nullable bool  // bytes or an array that may be absent; kmsg reads any absent one as empty, Kafka does not
	elem     *shape
	fields   []field // of a structure, in the order of the wire
	tagged   []field // of a structure, in its tags
	tags     bool    // a structure that ends with tags, known or not
}

type field struct {
	*shape
	name string
	tag  uint32 // if it is tagged
}

type kind uint8

const (
	fixed     kind = iota
	text           // string
	blob           // bytes, which after decoding are a part of the frame
	array          // of elem
	optional       // a byte -1, or another and then elem
	structure      // fields, then tags
)

// weigh returns how much memory a body takes, as it is and decoded. It is an error if that is more than
// the limit, or if the body does not fit the shape.
func (s *shape) weigh(body []byte, limit int64) (int64, error) {
	w := walk{reader: reader{b: body}, memory: int64(len(body)) + s.memory, limit: limit}
	w.value(s)
	switch {
	case w.memory > limit:
		return 0, fmt.Errorf("takes more than %d bytes to decode", limit)
	case w.bad:
		return 0, errors.New("ends early, or a length in it is wrong")
	}
	return w.memory, nil
}

// message is a kmsg request or response.
type message interface {
	AppendTo([]byte) []byte
	IsFlexible() bool
}

// shapeOf finds the shape of a new, empty message of a version, which has all its fields set afterwards.
func shapeOf(m message) (*shape, error) {
	root := reflect.ValueOf(m).Elem()
	setDefaults(root)
	p := prober{m, m.IsFlexible()}
	s := p.structure(root, 0)
	if err := s.accounts(m); err != nil {
		return nil, err
	}
	fill(root)
	if err := s.accounts(m); err != nil {
		return nil, fmt.Errorf("with all fields set: %w", err)
	}
	return s, nil
}

// accounts checks that the shape is that of a message, to the last byte.
func (s *shape) accounts(m message) error {
	b := m.AppendTo(nil)
	w := walk{reader: reader{b: b}, limit: math.MaxInt64}
	w.value(s)
	if w.bad || len(w.b) > 0 {
		return fmt.Errorf("shape leaves %d of %d bytes", len(w.b), len(b))
	}
	return nil
}

// prober finds shapes within one message.
type prober struct {
	root     message
	flexible bool
}

// structure finds the shape of v, a struct somewhere in the message that is encoded from start on.
func (p *prober) structure(v reflect.Value, start int) *shape {
	s := &shape{kind: structure, memory: int64(v.Type().Size()), flexible: p.flexible}
	base := p.root.AppendTo(nil)
	tagsAt := -1
	if unknown := v.FieldByName("UnknownTags"); unknown.IsValid() {
		unknown.Addr().Interface().(*kmsg.Tags).Set(math.MaxInt32, nil)
		tagsAt = firstDifference(base, p.root.AppendTo(nil), start)
		unknown.SetZero()
	}
	if tagsAt >= 0 {
		s.tags, s.least = true, 1
	}
	at := start // where the next field that is not tagged begins
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "UnknownTags" || name == "Version" && v.Addr().Interface() == p.root {
			continue
		}
		f := v.Field(i)
		saved := reflect.New(f.Type()).Elem()
		saved.Set(f)
		change(f)
		changed := p.root.AppendTo(nil)
		switch found := firstDifference(base, changed, start); {
		case found < 0: // not in this version
			f.Set(saved)
		case found == tagsAt: // the number of tags is now 1; tag and size follow
			tag, n := binary.Uvarint(changed[tagsAt+1:])
			s.tagged = append(s.tagged, field{p.value(f, tagsAt+1+n+1), name, uint32(tag)})
			f.Set(saved)
		default:
			plain := p.value(f, at)
			f.Set(saved)
			s.fields = append(s.fields, field{plain, name, 0})
			s.least += plain.least
			w := walk{reader: reader{b: base[at:]}, limit: math.MaxInt64}
			w.value(plain)
			at = len(base) - len(w.b)
		}
	}
	return s
}

// value finds the shape of v, which is encoded at one place and, if it is a list, not empty.
func (p *prober) value(v reflect.Value, at int) *shape {
	s := &shape{memory: int64(v.Type().Size()), flexible: p.flexible}
	length := func(classic int) int {
		if p.flexible {
			return 1
		}
		return classic
	}
	switch t := v.Type(); t.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Int16, reflect.Uint16, reflect.Int32, reflect.Uint32, reflect.Int64, reflect.Float64:
		s.kind, s.least = fixed, int(t.Size())
	case reflect.Array: // a UUID
		s.kind, s.least = fixed, t.Len()
	case reflect.String:
		s.kind, s.least = text, length(2)
	case reflect.Struct:
		return p.structure(v, at)
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.String {
			s.kind, s.least, s.pointer = text, length(2), true
			break
		}
		s.kind, s.least = optional, 1
		s.elem = p.structure(v.Elem(), at+1)
	case reflect.Slice:
		s.least, s.nullable = length(4), p.nullable(v)
		if t.Elem().Kind() == reflect.Uint8 {
			s.kind = blob
			break
		}
		s.kind = array
		s.elem = p.value(v.Index(0), at+s.least)
	default:
		panic(fmt.Sprintf("wire: kmsg has begun to use %s", t))
	}
	return s
}

// nullable says whether the absence of a list is encoded otherwise than that there is nothing in it.
func (p *prober) nullable(v reflect.Value) bool {
	saved := reflect.New(v.Type()).Elem()
	saved.Set(v)
	defer v.Set(saved)
	v.SetZero()
	absent := p.root.AppendTo(nil)
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	return !bytes.Equal(absent, p.root.AppendTo(nil))
}

// change makes v different, each time it is called; lists become longer.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() ^ 1)
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() ^ 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Array:
		v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Slice:
		elem := reflect.New(v.Type().Elem()).Elem()
		setDefaults(elem)
		v.Set(reflect.Append(v, elem))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setDefaults(v.Elem())
		if v.Elem().Kind() == reflect.String {
			v.Elem().SetString("x")
		}
	case reflect.Struct: // one field is enough to be seen; but it may be missing in this version
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.Pointer, reflect.Struct:
			default:
				change(f)
			}
		}
	}
}

// fill sets every field of v to something, and gives every list two elements.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if tags, ok := f.Addr().Interface().(*kmsg.Tags); ok {
				tags.Set(math.MaxInt32, []byte("x"))
				tags.Set(math.MaxUint32, nil)
			} else if v.Type().Field(i).Name != "Version" {
				fill(f)
			}
		}
	case reflect.Slice:
		for range 2 {
			change(v)
			fill(v.Index(v.Len() - 1))
		}
	case reflect.Pointer:
		change(v)
		fill(v.Elem())
	default:
		change(v)
	}
}

func setDefaults(v reflect.Value) {
	if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
}

// firstDifference is the first index from start on where a and b differ, -1 if they do not.
func firstDifference(a, b []byte, start int) int {
	for i := start; i < len(a) || i < len(b); i++ {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

// walk goes over bytes by their shape. It is bad if kmsg could not decode them, or Kafka would not.
type walk struct {
	reader
	memory int64 // what decoding has allocated up to here
	limit  int64 // of memory; beyond it walking ends
}

// What Go's allocator and maps add, rounded up; TestWeightCoversWhatDecodingAllocates holds it against the truth.
const (
	perAllocation = 16
	perTags       = 400 // a map and its first eight entries
	perTag        = 160 // each of the further ones
)

func (w *walk) allocate(n int64) {
	if w.memory += n + n/8 + perAllocation; w.memory > w.limit {
		w.fail()
	}
}

// length reads the length of a string, of bytes or of an array. Below 0, as kmsg sees it, there is none.
func (w *walk) length(s *shape) int64 {
	switch {
	case s.flexible:
		return int64(w.uvarint()) - 1
	case s.kind == text:
		return int64(int16(w.uint(2)))
	default:
		return int64(int32(w.uint(4)))
	}
}

// value goes over one value.
func (w *walk) value(s *shape) {
	switch s.kind {
	case fixed:
		w.skip(int64(s.least))
	case text:
		n := w.length(s)
		switch {
		case n > 0:
			w.skip(n)
			w.allocate(n)
		case n < 0 && !s.pointer:
			w.fail()
		}
		if n >= 0 && s.pointer {
			w.allocate(s.memory)
		}
	case blob:
		n := w.length(s)
		if n < 0 && !s.nullable {
			w.fail()
			break
		}
		w.skip(max(0, n))
	case array:
		n := w.length(s)
		if n < 0 && !s.nullable {
			w.fail()
		}
		if n <= 0 {
			break
		}
		if least := max(1, int64(s.elem.least)); n > int64(len(w.b))/least {
			w.fail()
			break
		}
		w.allocate(n * s.elem.memory)
		if s.elem.kind == fixed {
			w.skip(n * int64(s.elem.least))
			break
		}
		for ; n > 0 && !w.bad; n-- {
			w.value(s.elem)
		}
	case optional:
		if present := int8(w.uint(1)); present != -1 && !w.bad {
			w.allocate(s.elem.memory)
			w.value(s.elem)
		}
	case structure:
		for i := range s.fields {
			w.value(s.fields[i].shape)
		}
		if s.tags {
			w.tagSection(s)
		}
	}
}

func (w *walk) tagSection(s *shape) {
	unknown := 0
next:
	for n := w.uvarint(); n > 0 && !w.bad; n-- {
		tag, size := w.uvarint(), w.uvarint()
		b := w.b
		w.skip(int64(size))
		for i := range s.tagged {
			if f := &s.tagged[i]; f.tag == tag && !w.bad {
				inner := walk{reader: reader{b: b[:size]}, memory: w.memory, limit: w.limit}
				inner.value(f.shape)
				if w.memory = inner.memory; inner.bad {
					w.fail()
				}
				continue next
			}
		}
		switch unknown++; {
		case unknown == 1:
			w.allocate(perTags)
		case unknown > 8:
			w.allocate(perTag)
		}
	}
}

package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"net/http"
)

// stream answers with one JSON object that is written piece by piece: a million partitions are never in memory as text.
func stream(w http.ResponseWriter, write func(*objectWriter)) {
	header(w, "application/json")
	out := bufio.NewWriterSize(w, 64<<10)
	o := objectWriter{w: out}
	write(&o)
	o.end()
	o.text("\n")
	if o.err == nil {
		out.Flush() // a reader who has gone away is no concern of ours, here and above
	}
}

// objectWriter writes one JSON object field by field. After a failed write it does nothing more and keeps the error.
type objectWriter struct {
	w     io.Writer
	begun bool
	err   error
}

func (o *objectWriter) field(name string, value any) {
	o.name(name)
	o.value(value)
}

// object writes a field that is an object itself.
func (o *objectWriter) object(name string, write func(*objectWriter)) {
	o.name(name)
	inner := objectWriter{w: o.w, err: o.err}
	write(&inner)
	inner.end()
	o.err = inner.err
}

// list writes a field whose elements are made one at a time.
func list[T any](o *objectWriter, name string, elements iter.Seq[T]) {
	o.name(name)
	separator := "["
	for element := range elements {
		o.text(separator)
		o.value(element)
		separator = ",\n"
		if o.err != nil {
			return
		}
	}
	if separator == "[" {
		o.text("[")
	}
	o.text("]")
}

func (o *objectWriter) name(name string) {
	if o.begun {
		o.text(",\n")
	} else {
		o.text("{")
	}
	o.begun = true
	o.value(name)
	o.text(":")
}

func (o *objectWriter) value(value any) {
	if o.err != nil {
		return
	}
	var text []byte
	if text, o.err = encode(value); o.err == nil {
		_, o.err = o.w.Write(text)
	}
}

func (o *objectWriter) text(text string) {
	if o.err == nil {
		_, o.err = io.WriteString(o.w, text)
	}
}

func (o *objectWriter) end() {
	if !o.begun {
		o.text("{")
	}
	o.text("}")
}

// encode is json.Marshal without the escapes that only HTML needs: a topic's name is to be found as it is written.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// orEmpty keeps "none" apart from null, which JSON readers stumble over.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func mapped[A, B any](all iter.Seq[A], f func(A) B) iter.Seq[B] {
	return func(yield func(B) bool) {
		for a := range all {
			if !yield(f(a)) {
				return
			}
		}
	}
}

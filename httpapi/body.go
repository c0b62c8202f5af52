package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"yakt/records"
)

const (
	// maxBodyBytes is far above what any route takes: the largest honest body names the replicas of a partition or sets the
	// configs of a topic.
	maxBodyBytes = 1 << 20
	// smallBodyBytes is what a body may have without a share of Config.MaxBodiesBytes, so that those who use that up shut nobody out
	// whose request is of the usual size.
	smallBodyBytes = 4 << 10
)

// takeBody reads a request's body into memory, which bounds it in size and, by the server's read timeout, in time.
// Afterwards the request may take as long as the commit does. release is called when the body is not needed any more.
func (s *Server) takeBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), p *problem) {
	deadline := http.NewResponseController(w) // recorders in tests have no connection and say so; there is nothing to set then
	limited := http.MaxBytesReader(w, r.Body, maxBodyBytes)
	if r.ContentLength > maxBodyBytes {
		return nil, nil, tooLarge()
	}
	release = func() {}
	body, err := io.ReadAll(io.LimitReader(limited, smallBodyBytes))
	if err == nil && len(body) == smallBodyBytes {
		size := r.ContentLength
		if size < 0 {
			size = maxBodyBytes
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.config.BodyTimeout)
		defer cancel()
		if s.bodies.Acquire(ctx, size) != nil {
			w.Header().Set("Connection", "close") // as below
			return nil, nil, refuse(http.StatusServiceUnavailable,
				"Too many requests with large bodies are under way. Nothing was changed; send the request again in a moment.")
		}
		release = func() { s.bodies.Release(size) }
		deadline.SetReadDeadline(time.Now().Add(s.config.BodyTimeout)) // the wait was not the client's fault
		all := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
		all.Write(body)
		_, err = all.ReadFrom(limited)
		body = all.Bytes()
	}
	if err != nil {
		release()
	}
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, nil, tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close") // the rest may still come, and would be taken for the next request
		return nil, nil, refuse(http.StatusRequestTimeout, "The body did not arrive in time.")
	case err != nil:
		return nil, nil, refuse(http.StatusBadRequest, "The body cannot be read: %v.", err)
	}
	// Without this the server takes a request that is answered later than the timeout for one whose sender hung up.
	deadline.SetReadDeadline(time.Time{})
	return body, release, nil
}

func tooLarge() *problem {
	return refuse(http.StatusRequestEntityTooLarge, "The body has more than %d bytes.", maxBodyBytes)
}

// parseBody reads a JSON object into a struct, by the struct's tags: an unknown, repeated or misspelled field is
// refused, since whoever sent it meant something that would not happen. Fields that are pointers, slices or maps may be
// left out or null, all others have to be there. A body without any field may be left out altogether.
func parseBody(body []byte, into any) *problem {
	target := reflect.ValueOf(into).Elem()
	fields, names := map[string]reflect.Value{}, []string(nil)
	for i := range target.NumField() {
		name := target.Type().Field(i).Tag.Get("json")
		fields[name], names = target.Field(i), append(names, name)
	}
	if len(names) == 0 && len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	takes := "this route takes none"
	if len(names) > 0 {
		takes = "this route takes " + strings.Join(names, ", ")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return badRequest("There is no body: it must be a JSON object; %s.", takes)
	}
	if !utf8.Valid(body) {
		return badRequest("The body is not UTF-8.")
	}
	seen := map[string]bool{}
	err := eachMember(body, func(name string, value json.RawMessage) error {
		field, ok := fields[name]
		switch {
		case !ok:
			return badRequest("There is no field %s: %s.", quoted(name), takes)
		case seen[name]:
			return badRequest("The field %s is there twice.", name)
		case string(value) == "null" && optional(field):
			return nil
		case string(value) == "null" || json.Unmarshal(value, field.Addr().Interface()) != nil:
			return badRequest("The field %s must be %s, not %s.", name, wanted(field.Type()), excerpt(value))
		}
		seen[name] = true
		return nil
	})
	if p := (*problem)(nil); errors.As(err, &p) {
		return p
	} else if err != nil {
		return badRequest("The body is not JSON: %v.", err)
	}
	for _, name := range names {
		if !seen[name] && !optional(fields[name]) {
			return badRequest("The field %s is missing: it must be %s.", name, wanted(fields[name].Type()))
		}
	}
	return nil
}

// eachMember calls f for every member of the JSON object that text must be, in order and with repetitions, which
// encoding/json hides.
func eachMember(text []byte, f func(name string, value json.RawMessage) error) error {
	if !json.Valid(text) {
		return badRequest("The body is not JSON: %v.", json.Unmarshal(text, new(any)))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return badRequest("The body must be a JSON object.")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := f(name.(string), value); err != nil {
			return err
		}
	}
	return nil
}

func optional(field reflect.Value) bool {
	return slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map}, field.Kind())
}

// wanted says what a field of this type takes.
func wanted(t reflect.Type) string {
	if described, ok := reflect.New(t).Interface().(interface{ wanted() string }); ok {
		return described.wanted()
	}
	switch {
	case t.Kind() == reflect.Pointer:
		return wanted(t.Elem())
	case t == reflect.TypeFor[records.UUID]():
		return "an id of 22 characters, as this server shows ids"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of %d bits", t.Bits())
	case reflect.Uint16:
		return "a whole number from 0 to 65535"
	case reflect.String:
		return "a text"
	}
	panic(fmt.Sprintf("httpapi: no words for %v", t))
}

// excerpt is a value as far as it fits into a sentence.
func excerpt(value json.RawMessage) string {
	const most = 40
	if len(value) <= most {
		return string(value)
	}
	return strings.ToValidUTF8(string(value[:most]), "") + "…"
}

// quoted is a name of the client's choice, as a part of a sentence.
func quoted(name string) string {
	text, err := encode(name)
	if err != nil {
		panic(err) // a text always encodes
	}
	return excerpt(text)
}

// idList is a list of broker ids. A null among them would become a 0.
type idList []int32

func (*idList) wanted() string { return "a list of broker ids" }

// UnmarshalJSON implements json.Unmarshaler.
func (l *idList) UnmarshalJSON(text []byte) error { return unmarshalList(text, (*[]int32)(l)) }

// uuidList is a list of directory ids.
type uuidList []records.UUID

func (*uuidList) wanted() string { return "a list of directory ids of 22 characters each" }

// UnmarshalJSON implements json.Unmarshaler.
func (l *uuidList) UnmarshalJSON(text []byte) error { return unmarshalList(text, (*[]records.UUID)(l)) }

func unmarshalList[T any](text []byte, into *[]T) error {
	var elements []*T
	if err := json.Unmarshal(text, &elements); err != nil {
		return err
	}
	*into = []T{} // an empty list is not the same as none
	for _, e := range elements {
		if e == nil {
			return errors.New("null in a list")
		}
		*into = append(*into, *e)
	}
	return nil
}

// textMap is an object of texts, each name once.
type textMap map[string]string

func (*textMap) wanted() string {
	return `an object whose values are texts, each name once ({"retention.ms": "1000"})`
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *textMap) UnmarshalJSON(text []byte) error {
	*m = textMap{}
	return eachMember(text, func(name string, value json.RawMessage) error {
		var s *string
		if err := json.Unmarshal(value, &s); err != nil || s == nil {
			return errors.New("not a text")
		}
		if _, ok := (*m)[name]; ok {
			return errors.New("twice")
		}
		(*m)[name] = *s
		return nil
	})
}

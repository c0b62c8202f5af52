// Package configs knows the configs of Apache Kafka 4.3.0: what they are called, what may be set, what holds when nothing
// is set. Plans check with it, queries describe with it.
//
// Parts: this file says what a definition is, and one file for each kind of resource lists them.
//
// Rules: as for everything that decides: no I/O, no clock, no state. Nothing here knows the image.
package configs

import (
	"fmt"
	"iter"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Def defines one config: what it is called, what may be set, and what holds when nothing is set.
type Def struct {
	Name    string
	Type    kmsg.ConfigType
	Default string
	// Synonyms are the broker configs that a topic inherits this one from, the strongest first.
	Synonyms []Synonym
	// Internal configs may be set but are listed only where they are.
	Internal bool

	rule rule
}

// Synonym is a broker config that stands for a topic config, maybe in another unit.
type Synonym struct {
	Name string
	unit time.Duration // of the number, when the topic config counts milliseconds in another unit; 0: the same value
}

// rule is what a value of the right type must also obey.
type rule struct {
	allowed string // completes "it must be …"; empty: everything of the type
	ok      func(value any) bool
}

// MaxValue is how long a value may be: brokers read it as a string with a 16-bit length.
const MaxValue = math.MaxInt16

// find returns a definition from a table that is sorted by name.
func find(table []Def, name string) (*Def, bool) {
	i, ok := slices.BinarySearchFunc(table, name, func(d Def, name string) int { return strings.Compare(d.Name, name) })
	if !ok {
		return nil, false
	}
	return &table[i], true
}

func each(table []Def) iter.Seq[*Def] {
	return func(yield func(*Def) bool) {
		for i := range table {
			if !yield(&table[i]) {
				return
			}
		}
	}
}

// Check says why the value cannot be set, in a sentence; nothing when it can.
func (d *Def) Check(value string) string {
	if len(value) > MaxValue {
		return fmt.Sprintf("The value of %s has %d bytes; at most %d are allowed.", d.Name, len(value), MaxValue)
	}
	parsed, ok := d.Parse(value)
	if ok && d.rule.ok != nil {
		ok = d.rule.ok(parsed)
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("%s cannot be %s: it must be %s.", d.Name, Quote(value), d.Allowed())
}

// Allowed says in words what may be set.
func (d *Def) Allowed() string {
	kind := ""
	switch d.Type {
	case kmsg.ConfigTypeBoolean:
		kind = "true or false"
	case kmsg.ConfigTypeInt:
		kind = "a whole number of 32 bits"
	case kmsg.ConfigTypeLong:
		kind = "a whole number of 64 bits"
	case kmsg.ConfigTypeDouble:
		kind = "a decimal number"
	}
	switch {
	case kind == "":
		return d.rule.allowed
	case d.rule.allowed == "":
		return kind
	}
	return kind + ", " + d.rule.allowed
}

// Parse reads a value as Kafka does: a bool, an int64, a float64, a string or a []string.
func (d *Def) Parse(value string) (any, bool) {
	value = trim(value)
	switch d.Type {
	case kmsg.ConfigTypeBoolean:
		switch strings.ToLower(value) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
		return nil, false
	case kmsg.ConfigTypeInt:
		n, err := strconv.ParseInt(value, 10, 32)
		return n, err == nil
	case kmsg.ConfigTypeLong:
		n, err := strconv.ParseInt(value, 10, 64)
		return n, err == nil
	case kmsg.ConfigTypeDouble:
		// Of the notations of Go and of Java, only what both read.
		f, err := strconv.ParseFloat(value, 64)
		return f, err == nil && strings.Trim(value, "0123456789.+-eE") == ""
	case kmsg.ConfigTypeList:
		if value == "" {
			return []string(nil), true
		}
		list := strings.Split(value, ",")
		for i := range list {
			list[i] = trim(list[i])
		}
		return list, true
	}
	return value, true
}

// Quote quotes what a request said so that it fits into a message: clients take at most 32767 bytes.
func Quote(s string) string {
	const most = 100
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:most]) + "…"
}

// True reads a value that is true or false; ok is false when it is neither.
func True(value string) (on, ok bool) {
	v, ok := (&Def{Type: kmsg.ConfigTypeBoolean}).Parse(value)
	if !ok {
		return false, false
	}
	return v.(bool), true
}

// trim removes what Java trims from a value.
func trim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }

func same(names ...string) []Synonym {
	var out []Synonym
	for _, name := range names {
		out = append(out, Synonym{Name: name})
	}
	return out
}

func number(value any) float64 {
	if n, ok := value.(int64); ok {
		return float64(n)
	}
	return value.(float64)
}

func atLeast(least int64) rule {
	return rule{fmt.Sprintf("%d or more", least), func(v any) bool { return v.(int64) >= least }}
}

func between(least, most int64) rule {
	return rule{fmt.Sprintf("from %d to %d", least, most), func(v any) bool {
		n := number(v)
		return n >= float64(least) && n <= float64(most)
	}}
}

var gzipLevel = rule{"from 1 to 9, or -1 for gzip's own choice", func(v any) bool {
	n := v.(int64)
	return n == -1 || n >= 1 && n <= 9
}}

func oneOf(values ...string) rule {
	return rule{"one of " + strings.Join(values, ", "), func(v any) bool { return slices.Contains(values, v.(string)) }}
}

func subsetOf(values ...string) rule {
	return rule{"a list of any of " + strings.Join(values, ", "), func(v any) bool {
		for _, s := range v.([]string) {
			if !slices.Contains(values, s) {
				return false
			}
		}
		return true
	}}
}

var (
	throttledReplica  = regexp.MustCompile(`^([0-9]+:[0-9]+)?$`)
	throttledReplicas = rule{"* for all replicas, or a list of partition:broker", func(v any) bool {
		list := v.([]string)
		return strings.Join(list, "") == "*" ||
			!slices.ContainsFunc(list, func(s string) bool { return !throttledReplica.MatchString(s) })
	}}
)

package image

import (
	"cmp"
	"iter"

	"github.com/tidwall/btree"
)

// owner marks what one Edit has made since it last handed out an Image: only those nodes may be changed in place.
// It is compared by address, so it must not be of size zero.
type owner struct{ _ byte }

// tree is an ordered map that shares its nodes with the images it was copied from. The zero value is empty.
// Copying the struct is all it takes to keep a version: whoever writes next, under another owner, copies first.
type tree[K cmp.Ordered, V any] struct {
	m  *btree.Map[K, V]
	by *owner
}

// own makes the tree writable for o. Other goroutines may do the same with their copies of the tree at the same time,
// which is why the map is copied as a struct before btree.Map.Copy, which writes to what it copies.
func (t *tree[K, V]) own(o *owner) {
	switch {
	case t.by == o:
	case t.m == nil:
		t.m, t.by = new(btree.Map[K, V]), o
	default:
		m := *t.m
		t.m, t.by = m.Copy(), o
	}
}

func (t *tree[K, V]) set(o *owner, key K, value V) {
	t.own(o)
	t.m.Set(key, value)
}

func (t *tree[K, V]) delete(o *owner, key K) bool {
	if _, ok := t.get(key); !ok {
		return false
	}
	t.own(o)
	t.m.Delete(key)
	return true
}

func (t *tree[K, V]) get(key K) (V, bool) {
	if t.m == nil {
		var zero V
		return zero, false
	}
	return t.m.Get(key)
}

func (t *tree[K, V]) len() int {
	if t.m == nil {
		return 0
	}
	return t.m.Len()
}

func (t *tree[K, V]) scan(yield func(K, V) bool) {
	if t.m != nil {
		t.m.Scan(yield)
	}
}

// from calls yield for the keys not less than key, in order.
func (t *tree[K, V]) from(key K, yield func(K, V) bool) {
	if t.m != nil {
		t.m.Ascend(key, yield)
	}
}

func (t *tree[K, V]) values() iter.Seq[V] {
	m := t.m
	return func(yield func(V) bool) {
		if m != nil {
			m.Scan(func(_ K, v V) bool { return yield(v) })
		}
	}
}

// appendText appends s to a composite key so that keys order as their parts do and no two lists of parts give one key.
func appendText(key []byte, s string) []byte {
	for i := range len(s) {
		key = append(key, s[i])
		if s[i] == 0 {
			key = append(key, 0xff)
		}
	}
	return append(key, 0, 1)
}

package jinja

import (
	"strings"
)

// Dict is a mapping that keeps the order of its keys, as Python's does. The zero value is empty.
type Dict struct {
	keys   []Value
	values []Value
	at     map[any]int
}

// NewDict returns an empty mapping.
func NewDict() *Dict { return &Dict{} }

// Len returns the number of keys.
func (d *Dict) Len() int { return len(d.keys) }

// Get returns the value of a key, a string mostly.
func (d *Dict) Get(key Value) (Value, bool) {
	i, ok := d.at[hashKey(key)]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

// Set gives a key a value; a new key goes to the end.
func (d *Dict) Set(key, value Value) {
	h := hashKey(key)
	if i, ok := d.at[h]; ok {
		d.values[i] = value
		return
	}
	if d.at == nil {
		d.at = make(map[any]int)
	}
	d.at[h] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

func (d *Dict) clone() *Dict {
	c := NewDict()
	for i, k := range d.keys {
		c.Set(k, d.values[i])
	}
	return c
}

// pairs returns the items as tuples.
func (d *Dict) pairs() []Value {
	items := make([]Value, len(d.keys))
	for i, k := range d.keys {
		items[i] = &Tuple{[]Value{k, d.values[i]}}
	}
	return items
}

// tupleKey is a tuple as a map key: its printed form.
type tupleKey string

// hashKey makes keys that are equal in Python equal in a Go map: 1, 1.0 and True; text and safe text.
func hashKey(v Value) any {
	if t, ok := asText(v); ok {
		return t
	}
	if n, ok := asInt(v); ok {
		return n
	}
	switch v := v.(type) {
	case float64:
		if n := int64(v); float64(n) == v {
			return n
		}
	case *Tuple:
		var b strings.Builder
		repr(&b, 0, v, 0)
		return tupleKey(b.String())
	}
	return v
}

// hashable fails if a value cannot be a key.
func (s *state) hashable(line int, v Value) Value {
	s.spend(line, 1)
	switch v := v.(type) {
	case *List, *Dict:
		fail(line, "unhashable type: '%s'", typeName(v))
	case *Tuple:
		for _, x := range v.items {
			s.hashable(line, x)
		}
	}
	return v
}

// Merge returns a mapping with the keys of both; where they share one, over's value counts.
func Merge(under, over *Dict) *Dict {
	d := under.clone()
	for i, k := range over.keys {
		d.Set(k, over.values[i])
	}
	return d
}

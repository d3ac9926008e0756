package jinja

import (
	"strings"
)

// equal is Python's ==.
func (s *state) equal(line int, a, b Value) bool {
	s.spend(line, 1)
	if x, ok := asText(a); ok {
		y, ok := asText(b)
		return ok && x == y
	}
	if x, ok := asInt(a); ok {
		if y, ok := asInt(b); ok {
			return x == y
		}
	}
	if x, ok := asFloat(a); ok {
		y, ok := asFloat(b)
		return ok && x == y
	}
	each := func(x, y []Value) bool {
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if !s.equal(line, x[i], y[i]) {
				return false
			}
		}
		return true
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case Number:
		y, ok := b.(Number)
		return ok && x == y
	case *List:
		y, ok := b.(*List)
		return ok && each(x.items, y.items)
	case *Tuple:
		y, ok := b.(*Tuple)
		return ok && each(x.items, y.items)
	case *Dict:
		y, ok := b.(*Dict)
		if !ok || x.Len() != y.Len() {
			return false
		}
		for i, k := range x.keys {
			v, ok := y.Get(k)
			if !ok || !s.equal(line, x.values[i], v) {
				return false
			}
		}
		return true
	case *Undefined:
		_, ok := b.(*Undefined)
		return ok
	case span:
		y, ok := b.(span)
		return ok && x == y
	}
	return a == b
}

// less is Python's <, which fails between values of different kinds.
func (s *state) less(line int, a, b Value, op string) bool {
	if x, ok := asText(a); ok {
		if y, ok := asText(b); ok {
			return x < y // byte order of UTF-8 is the order of code points
		}
	}
	if x, ok := asInt(a); ok {
		if y, ok := asInt(b); ok {
			return x < y
		}
	}
	if x, ok := asFloat(a); ok {
		if y, ok := asFloat(b); ok {
			return x < y
		}
	}
	x, okx := sequence(a)
	y, oky := sequence(b)
	if okx && oky && typeName(a) == typeName(b) {
		for i := range min(len(x), len(y)) {
			if !s.equal(line, x[i], y[i]) {
				return s.less(line, x[i], y[i], op)
			}
		}
		return len(x) < len(y)
	}
	for _, v := range []Value{a, b} {
		if u, ok := v.(*Undefined); ok {
			u.fail(line)
		}
	}
	fail(line, "'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
	return false
}

// contains is Python's x in v.
func contains(s *state, line int, v, x Value) bool {
	if t, ok := asText(v); ok {
		part, ok := asText(x)
		if !ok {
			if u, is := x.(*Undefined); is {
				u.fail(line)
			}
			fail(line, "'in <string>' requires string as left operand, not %s", typeName(x))
		}
		return strings.Contains(t, part)
	}
	if d, ok := v.(*Dict); ok {
		_, found := d.Get(s.hashable(line, x))
		return found
	}
	switch v.(type) {
	case nil, bool, int64, float64, Number, *function, *macro, *namespace, *loop:
		fail(line, "argument of type '%s' is not iterable", typeName(v))
	}
	for _, y := range iterate(s, line, v) {
		if s.equal(line, x, y) {
			return true
		}
	}
	return false
}

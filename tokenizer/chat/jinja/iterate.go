package jinja

import (
	"unicode/utf8"
)

// sequence returns the items of a list or tuple.
func sequence(v Value) ([]Value, bool) {
	switch v := v.(type) {
	case *List:
		return v.items, true
	case *Tuple:
		return v.items, true
	}
	return nil, false
}

// iterate returns the items that a for loop over v goes through.
func iterate(s *state, line int, v Value) []Value {
	switch v := v.(type) {
	case *List:
		return v.items
	case *Tuple:
		return v.items
	case *Dict:
		return v.keys
	case *view:
		return v.items
	case *generator:
		items := v.items
		v.items = nil
		return items
	case span:
		n := v.len()
		s.spend(line, n)
		items := make([]Value, n)
		for i := range items {
			items[i] = v.start + int64(i)*v.step
		}
		return items
	case *Undefined:
		return nil
	}
	if t, ok := asText(v); ok {
		s.spend(line, int64(len(t)))
		items := make([]Value, 0, len(t))
		for _, r := range t {
			items = append(items, string(r))
		}
		return items
	}
	fail(line, "'%s' object is not iterable", typeName(v))
	return nil
}

// length is Python's len(v); false if it has none.
func length(v Value) (int64, bool) {
	switch v := v.(type) {
	case string:
		return int64(utf8.RuneCountInString(v)), true
	case Safe:
		return int64(utf8.RuneCountInString(string(v))), true
	case *List:
		return int64(len(v.items)), true
	case *Tuple:
		return int64(len(v.items)), true
	case *Dict:
		return int64(v.Len()), true
	case *view:
		return int64(len(v.items)), true
	case span:
		return v.len(), true
	case *loop:
		return int64(len(v.items)), true
	case *Undefined:
		return 0, true
	}
	return 0, false
}

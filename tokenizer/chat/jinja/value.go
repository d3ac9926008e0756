package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Value is a value of the template language: nil (Python's None), bool, int64, float64, string, [Safe], [Number], *List, *Tuple,
// *Dict, *Undefined, and what the package makes itself (namespaces, macros, methods, generators, ranges).
type Value any

// Safe is text that is marked as safe from escaping. It matters where it is joined by +, which escapes the other side.
type Safe string

// Number is an integer too large for an int64. It can be printed and compared, not calculated with.
type Number string

// List and Tuple are Python's. They do not change once made.
type (
	List  struct{ items []Value }
	Tuple struct{ items []Value }
)

// NewList returns a list of items, which it keeps.
func NewList(items ...Value) *List { return &List{items} }

// Undefined stands for what is not there. It prints as nothing; most other uses fail with its message.
type Undefined struct{ message string }

// generator is a sequence that can be gone through once.
type generator struct {
	items []Value
	what  string
}

// view is what dict.keys(), values() and items() return.
type view struct {
	items []Value
	what  string
}

// span is Python's range.
type span struct{ start, stop, step int64 }

func (r span) len() int64 {
	switch {
	case r.step > 0 && r.start < r.stop:
		return (r.stop-r.start-1)/r.step + 1
	case r.step < 0 && r.start > r.stop:
		return (r.start-r.stop-1)/-r.step + 1
	}
	return 0
}

// namespace is an object whose attributes a template may set.
type namespace struct{ vars *Dict }

// function is anything callable but a macro.
type function struct {
	name string
	call func(s *state, line int, args []Value, named []namedValue) Value
}

type namedValue struct {
	name  string
	value Value
}

// typeName is the name that Python gives a value's type.
func typeName(v Value) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, Number:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case Safe:
		return "Markup"
	case *List:
		return "list"
	case *Tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case *Undefined:
		return "Undefined"
	case *generator:
		return v.what
	case *view:
		return v.what
	case span:
		return "range"
	case *namespace:
		return "Namespace"
	case *macro:
		return "Macro"
	case *loop:
		return "LoopContext"
	}
	return "function"
}

// objectName is how an error message names a value that lacks an attribute.
func objectName(v Value) string {
	if v == nil {
		return "None"
	}
	return "'" + typeName(v) + " object'"
}

// asText returns a string value's text.
func asText(v Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case Safe:
		return string(v), true
	}
	return "", false
}

// asInt returns an integer's value; Python's bool is one.
func asInt(v Value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func asFloat(v Value) (float64, bool) {
	if f, ok := v.(float64); ok {
		return f, true
	}
	n, ok := asInt(v)
	return float64(n), ok
}

// truth is Python's bool(v).
func truth(v Value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case Safe:
		return v != ""
	case *List:
		return len(v.items) > 0
	case *Tuple:
		return len(v.items) > 0
	case *Dict:
		return v.Len() > 0
	case *view:
		return len(v.items) > 0
	case span:
		return v.len() > 0
	case *Undefined:
		return false
	}
	return true
}

func (u *Undefined) fail(line int) { fail(line, "%s", u.message) }

// text is Python's str(v).
func text(line int, v Value) string {
	switch v := v.(type) {
	case string:
		return v
	case Safe:
		return string(v)
	case *Undefined:
		return ""
	}
	var b strings.Builder
	repr(&b, line, v, 0)
	return b.String()
}

// repr writes Python's repr(v).
func repr(b *strings.Builder, line int, v Value, depth int) {
	if depth > maxNest || b.Len() > maxOutput {
		fail(line, "a value is too large to print")
	}
	list := func(open string, items []Value, end string) {
		b.WriteString(open)
		for i, x := range items {
			if i > 0 {
				b.WriteString(", ")
			}
			repr(b, line, x, depth+1)
		}
		b.WriteString(end)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case Number:
		b.WriteString(string(v))
	case float64:
		b.WriteString(floatText(v))
	case string:
		reprText(b, v)
	case Safe:
		b.WriteString("Markup(")
		reprText(b, string(v))
		b.WriteByte(')')
	case *List:
		list("[", v.items, "]")
	case *Tuple:
		if len(v.items) == 1 {
			list("(", v.items, ",)")
			return
		}
		list("(", v.items, ")")
	case *Dict:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			repr(b, line, k, depth+1)
			b.WriteString(": ")
			repr(b, line, v.values[i], depth+1)
		}
		b.WriteByte('}')
	case *Undefined:
		b.WriteString("Undefined")
	case *view:
		list(v.what+"([", v.items, "])")
	case span:
		fmt.Fprintf(b, "range(%d, %d", v.start, v.stop)
		if v.step != 1 {
			fmt.Fprintf(b, ", %d", v.step)
		}
		b.WriteByte(')')
	case *namespace:
		b.WriteString("<Namespace ")
		repr(b, line, v.vars, depth+1)
		b.WriteByte('>')
	default:
		fail(line, "a %s has no text", typeName(v))
	}
}

// floatText is Python's repr of a float: the shortest digits that give it back, with an exponent below 1e-4 and from 1e16 on.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f != 0 && (math.Abs(f) < 1e-4 || math.Abs(f) >= 1e16):
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// reprText writes Python's repr of a string: in single quotes unless it has only single ones inside.
func reprText(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x7f || printable(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteByte(quote)
}

// printable is Python's str.isprintable for one character.
func printable(r rune) bool {
	return r == ' ' || unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}

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

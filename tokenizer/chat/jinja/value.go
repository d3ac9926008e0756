package jinja

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

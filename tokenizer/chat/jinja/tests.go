package jinja

import (
	"strings"
	"unicode"
)

// tests are the tests by name: what follows is.
var tests map[string]func(c *call, x Value) bool

func init() {
	kind := func(is func(v Value) bool) func(*call, Value) bool {
		return func(c *call, x Value) bool {
			c.params("")
			return is(x)
		}
	}
	comparison := func(op string) func(*call, Value) bool {
		return func(c *call, x Value) bool { return compare(c.s, c.line, op, x, c.one("other")) }
	}
	remains := func(c *call, x, by Value, want int64) bool {
		return c.s.equal(c.line, arithmetic(c.s, c.line, "%", x, by), want)
	}
	tests = map[string]func(c *call, x Value) bool{
		"boolean":     kind(func(v Value) bool { _, ok := v.(bool); return ok }),
		"callable":    kind(callable),
		"defined":     kind(func(v Value) bool { _, ok := v.(*Undefined); return !ok }),
		"divisibleby": func(c *call, x Value) bool { return remains(c, x, c.one("num"), 0) },
		"eq":          comparison("=="),
		"escaped":     kind(func(v Value) bool { _, ok := v.(Safe); return ok }),
		"even":        func(c *call, x Value) bool { c.params(""); return remains(c, x, int64(2), 0) },
		"false":       kind(func(v Value) bool { return v == false }),
		"filter":      func(c *call, x Value) bool { c.params(""); _, ok := filters[text(c.line, x)]; return ok },
		"float":       kind(func(v Value) bool { _, ok := v.(float64); return ok }),
		"ge":          comparison(">="),
		"gt":          comparison(">"),
		"in":          func(c *call, x Value) bool { return contains(c.s, c.line, c.one("seq"), x) },
		"integer":     kind(func(v Value) bool { n := typeName(v); return n == "int" }),
		"iterable":    kind(iterable),
		"le":          comparison("<="),
		"lower":       func(c *call, x Value) bool { return cased(unicode.IsLower, unicode.IsUpper)(c, text(c.line, x)).(bool) },
		"lt":          comparison("<"),
		"mapping":     kind(func(v Value) bool { _, ok := v.(*Dict); return ok }),
		"ne":          comparison("!="),
		"none":        kind(func(v Value) bool { return v == nil }),
		"number":      kind(func(v Value) bool { return strings.Contains("bool int float", typeName(v)) }),
		"odd":         func(c *call, x Value) bool { c.params(""); return remains(c, x, int64(2), 1) },
		"sameas":      func(c *call, x Value) bool { return x == c.one("other") },
		"sequence":    kind(isSequence),
		"string":      kind(isText),
		"test":        func(c *call, x Value) bool { c.params(""); _, ok := tests[text(c.line, x)]; return ok },
		"true":        kind(func(v Value) bool { return v == true }),
		"undefined":   kind(func(v Value) bool { _, ok := v.(*Undefined); return ok }),
		"upper":       func(c *call, x Value) bool { return cased(unicode.IsUpper, unicode.IsLower)(c, text(c.line, x)).(bool) },
	}
	for short, long := range map[string]string{"==": "eq", "equalto": "eq", "!=": "ne", ">": "gt", "greaterthan": "gt", ">=": "ge", "<": "lt",
		"lessthan": "lt", "<=": "le"} {
		tests[short] = tests[long]
	}
}

func callable(v Value) bool {
	switch v.(type) {
	case *function, *macro, *loop, *Undefined:
		return true
	}
	return false
}

func iterable(v Value) bool {
	switch v.(type) {
	case string, Safe, *List, *Tuple, *Dict, *view, *generator, span, *Undefined, *loop:
		return true
	}
	return false
}

// isSequence is whether a value has a length and can be indexed.
func isSequence(v Value) bool {
	switch v.(type) {
	case string, Safe, *List, *Tuple, *Dict, span, *Undefined:
		return true
	}
	return false
}

package jinja

import (
	"math"
	"strings"
)

// arithmetic is Python's binary operators.
func arithmetic(s *state, line int, op string, a, b Value) Value {
	for _, v := range []Value{a, b} {
		if u, ok := v.(*Undefined); ok && !(op == "%" && isText(a)) {
			u.fail(line)
		}
	}
	if t, ok := asText(a); ok && op == "%" {
		r := percentFormat(line, t, b)
		s.bound(line, len(r))
		return r
	}
	switch op {
	case "+":
		if v, ok := join(s, line, a, b); ok {
			return v
		}
	case "*":
		if v, ok := repeat(s, line, a, b); ok {
			return v
		}
		if v, ok := repeat(s, line, b, a); ok {
			return v
		}
	}
	x, ok1 := asInt(a)
	y, ok2 := asInt(b)
	if ok1 && ok2 && op != "/" {
		if v, ok := integers(line, op, x, y); ok {
			return v
		}
	}
	f, ok1 := asFloat(a)
	g, ok2 := asFloat(b)
	if ok1 && ok2 {
		return floats(line, op, f, g)
	}
	if op == "+" && isText(a) {
		fail(line, `can only concatenate str (not "%s") to str`, typeName(b))
	}
	fail(line, "unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(a), typeName(b))
	return nil
}

func isText(v Value) bool {
	_, ok := asText(v)
	return ok
}

// join is + for strings, lists and tuples. Safe text escapes what it is joined to.
func join(s *state, line int, a, b Value) (Value, bool) {
	x, ok1 := asText(a)
	y, ok2 := asText(b)
	if ok1 && ok2 {
		s.bound(line, len(x)+len(y))
		_, safe1 := a.(Safe)
		_, safe2 := b.(Safe)
		switch {
		case !safe1 && !safe2:
			return x + y, true
		case !safe1:
			x = escape(x)
		case !safe2:
			y = escape(y)
		}
		return Safe(x + y), true
	}
	p, ok1 := sequence(a)
	q, ok2 := sequence(b)
	if !ok1 || !ok2 || typeName(a) != typeName(b) {
		return nil, false
	}
	s.spend(line, int64(len(p)+len(q)))
	items := append(append(make([]Value, 0, len(p)+len(q)), p...), q...)
	if _, ok := a.(*List); ok {
		return &List{items}, true
	}
	return &Tuple{items}, true
}

// repeat is * of a string, list or tuple with a count.
func repeat(s *state, line int, a, count Value) (Value, bool) {
	n, ok := asInt(count)
	if !ok {
		return nil, false
	}
	n = max(n, 0)
	if t, ok := asText(a); ok {
		if t == "" {
			n = 0
		}
		if n > 0 && int64(len(t)) > maxOutput/n {
			fail(line, "a string of more than %d bytes", maxOutput)
		}
		r := strings.Repeat(t, int(n))
		s.spend(line, int64(len(r)))
		if _, safe := a.(Safe); safe {
			return Safe(r), true
		}
		return r, true
	}
	items, ok := sequence(a)
	if !ok {
		return nil, false
	}
	if n > 0 && int64(len(items)) > maxOutput/n {
		fail(line, "a list of more than %d items", maxOutput)
	}
	s.spend(line, int64(len(items))*n)
	var out []Value
	for range n {
		out = append(out, items...)
	}
	if _, ok := a.(*List); ok {
		return &List{out}, true
	}
	return &Tuple{out}, true
}

// integers is arithmetic on integers; division rounds down and a remainder has the divisor's sign. false: the result is no
// integer.
func integers(line int, op string, x, y int64) (Value, bool) {
	switch op {
	case "+":
		if r := x + y; (r > x) == (y > 0) {
			return r, true
		}
	case "-":
		if r := x - y; (r < x) == (y > 0) {
			return r, true
		}
	case "*":
		if x == 0 || y == 0 {
			return int64(0), true
		}
		if r := x * y; r/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64) {
			return r, true
		}
	case "//", "%":
		if y == 0 {
			fail(line, "integer division or modulo by zero")
		}
		if y == -1 {
			if op == "%" {
				return int64(0), true
			}
			return integers(line, "*", x, -1)
		}
		q, r := x/y, x%y
		if r != 0 && (r < 0) != (y < 0) {
			q, r = q-1, r+y
		}
		if op == "%" {
			return r, true
		}
		return q, true
	case "**":
		if y < 0 {
			return nil, false
		}
		r := int64(1)
		for ; y > 0; y-- {
			v, _ := integers(line, "*", r, x)
			if r = v.(int64); r == 0 || r == 1 && x == 1 {
				break
			}
			if x == -1 {
				y %= 2
				if y == 0 {
					break
				}
			}
		}
		return r, true
	}
	fail(line, "the result of %d %s %d is out of range", x, op, y)
	return nil, false
}

func floats(line int, op string, x, y float64) Value {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		return math.Pow(x, y)
	}
	if y == 0 {
		fail(line, "division by zero")
	}
	switch op {
	case "/":
		return x / y
	case "//":
		return math.Floor(x / y)
	}
	r := math.Mod(x, y)
	if r != 0 && (r < 0) != (y < 0) {
		r += y
	}
	return r
}

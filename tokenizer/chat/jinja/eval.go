package jinja

import (
	"math"
	"strings"
)

func (c *constant) eval(*state) Value { return c.value }

func (v *variable) eval(s *state) Value {
	if x, ok := s.scope.get(v.name); ok {
		return x
	}
	if x, ok := globals[v.name]; ok {
		return x
	}
	return &Undefined{message: quoteName(v.name) + " is undefined"}
}

func quoteName(n string) string { return "'" + n + "'" }

func evalAll(s *state, items []expr) []Value {
	values := make([]Value, len(items))
	for i, x := range items {
		values[i] = x.eval(s)
	}
	return values
}

func (l *listExpr) eval(s *state) Value { return &List{evalAll(s, l.items)} }

func (t *tupleExpr) eval(s *state) Value { return &Tuple{evalAll(s, t.items)} }

func (d *dictExpr) eval(s *state) Value {
	dict := NewDict()
	for i, k := range d.keys {
		key := s.hashable(d.line, k.eval(s))
		dict.Set(key, d.values[i].eval(s))
	}
	return dict
}

func (c *condExpr) eval(s *state) Value {
	if truth(c.test.eval(s)) {
		return c.then.eval(s)
	}
	if c.otherwise != nil {
		return c.otherwise.eval(s)
	}
	return &Undefined{message: "the inline if-expression evaluated to false and no else section was defined."}
}

func (l *logicExpr) eval(s *state) Value {
	x := l.left.eval(s)
	if truth(x) == l.and {
		return l.right.eval(s)
	}
	return x
}

func (n *notExpr) eval(s *state) Value { return !truth(n.x.eval(s)) }

func (u *unaryExpr) eval(s *state) Value {
	x := u.x.eval(s)
	if n, ok := asInt(x); ok {
		if u.op == "-" {
			return -n
		}
		return n
	}
	if f, ok := x.(float64); ok {
		if u.op == "-" {
			return -f
		}
		return f
	}
	if v, ok := x.(*Undefined); ok {
		v.fail(u.line)
	}
	fail(u.line, "bad operand type for unary %s: '%s'", u.op, typeName(x))
	return nil
}

func (c *concatExpr) eval(s *state) Value {
	var b strings.Builder
	for _, x := range c.items {
		b.WriteString(text(s.line, x.eval(s)))
		s.bound(s.line, b.Len())
	}
	return b.String()
}

func (c *compareExpr) eval(s *state) Value {
	left := c.first.eval(s)
	for i, op := range c.ops {
		s.spend(c.line, 1)
		right := c.rest[i].eval(s)
		if !compare(s, c.line, op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func compare(s *state, line int, op string, a, b Value) bool {
	switch op {
	case "==":
		return s.equal(line, a, b)
	case "!=":
		return !s.equal(line, a, b)
	case "<":
		return s.less(line, a, b, op)
	case ">":
		return s.less(line, b, a, op)
	case "<=":
		return !unordered(a, b) && !s.less(line, b, a, op)
	case ">=":
		return !unordered(a, b) && !s.less(line, a, b, op)
	case "in":
		return contains(s, line, b, a)
	}
	return !contains(s, line, b, a)
}

// unordered tells whether a or b is not a number by IEEE's rules.
func unordered(a, b Value) bool {
	x, ok1 := a.(float64)
	y, ok2 := b.(float64)
	return ok1 && math.IsNaN(x) || ok2 && math.IsNaN(y)
}

func (b *binaryExpr) eval(s *state) Value {
	s.spend(b.line, 1)
	return arithmetic(s, b.line, b.op, b.left.eval(s), b.right.eval(s))
}

func (a *attrExpr) eval(s *state) Value { return attribute(a.line, a.x.eval(s), a.name) }

func (i *itemExpr) eval(s *state) Value {
	x := i.x.eval(s)
	key := i.key.eval(s)
	if _, ok := key.(*Tuple); ok {
		s.hashable(i.line, key)
	}
	return item(i.line, x, key)
}

func (e *sliceExpr) eval(s *state) Value {
	x := e.x.eval(s)
	var bounds [3]Value
	for i, b := range []expr{e.low, e.high, e.by} {
		if b != nil {
			bounds[i] = b.eval(s)
		}
	}
	return slice(e.line, x, bounds)
}

func (c *callExpr) eval(s *state) Value {
	f := c.f.eval(s)
	args, named := c.args.eval(s, c.line)
	return s.call(c.line, f, args, named)
}

// eval evaluates arguments, *x and **x included.
func (a *arguments) eval(s *state, line int) ([]Value, []namedValue) {
	args := evalAll(s, a.positional)
	if a.star != nil {
		args = append(args, iterate(s, line, a.star.eval(s))...)
	}
	var named []namedValue
	for i, n := range a.names {
		named = append(named, namedValue{n, a.named[i].eval(s)})
	}
	if a.double != nil {
		d, ok := a.double.eval(s).(*Dict)
		if !ok {
			fail(line, "argument after ** must be a mapping")
		}
		for i, k := range d.keys {
			n, ok := asText(k)
			if !ok {
				fail(line, "keywords must be strings")
			}
			named = append(named, namedValue{n, d.values[i]})
		}
	}
	return args, named
}

// call calls a value.
func (s *state) call(line int, f Value, args []Value, named []namedValue) Value {
	s.spend(line, 1)
	s.line = line
	switch f := f.(type) {
	case *function:
		return f.call(s, line, args, named)
	case *macro:
		return f.call(s, line, args, named)
	case *loop:
		return f.recurse(s, line, args)
	case *Undefined:
		f.fail(line)
	}
	fail(line, "'%s' object is not callable", typeName(f))
	return nil
}

func (f *filterExpr) eval(s *state) Value { return f.apply(s, f.x.eval(s)) }

// apply runs the filter on x.
func (f *filterExpr) apply(s *state, x Value) Value {
	args, named := f.args.eval(s, f.line)
	return s.filter(f.line, f.name, x, args, named)
}

func (s *state) filter(line int, name string, x Value, args []Value, named []namedValue) Value {
	s.spend(line, 1)
	filter, ok := filters[name]
	if !ok {
		fail(line, "no filter named %q", name)
	}
	return filter(&call{s: s, line: line, name: "filter " + name, args: args, named: named}, x)
}

func (t *testExpr) eval(s *state) Value {
	x := t.x.eval(s)
	args, named := t.args.eval(s, t.line)
	return s.test(t.line, t.name, x, args, named) != t.negate
}

func (s *state) test(line int, name string, x Value, args []Value, named []namedValue) bool {
	s.spend(line, 1)
	test, ok := tests[name]
	if !ok {
		fail(line, "no test named %q", name)
	}
	c := &call{s: s, line: line, name: "test " + name, args: args, named: named}
	result := test(c, x)
	return result
}

package jinja

import (
	"slices"
)

func attributeOnly(c *call, x Value, name string) Value {
	if v, ok := pythonAttribute(c.line, x, name); ok {
		return v
	}
	return missing(x, name)
}

func batchFilter(c *call, x Value) Value {
	p := c.params("linecount fill_with")
	n := c.int(c.need(p[0], "linecount"), 1)
	var rows, row []Value
	for _, v := range iterate(c.s, c.line, x) {
		if int64(len(row)) == n {
			rows, row = append(rows, &List{row}), nil
		}
		row = append(row, v)
	}
	if row != nil {
		if p[1] != (absent{}) && p[1] != nil {
			c.s.spend(c.line, n)
			for int64(len(row)) < n {
				row = append(row, p[1])
			}
		}
		rows = append(rows, &List{row})
	}
	return &generator{rows, "generator"}
}

func sliceFilter(c *call, x Value) Value {
	p := c.params("slices fill_with")
	n := c.int(c.need(p[0], "slices"), 1)
	if n <= 0 {
		fail(c.line, "%s: slices must be positive", c.name)
	}
	c.s.spend(c.line, n)
	items := iterate(c.s, c.line, x)
	each, more := int64(len(items))/n, int64(len(items))%n
	var rows []Value
	at := int64(0)
	for i := range n {
		size := each
		if i < more {
			size++
		}
		row := slices.Clone(items[at : at+size])
		at += size
		if i >= more && more > 0 && p[1] != (absent{}) && p[1] != nil {
			row = append(row, p[1])
		}
		rows = append(rows, &List{row})
	}
	return &generator{rows, "generator"}
}

func defaultFilter(c *call, x Value) Value {
	p := c.params("default_value boolean")
	_, undefined := x.(*Undefined)
	if undefined || c.bool(p[1], false) && !truth(x) {
		if p[0] == (absent{}) {
			return ""
		}
		return p[0]
	}
	return x
}

// edge is first or last.
func (c *call) edge(x Value, first bool) Value {
	c.params("")
	var items []Value
	if _, ok := x.(*generator); ok && !first {
		fail(c.line, "'generator' object is not reversible")
	}
	if items = iterate(c.s, c.line, x); len(items) == 0 {
		return &Undefined{message: "No first item, sequence was empty."}
	}
	if first {
		return items[0]
	}
	return items[len(items)-1]
}

func itemsFilter(c *call, x Value) Value {
	c.params("")
	switch x := x.(type) {
	case *Undefined:
		return &generator{nil, "generator"}
	case *Dict:
		return &generator{x.pairs(), "generator"}
	}
	fail(c.line, "Can only get item pairs from a mapping.")
	return nil
}

func lengthFilter(c *call, x Value) Value {
	c.params("")
	n, ok := length(x)
	if !ok {
		fail(c.line, "object of type '%s' has no len()", typeName(x))
	}
	return n
}

func mapFilter(c *call, x Value) Value {
	var f func(Value) Value
	if len(c.args) == 0 {
		p := c.params("attribute default")
		f = c.keyOf(c.need(p[0], "attribute"), false, p[1])
	} else {
		name := c.text(c.args[0], "")
		f = func(v Value) Value { return c.s.filter(c.line, name, v, c.args[1:], c.named) }
		if _, known := filters[name]; !known {
			fail(c.line, "no filter named %q", name)
		}
	}
	items := c.itemsOf(x)
	out := make([]Value, len(items))
	for i, v := range items {
		out[i] = f(v)
	}
	return &generator{out, "generator"}
}

// itemsOf returns the items of x, none of anything that counts as false.
func (c *call) itemsOf(x Value) []Value {
	if !truth(x) {
		return nil
	}
	return iterate(c.s, c.line, x)
}

// choose is select and its kin: of the items, or by an attribute of them, with a test or by truth.
func (c *call) choose(x Value, byAttribute, keep bool) Value {
	args := c.args
	pick := func(v Value) Value { return v }
	if byAttribute {
		if len(args) == 0 {
			fail(c.line, "%s: missing parameter for attribute name", c.name)
		}
		pick = c.keyOf(args[0], false, absent{})
		args = args[1:]
	}
	passes := func(v Value) bool { return truth(v) }
	if len(args) > 0 {
		name := c.text(args[0], "")
		passes = func(v Value) bool { return c.s.test(c.line, name, v, args[1:], c.named) }
		if _, known := tests[name]; !known {
			fail(c.line, "no test named %q", name)
		}
	}
	var out []Value
	for _, v := range c.itemsOf(x) {
		if passes(pick(v)) == keep {
			out = append(out, v)
		}
	}
	return &generator{out, "generator"}
}

func reverseFilter(c *call, x Value) Value {
	c.params("")
	if t, ok := asText(x); ok {
		r := []rune(t)
		slices.Reverse(r)
		return string(r)
	}
	items := slices.Clone(iterate(c.s, c.line, x))
	slices.Reverse(items)
	return &generator{items, "list_reverseiterator"}
}

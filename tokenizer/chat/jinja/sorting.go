package jinja

import (
	"slices"
	"strconv"
	"strings"
)

func dictsortFilter(c *call, x Value) Value {
	p := c.params("case_sensitive by reverse")
	d, ok := x.(*Dict)
	if !ok {
		c.bad(x)
	}
	at := map[string]int{"key": 0, "value": 1}
	i, ok := at[c.text(p[1], "key")]
	if !ok {
		fail(c.line, `%s: by must be "key" or "value"`, c.name)
	}
	pairs := d.pairs()
	fold := !c.bool(p[0], false)
	sortBy(c.s, c.line, pairs, func(v Value) Value { return foldCase(v.(*Tuple).items[i], fold) }, c.bool(p[2], false))
	return &List{pairs}
}

// foldCase is the lower-case form of a text, for comparisons without case.
func foldCase(v Value, fold bool) Value {
	if t, ok := asText(v); ok && fold {
		return lower(t)
	}
	return v
}

// sortBy sorts stably by key; in reverse, equal items keep their order too.
func sortBy(s *state, line int, v []Value, key func(Value) Value, reverse bool) {
	type keyed struct{ v, k Value }
	all := make([]keyed, len(v))
	for i, x := range v {
		all[i] = keyed{x, key(x)}
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		x, y := a.k, b.k
		if reverse {
			x, y = y, x
		}
		switch {
		case s.less(line, x, y, "<"):
			return -1
		case s.less(line, y, x, "<"):
			return 1
		}
		return 0
	})
	for i, k := range all {
		v[i] = k.v
	}
}

// keyOf returns what a filter's attribute argument picks from an item: "a.b" and "a.0" go deeper, "a,b" picks several.
func (c *call) keyOf(attr Value, fold bool, def Value) func(Value) Value {
	if attr == (absent{}) || attr == nil {
		return func(v Value) Value { return foldCase(v, fold) }
	}
	var paths [][]Value
	if n, ok := asInt(attr); ok {
		paths = [][]Value{{n}}
	} else {
		for _, path := range strings.Split(c.text(attr, ""), ",") {
			var parts []Value
			for _, part := range strings.Split(path, ".") {
				if n, err := strconv.ParseUint(part, 10, 31); err == nil {
					parts = append(parts, int64(n))
				} else {
					parts = append(parts, part)
				}
			}
			paths = append(paths, parts)
		}
	}
	return func(v Value) Value {
		keys := &List{}
		for _, path := range paths {
			x := v
			for _, part := range path {
				x = item(c.line, x, part)
				if _, undefined := x.(*Undefined); undefined && def != (absent{}) {
					x = def
				}
			}
			keys.items = append(keys.items, foldCase(x, fold))
		}
		if len(keys.items) == 1 {
			return keys.items[0]
		}
		return keys
	}
}

func groupbyFilter(c *call, x Value) Value {
	p := c.params("attribute default case_sensitive")
	fold := !c.bool(p[2], false)
	sorted := slices.Clone(iterate(c.s, c.line, x))
	key := c.keyOf(c.need(p[0], "attribute"), fold, p[1])
	plain := c.keyOf(p[0], false, p[1])
	sortBy(c.s, c.line, sorted, key, false)
	out := &List{}
	for i := 0; i < len(sorted); {
		j := i + 1
		for j < len(sorted) && c.s.equal(c.line, key(sorted[i]), key(sorted[j])) {
			j++
		}
		out.items = append(out.items, &Tuple{[]Value{plain(sorted[i]), &List{sorted[i:j]}}})
		i = j
	}
	return out
}

// extreme is max or min.
func (c *call) extreme(x Value, most bool) Value {
	p := c.params("case_sensitive attribute")
	items := iterate(c.s, c.line, x)
	if len(items) == 0 {
		return &Undefined{message: "No aggregated item, sequence was empty."}
	}
	key := c.keyOf(p[1], !c.bool(p[0], false), absent{})
	best := items[0]
	for _, v := range items[1:] {
		a, b := key(v), key(best)
		if most {
			a, b = b, a
		}
		if c.s.less(c.line, a, b, "<") {
			best = v
		}
	}
	return best
}

func sortFilter(c *call, x Value) Value {
	p := c.params("reverse case_sensitive attribute")
	items := slices.Clone(iterate(c.s, c.line, x))
	sortBy(c.s, c.line, items, c.keyOf(p[2], !c.bool(p[1], false), absent{}), c.bool(p[0], false))
	return &List{items}
}

func uniqueFilter(c *call, x Value) Value {
	p := c.params("case_sensitive attribute")
	key := c.keyOf(p[1], !c.bool(p[0], false), absent{})
	seen := NewDict()
	var out []Value
	for _, v := range iterate(c.s, c.line, x) {
		k := c.s.hashable(c.line, key(v))
		if _, twice := seen.Get(k); !twice {
			seen.Set(k, true)
			out = append(out, v)
		}
	}
	return &generator{out, "generator"}
}

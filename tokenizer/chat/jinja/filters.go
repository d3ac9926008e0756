package jinja

import (
	"math"
	"slices"
	"strings"
	"unicode"
)

// filters are the filters by name: Jinja2's own but those for web pages and random choice, and transformers' tojson.
var filters map[string]func(c *call, x Value) Value

func init() {
	filters = map[string]func(c *call, x Value) Value{
		"abs": func(c *call, x Value) Value {
			if n, ok := asInt(x); ok {
				return max(n, -n)
			}
			f, ok := x.(float64)
			if !ok {
				c.bad(x)
			}
			return math.Abs(f)
		},
		"attr":       func(c *call, x Value) Value { return attributeOnly(c, x, c.text(c.one("name"), "")) },
		"batch":      batchFilter,
		"capitalize": func(c *call, x Value) Value { return capitalize(text(c.line, x)) },
		"center": func(c *call, x Value) Value {
			n := c.params("width")[0]
			if n == (absent{}) {
				n = int64(80)
			}
			return textMethods["center"](&call{s: c.s, line: c.line, name: c.name, args: []Value{n}}, text(c.line, x))
		},
		"default":    defaultFilter,
		"dictsort":   dictsortFilter,
		"escape":     escapeFilter,
		"first":      func(c *call, x Value) Value { return c.edge(x, true) },
		"float":      floatFilter,
		"format":     func(c *call, x Value) Value { return formatFilter(c, x) },
		"groupby":    groupbyFilter,
		"indent":     indentFilter,
		"int":        intFilter,
		"items":      itemsFilter,
		"join":       joinFilter,
		"last":       func(c *call, x Value) Value { return c.edge(x, false) },
		"length":     lengthFilter,
		"list":       func(c *call, x Value) Value { return &List{slices.Clone(iterate(c.s, c.line, x))} },
		"lower":      func(c *call, x Value) Value { return lower(text(c.line, x)) },
		"map":        mapFilter,
		"max":        func(c *call, x Value) Value { return c.extreme(x, true) },
		"min":        func(c *call, x Value) Value { return c.extreme(x, false) },
		"reject":     func(c *call, x Value) Value { return c.choose(x, false, false) },
		"rejectattr": func(c *call, x Value) Value { return c.choose(x, true, false) },
		"replace": func(c *call, x Value) Value {
			p := c.params("old new count")
			return c.replace(text(c.line, x), text(c.line, c.need(p[0], "old")), text(c.line, c.need(p[1], "new")), c.int(p[2], -1))
		},
		"reverse":    reverseFilter,
		"round":      roundFilter,
		"safe":       func(c *call, x Value) Value { return Safe(text(c.line, x)) },
		"select":     func(c *call, x Value) Value { return c.choose(x, false, true) },
		"selectattr": func(c *call, x Value) Value { return c.choose(x, true, true) },
		"slice":      sliceFilter,
		"sort":       sortFilter,
		"string": func(c *call, x Value) Value {
			if _, safe := x.(Safe); safe {
				return x
			}
			return text(c.line, x)
		},
		"sum":       sumFilter,
		"title":     func(c *call, x Value) Value { return titleFilter(text(c.line, x)) },
		"tojson":    tojsonFilter,
		"trim":      func(c *call, x Value) Value { return stripText(text(c.line, x), c.params("chars")[0], c, true, true) },
		"truncate":  truncateFilter,
		"unique":    uniqueFilter,
		"upper":     func(c *call, x Value) Value { return upper(text(c.line, x)) },
		"urlencode": urlencodeFilter,
		"wordcount": func(c *call, x Value) Value {
			return int64(len(strings.FieldsFunc(text(c.line, x), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '_' })))
		},
	}
	for short, long := range map[string]string{"d": "default", "e": "escape", "count": "length"} {
		filters[short] = filters[long]
	}
}

// bad fails because the filter cannot take x.
func (c *call) bad(x Value) {
	if u, ok := x.(*Undefined); ok {
		u.fail(c.line)
	}
	fail(c.line, "%s: %s cannot be used", c.name, typeName(x))
}

// need fails if an argument is absent.
func (c *call) need(v Value, name string) Value {
	if v == (absent{}) {
		fail(c.line, "%s needs argument '%s'", c.name, name)
	}
	return v
}

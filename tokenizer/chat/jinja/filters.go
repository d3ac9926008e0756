package jinja

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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

func escape(t string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace(t)
}

func escapeFilter(c *call, x Value) Value {
	if _, safe := x.(Safe); safe {
		return x
	}
	return Safe(escape(text(c.line, x)))
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

func floatFilter(c *call, x Value) Value {
	if u, ok := x.(*Undefined); ok {
		u.fail(c.line)
	}
	def := c.params("default")[0]
	if def == (absent{}) {
		def = 0.0
	}
	if f, ok := asFloat(x); ok {
		return f
	}
	if t, ok := asText(x); ok {
		if f, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimFunc(t, isSpace), "_", ""), 64); err == nil {
			return f
		}
	}
	return def
}

func intFilter(c *call, x Value) Value {
	if u, ok := x.(*Undefined); ok {
		u.fail(c.line)
	}
	p := c.params("default base")
	def, base := p[0], c.int(p[1], 10)
	if def == (absent{}) {
		def = int64(0)
	}
	if n, ok := asInt(x); ok {
		return n
	}
	if f, ok := x.(float64); ok && math.Abs(f) < 1<<62 {
		return int64(f)
	}
	t, ok := asText(x)
	if !ok {
		return def
	}
	t = strings.TrimFunc(strings.ReplaceAll(t, "_", ""), isSpace)
	if base != 10 {
		for prefix, b := range map[string]int64{"0x": 16, "0X": 16, "0o": 8, "0O": 8, "0b": 2, "0B": 2} {
			if b == base {
				t = strings.TrimPrefix(t, prefix)
			}
		}
	}
	if base >= 2 && base <= 36 {
		if n, err := strconv.ParseInt(t, int(base), 64); err == nil {
			return n
		}
	}
	if f, err := strconv.ParseFloat(t, 64); err == nil && math.Abs(f) < 1<<62 {
		return int64(f)
	}
	return def
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

func indentFilter(c *call, x Value) Value {
	p := c.params("width first blank")
	pad := "    "
	if t, ok := asText(p[0]); ok {
		pad = t
	} else if p[0] != (absent{}) {
		pad = c.pad(c.int(p[0], 4), " ")
	}
	if !isText(x) {
		c.bad(x)
	}
	first, blank := c.bool(p[1], false), c.bool(p[2], false)
	lines := c.lines(text(c.line, x)+"\n", false)
	var b strings.Builder
	for i, l := range lines {
		line, _ := asText(l)
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == 0 && first || i > 0 && (blank || line != "") {
			b.WriteString(pad)
		}
		b.WriteString(line)
		c.s.bound(c.line, b.Len())
	}
	return b.String()
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

func joinFilter(c *call, x Value) Value {
	p := c.params("d attribute")
	sep := ""
	if p[0] != (absent{}) {
		sep = text(c.line, p[0])
	}
	var pick func(Value) Value
	if p[1] != (absent{}) && p[1] != nil {
		pick = c.keyOf(p[1], false, absent{})
	}
	var b strings.Builder
	for i, v := range iterate(c.s, c.line, x) {
		if i > 0 {
			b.WriteString(sep)
		}
		if pick != nil {
			v = pick(v)
		}
		b.WriteString(text(c.line, v))
		c.s.bound(c.line, b.Len())
	}
	return b.String()
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

func roundFilter(c *call, x Value) Value {
	p := c.params("precision method")
	f, ok := asFloat(x)
	if !ok {
		c.bad(x)
	}
	digits := c.int(p[0], 0)
	switch how := c.text(p[1], "common"); how {
	case "common":
		n, isInt := asInt(x)
		if digits < 0 {
			scale := math.Pow(10, float64(min(-digits, 300)))
			r := math.RoundToEven(f/scale) * scale
			if isInt {
				return int64(r)
			}
			return r
		}
		if isInt {
			return n
		}
		r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(min(digits, 300)), 64), 64) // rounds the exact value, ties to even
		if err != nil {
			return f
		}
		return r
	case "ceil", "floor":
		round := map[string]func(float64) float64{"ceil": math.Ceil, "floor": math.Floor}[how]
		scale := math.Pow(10, float64(digits))
		return round(f*scale) / scale
	}
	fail(c.line, "%s: method must be common, ceil or floor", c.name)
	return nil
}

func sortFilter(c *call, x Value) Value {
	p := c.params("reverse case_sensitive attribute")
	items := slices.Clone(iterate(c.s, c.line, x))
	sortBy(c.s, c.line, items, c.keyOf(p[2], !c.bool(p[1], false), absent{}), c.bool(p[0], false))
	return &List{items}
}

func sumFilter(c *call, x Value) Value {
	p := c.params("attribute start")
	pick := c.keyOf(p[0], false, absent{})
	total := p[1]
	if total == (absent{}) {
		total = int64(0)
	}
	if isText(total) {
		fail(c.line, "sum() can't sum strings")
	}
	for _, v := range iterate(c.s, c.line, x) {
		total = arithmetic(c.s, c.line, "+", total, pick(v))
	}
	return total
}

// titleFilter is Jinja2's title: words begin after white space, hyphens and opening brackets.
func titleFilter(t string) string {
	var b strings.Builder
	start := true
	for _, r := range t {
		switch {
		case isSpace(r) || strings.ContainsRune("-({[<", r):
			start = true
			b.WriteRune(r)
		case start:
			b.WriteString(strings.ToUpper(string(r)))
			start = false
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// tojsonFilter is the one that transformers puts in Jinja2's place: Python's json.dumps, not ASCII only, nothing escaped for HTML.
func tojsonFilter(c *call, x Value) Value {
	p := c.params("ensure_ascii indent separators sort_keys")
	w := &writeJSON{s: c.s, line: c.line, item: ", ", key: ": ", ascii: c.bool(p[0], false), sorted: c.bool(p[3], false)}
	switch indent := p[1].(type) {
	case absent, nil:
	case string:
		w.lines, w.indent, w.item = true, indent, ","
	default:
		n := c.int(indent, 0)
		if n > 1000 {
			fail(c.line, "%s: an indent of more than 1000", c.name)
		}
		w.lines, w.indent, w.item = true, c.pad(n, " "), ","
	}
	if p[2] != (absent{}) && p[2] != nil {
		s := iterate(c.s, c.line, p[2])
		if len(s) != 2 {
			fail(c.line, "%s: separators must be two texts", c.name)
		}
		w.item, w.key = c.text(s[0], ""), c.text(s[1], "")
	}
	w.value(x, 0)
	c.s.bound(c.line, w.b.Len())
	return w.b.String()
}

func truncateFilter(c *call, x Value) Value {
	p := c.params("length killwords end leeway")
	t, size, end, leeway := []rune(text(c.line, x)), c.int(p[0], 255), c.text(p[2], "..."), c.int(p[3], 5)
	n := int64(utf8.RuneCountInString(end))
	if size < n || leeway < 0 {
		fail(c.line, "%s: expected length >= %d and leeway >= 0", c.name, n)
	}
	if int64(len(t)) <= size+leeway {
		return string(t)
	}
	cut := string(t[:size-n])
	if !c.bool(p[1], false) {
		if i := strings.LastIndexByte(cut, ' '); i >= 0 {
			cut = cut[:i]
		}
	}
	return cut + end
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

func urlencodeFilter(c *call, x Value) Value {
	c.params("")
	quote := func(v Value) string { return strings.ReplaceAll(url.QueryEscape(text(c.line, v)), "%7E", "~") }
	if isText(x) {
		return strings.NewReplacer("+", "%20", "%2F", "/").Replace(quote(x))
	}
	pairs := iterate(c.s, c.line, x)
	if d, ok := x.(*Dict); ok {
		pairs = d.pairs()
	}
	var parts []string
	for _, pair := range pairs {
		kv := iterate(c.s, c.line, pair)
		if len(kv) != 2 {
			fail(c.line, "%s: an item of length %d is no pair", c.name, len(kv))
		}
		parts = append(parts, quote(kv[0])+"="+quote(kv[1]))
	}
	return strings.Join(parts, "&")
}

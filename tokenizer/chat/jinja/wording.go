package jinja

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

func escape(t string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace(t)
}

func escapeFilter(c *call, x Value) Value {
	if _, safe := x.(Safe); safe {
		return x
	}
	return Safe(escape(text(c.line, x)))
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

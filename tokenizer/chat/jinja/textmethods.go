package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// onText makes a method of a function from text to text.
func onText(f func(string) string) method {
	return func(c *call, x Value) Value {
		c.params("")
		t, _ := asText(x)
		return like(x, f(t))
	}
}

// like gives a result the type of what it was made of: text or safe text.
func like(x Value, t string) Value {
	if _, safe := x.(Safe); safe {
		return Safe(t)
	}
	return t
}

// ofRunes makes a method that tells whether the text is not empty and all of its characters are.
func ofRunes(is func(rune) bool) method {
	return func(c *call, x Value) Value {
		c.params("")
		t, _ := asText(x)
		return t != "" && strings.IndexFunc(t, func(r rune) bool { return !is(r) }) < 0
	}
}

// cased makes isupper or islower: some letter is cased, and none in the other case.
func cased(is, other func(rune) bool) method {
	return func(c *call, x Value) Value {
		c.params("")
		t, _ := asText(x)
		return strings.IndexFunc(t, is) >= 0 && strings.IndexFunc(t, other) < 0
	}
}

var textMethods = map[string]method{
	"upper":      onText(upper),
	"lower":      onText(lower),
	"title":      onText(titleWords),
	"capitalize": onText(capitalize),
	"casefold":   onText(lower),
	"swapcase": onText(func(t string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsUpper(r) {
				return unicode.ToLower(r)
			}
			return unicode.ToUpper(r)
		}, t)
	}),
	"strip":  stripMethod(true, true),
	"lstrip": stripMethod(true, false),
	"rstrip": stripMethod(false, true),

	"isalpha": ofRunes(unicode.IsLetter),
	"isdigit": ofRunes(func(r rune) bool {
		return unicode.Is(unicode.Nd, r) || strings.ContainsRune("²³¹⁰⁴⁵⁶⁷⁸⁹", r)
	}),
	"isdecimal": ofRunes(func(r rune) bool { return unicode.Is(unicode.Nd, r) }),
	"isnumeric": ofRunes(unicode.IsNumber),
	"isalnum":   ofRunes(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
	"isspace":   ofRunes(isSpace),
	"isupper":   cased(unicode.IsUpper, unicode.IsLower),
	"islower":   cased(unicode.IsLower, unicode.IsUpper),

	"startswith":   affixMethod(strings.HasPrefix),
	"endswith":     affixMethod(strings.HasSuffix),
	"removeprefix": func(c *call, x Value) Value { return like(x, strings.TrimPrefix(self(x), c.text(c.one("prefix"), ""))) },
	"removesuffix": func(c *call, x Value) Value { return like(x, strings.TrimSuffix(self(x), c.text(c.one("suffix"), ""))) },

	"find":   findMethod(strings.Index, false),
	"rfind":  findMethod(strings.LastIndex, false),
	"index":  findMethod(strings.Index, true),
	"rindex": findMethod(strings.LastIndex, true),
	"count": func(c *call, x Value) Value {
		return int64(strings.Count(self(x), c.text(c.one("sub"), "")))
	},
	"replace": func(c *call, x Value) Value {
		p := c.params("old new count")
		return like(x, c.replace(self(x), c.text(p[0], ""), c.text(p[1], ""), c.int(p[2], -1)))
	},
	"split":      splitMethod(false),
	"rsplit":     splitMethod(true),
	"splitlines": func(c *call, x Value) Value { return &List{c.lines(self(x), c.bool(c.params("keepends")[0], false))} },
	"partition":  partitionMethod(strings.Index, true),
	"rpartition": partitionMethod(strings.LastIndex, false),
	"join": func(c *call, x Value) Value {
		var b strings.Builder
		for i, v := range iterate(c.s, c.line, c.one("iterable")) {
			if i > 0 {
				b.WriteString(self(x))
			}
			t, ok := asText(v)
			if !ok {
				fail(c.line, "sequence item %d: expected str instance, %s found", i, typeName(v))
			}
			b.WriteString(t)
			c.s.bound(c.line, b.Len())
		}
		return b.String()
	},
	"zfill": func(c *call, x Value) Value {
		t, n := self(x), c.int(c.one("width"), 0)
		pad := c.pad(n-int64(utf8.RuneCountInString(t)), "0")
		if t != "" && (t[0] == '-' || t[0] == '+') {
			return t[:1] + pad + t[1:]
		}
		return pad + t
	},
	"center": justifyMethod(func(pad, width int64) int64 { return pad/2 + pad&width&1 }),
	"ljust":  justifyMethod(func(int64, int64) int64 { return 0 }),
	"rjust":  justifyMethod(func(pad, _ int64) int64 { return pad }),
	"expandtabs": func(c *call, x Value) Value {
		size := c.int(c.params("tabsize")[0], 8)
		var b strings.Builder
		column := int64(0)
		for _, r := range self(x) {
			switch {
			case r == '\t' && size > 0:
				n := size - column%size
				b.WriteString(c.pad(n, " "))
				column += n
				c.s.bound(c.line, b.Len())
				continue
			case r == '\t':
				continue
			case r == '\n' || r == '\r':
				column = -1
			}
			b.WriteRune(r)
			column++
		}
		return b.String()
	},
	"format": func(c *call, x Value) Value { return formatText(c, self(x)) },
}

func self(x Value) string {
	t, _ := asText(x)
	return t
}

// pad returns n times t, nothing for a negative n.
func (c *call) pad(n int64, t string) string {
	if n <= 0 {
		return ""
	}
	c.s.bound(c.line, int(min(n, maxOutput+1)))
	return strings.Repeat(t, int(n))
}

func (c *call) replace(t, old, with string, count int64) string {
	n := int64(strings.Count(t, old))
	if count >= 0 {
		n = min(n, count)
	}
	size := int64(len(t)) + n*int64(len(with))
	c.s.bound(c.line, int(min(size, maxOutput+1)))
	return strings.Replace(t, old, with, int(n))
}

func stripMethod(left, right bool) method {
	return func(c *call, x Value) Value {
		return like(x, stripText(self(x), c.params("chars")[0], c, left, right))
	}
}

func stripText(t string, chars Value, c *call, left, right bool) string {
	cut := isSpace
	if chars != (absent{}) && chars != nil {
		set := c.text(chars, "")
		cut = func(r rune) bool { return strings.ContainsRune(set, r) }
	}
	if left {
		t = strings.TrimLeftFunc(t, cut)
	}
	if right {
		t = strings.TrimRightFunc(t, cut)
	}
	return t
}

// affixMethod makes startswith or endswith: of a text or any of a tuple of texts, between characters start and end.
func affixMethod(has func(s, affix string) bool) method {
	return func(c *call, x Value) Value {
		p := c.params("affix start end")
		t := c.between(self(x), p[1], p[2])
		list := []Value{p[0]}
		if many, ok := p[0].(*Tuple); ok {
			list = many.items
		}
		for _, a := range list {
			affix, ok := asText(a)
			if !ok {
				if u, is := a.(*Undefined); is {
					u.fail(c.line)
				}
				fail(c.line, "%s first arg must be str or a tuple of str, not %s", c.name, typeName(a))
			}
			if has(t, affix) {
				return true
			}
		}
		return false
	}
}

// between returns the characters of t from start to end.
func (c *call) between(t string, start, end Value) string {
	var bounds [3]Value
	for i, v := range []Value{start, end} {
		if v != (absent{}) {
			bounds[i] = v
		}
	}
	if bounds == [3]Value{} {
		return t
	}
	part, _ := asText(slice(c.line, t, bounds))
	return part
}

// findMethod makes find and its kin, which count in characters.
func findMethod(find func(s, part string) int, must bool) method {
	return func(c *call, x Value) Value {
		p := c.params("sub start end")
		all := self(x)
		t := c.between(all, p[1], p[2])
		i := find(t, c.text(p[0], ""))
		if i < 0 {
			if must {
				fail(c.line, "substring not found")
			}
			return int64(-1)
		}
		from := int64(0)
		if p[1] != (absent{}) && p[1] != nil {
			if from = c.int(p[1], 0); from < 0 {
				from = max(0, from+int64(utf8.RuneCountInString(all)))
			}
		}
		return from + int64(utf8.RuneCountInString(t[:i]))
	}
}

func partitionMethod(find func(s, part string) int, before bool) method {
	return func(c *call, x Value) Value {
		t, sep := self(x), c.text(c.one("sep"), "")
		if sep == "" {
			fail(c.line, "empty separator")
		}
		i := find(t, sep)
		switch {
		case i >= 0:
			return &Tuple{[]Value{t[:i], sep, t[i+len(sep):]}}
		case before:
			return &Tuple{[]Value{t, "", ""}}
		}
		return &Tuple{[]Value{"", "", t}}
	}
}

// splitMethod makes split and rsplit: at a separator, or at runs of white space without empty parts.
func splitMethod(fromRight bool) method {
	return func(c *call, x Value) Value {
		p := c.params("sep maxsplit")
		t, most := self(x), c.int(p[1], -1)
		c.s.spend(c.line, int64(len(t)/8))
		var parts []string
		switch {
		case p[0] == (absent{}) || p[0] == nil:
			parts = splitSpace(t, most, fromRight)
		case c.text(p[0], "") == "":
			fail(c.line, "empty separator")
		case !fromRight && most >= 0:
			parts = strings.SplitN(t, self(p[0]), int(min(most, maxOutput))+1)
		default:
			parts = strings.Split(t, self(p[0]))
			if extra := int64(len(parts)) - 1 - most; most >= 0 && extra > 0 {
				first := strings.Join(parts[:extra+1], self(p[0]))
				parts = append([]string{first}, parts[extra+1:]...)
			}
		}
		list := &List{make([]Value, len(parts))}
		for i, part := range parts {
			list.items[i] = like(x, part)
		}
		return list
	}
}

func splitSpace(t string, most int64, fromRight bool) []string {
	var parts []string
	if fromRight {
		for t = strings.TrimRightFunc(t, isSpace); t != ""; t = strings.TrimRightFunc(t, isSpace) {
			i := strings.LastIndexFunc(t, isSpace)
			if most >= 0 && int64(len(parts)) == most {
				i = -1
			}
			if i < 0 {
				parts = append([]string{strings.TrimRightFunc(t, isSpace)}, parts...)
				break
			}
			_, n := utf8.DecodeRuneInString(t[i:])
			parts = append([]string{t[i+n:]}, parts...)
			t = t[:i]
		}
		return parts
	}
	for t = strings.TrimLeftFunc(t, isSpace); t != ""; t = strings.TrimLeftFunc(t, isSpace) {
		i := strings.IndexFunc(t, isSpace)
		if i < 0 || most >= 0 && int64(len(parts)) == most {
			return append(parts, t)
		}
		parts = append(parts, t[:i])
		t = t[i:]
	}
	return parts
}

// lines is Python's splitlines.
func (c *call) lines(t string, keep bool) []Value {
	var list []Value
	for t != "" {
		i := strings.IndexFunc(t, func(r rune) bool { return strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) })
		if i < 0 {
			return append(list, t)
		}
		_, n := utf8.DecodeRuneInString(t[i:])
		if strings.HasPrefix(t[i:], "\r\n") {
			n = 2
		}
		end := i
		if keep {
			end += n
		}
		list = append(list, t[:end])
		t = t[i+n:]
		c.s.spend(c.line, 1)
	}
	return list
}

// justifyMethod makes ljust and its kin; left tells how much of the padding goes before the text.
func justifyMethod(left func(pad, width int64) int64) method {
	return func(c *call, x Value) Value {
		p := c.params("width fillchar")
		t, fill, width := self(x), c.text(p[1], " "), c.int(p[0], 0)
		pad := width - int64(utf8.RuneCountInString(t))
		if pad <= 0 {
			return t
		}
		l := left(pad, width)
		return c.pad(l, fill) + t + c.pad(pad-l, fill)
	}
}

func upper(t string) string {
	return strings.ToUpper(strings.ReplaceAll(t, "ß", "SS"))
}

func lower(t string) string { return strings.ToLower(strings.ReplaceAll(t, "İ", "i\u0307")) }

func capitalize(t string) string {
	r, n := utf8.DecodeRuneInString(t)
	if n == 0 {
		return ""
	}
	return string(unicode.ToTitle(r)) + lower(t[n:])
}

// titleWords is Python's str.title: a capital begins every run of letters.
func titleWords(t string) string {
	inside := false
	return strings.Map(func(r rune) rune {
		was := inside
		inside = unicode.IsLetter(r)
		if was {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, t)
}

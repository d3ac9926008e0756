package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// text is Python's str(v).
func text(line int, v Value) string {
	switch v := v.(type) {
	case string:
		return v
	case Safe:
		return string(v)
	case *Undefined:
		return ""
	}
	var b strings.Builder
	repr(&b, line, v, 0)
	return b.String()
}

// repr writes Python's repr(v).
func repr(b *strings.Builder, line int, v Value, depth int) {
	if depth > maxNest || b.Len() > maxOutput {
		fail(line, "a value is too large to print")
	}
	list := func(open string, items []Value, end string) {
		b.WriteString(open)
		for i, x := range items {
			if i > 0 {
				b.WriteString(", ")
			}
			repr(b, line, x, depth+1)
		}
		b.WriteString(end)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case Number:
		b.WriteString(string(v))
	case float64:
		b.WriteString(floatText(v))
	case string:
		reprText(b, v)
	case Safe:
		b.WriteString("Markup(")
		reprText(b, string(v))
		b.WriteByte(')')
	case *List:
		list("[", v.items, "]")
	case *Tuple:
		if len(v.items) == 1 {
			list("(", v.items, ",)")
			return
		}
		list("(", v.items, ")")
	case *Dict:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			repr(b, line, k, depth+1)
			b.WriteString(": ")
			repr(b, line, v.values[i], depth+1)
		}
		b.WriteByte('}')
	case *Undefined:
		b.WriteString("Undefined")
	case *view:
		list(v.what+"([", v.items, "])")
	case span:
		fmt.Fprintf(b, "range(%d, %d", v.start, v.stop)
		if v.step != 1 {
			fmt.Fprintf(b, ", %d", v.step)
		}
		b.WriteByte(')')
	case *namespace:
		b.WriteString("<Namespace ")
		repr(b, line, v.vars, depth+1)
		b.WriteByte('>')
	default:
		fail(line, "a %s has no text", typeName(v))
	}
}

// floatText is Python's repr of a float: the shortest digits that give it back, with an exponent below 1e-4 and from 1e16 on.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f != 0 && (math.Abs(f) < 1e-4 || math.Abs(f) >= 1e16):
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// reprText writes Python's repr of a string: in single quotes unless it has only single ones inside.
func reprText(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x7f || printable(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteByte(quote)
}

// printable is Python's str.isprintable for one character.
func printable(r rune) bool {
	return r == ' ' || unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}

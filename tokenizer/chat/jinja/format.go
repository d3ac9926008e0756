package jinja

import (
	"fmt"
	"strings"
)

// formatFilter is the filter format: printf's formats with arguments or names.
func formatFilter(c *call, x Value) Value {
	if len(c.args) > 0 && len(c.named) > 0 {
		fail(c.line, "can't handle positional and keyword arguments at the same time")
	}
	var with Value = &Tuple{c.args}
	if len(c.named) > 0 {
		d := NewDict()
		for _, n := range c.named {
			d.Set(n.name, n.value)
		}
		with = d
	}
	return percentFormat(c.line, text(c.line, x), with)
}

// percentFormat is Python's % on a string.
func percentFormat(line int, format string, with Value) string {
	args := []Value{with}
	if t, ok := with.(*Tuple); ok {
		args = t.items
	}
	used := 0
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		if i++; i < len(format) && format[i] == '%' {
			b.WriteByte('%')
			continue
		}
		var arg Value = absent{}
		if i < len(format) && format[i] == '(' {
			end := strings.IndexByte(format[i:], ')')
			d, ok := with.(*Dict)
			if end < 0 || !ok {
				fail(line, "format requires a mapping")
			}
			key := format[i+1 : i+end]
			if arg, ok = d.Get(key); !ok {
				fail(line, "format has no value for '%s'", key)
			}
			i += end + 1
		}
		start := i
		for i < len(format) && strings.IndexByte("#0- +.123456789", format[i]) >= 0 {
			i++
		}
		if i == len(format) {
			fail(line, "incomplete format")
		}
		flags := format[start:i]
		checkWidth(line, flags)
		if arg == (absent{}) {
			if used == len(args) {
				fail(line, "not enough arguments for format string")
			}
			arg = args[used]
			used++
		}
		b.WriteString(formatOne(line, flags, format[i], arg))
		if b.Len() > maxOutput {
			fail(line, "a text of more than %d bytes", maxOutput)
		}
	}
	switch with.(type) {
	case *Dict, *List, *Undefined: // may stand unused
		return b.String()
	}
	if used < len(args) {
		fail(line, "not all arguments converted during string formatting")
	}
	return b.String()
}

// checkWidth refuses a width or a precision that would make a huge text.
func checkWidth(line int, flags string) {
	for _, n := range strings.FieldsFunc(flags, func(r rune) bool { return r < '0' || r > '9' }) {
		if len(n) > 4 {
			fail(line, "format width %s is too large", n)
		}
	}
}

func formatOne(line int, flags string, verb byte, arg Value) string {
	switch verb {
	case 's':
		return fmt.Sprintf("%"+strings.Trim(flags, "0#+ ")+"s", text(line, arg))
	case 'r':
		var b strings.Builder
		repr(&b, line, arg, 0)
		return fmt.Sprintf("%"+flags+"s", b.String())
	case 'd', 'i', 'u':
		if f, ok := arg.(float64); ok {
			arg = int64(f)
		}
		if n, ok := asInt(arg); ok {
			return fmt.Sprintf("%"+flags+"d", n)
		}
		fail(line, "%%%c format: a number is required, not %s", verb, typeName(arg))
	case 'x', 'X', 'o':
		if n, ok := asInt(arg); ok {
			return fmt.Sprintf("%"+flags+string(verb), n)
		}
		fail(line, "%%%c format: an integer is required, not %s", verb, typeName(arg))
	case 'f', 'F', 'e', 'E', 'g', 'G':
		if f, ok := asFloat(arg); ok {
			return fmt.Sprintf("%"+flags+string(verb), f)
		}
		fail(line, "%%%c format: a number is required, not %s", verb, typeName(arg))
	case 'c':
		if n, ok := asInt(arg); ok {
			return string(rune(n))
		}
		return text(line, arg)
	}
	fail(line, "unsupported format character '%c'", verb)
	return ""
}

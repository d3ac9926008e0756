package jinja

import (
	"strconv"
	"strings"
)

// formatText is Python's str.format, without attributes and items in the fields.
func formatText(c *call, format string) Value {
	var b strings.Builder
	auto := 0
	for i := 0; i < len(format); i++ {
		switch ch := format[i]; {
		case (ch == '{' || ch == '}') && i+1 < len(format) && format[i+1] == ch:
			b.WriteByte(ch)
			i++
		case ch == '}':
			fail(c.line, "Single '}' encountered in format string")
		case ch == '{':
			end := strings.IndexByte(format[i:], '}')
			if end < 0 {
				fail(c.line, "expected '}' before end of string")
			}
			field, spec, _ := strings.Cut(format[i+1:i+end], ":")
			field, conversion, _ := strings.Cut(field, "!")
			b.WriteString(c.field(c.fieldValue(field, &auto), conversion, spec))
			i += end
		default:
			b.WriteByte(ch)
		}
		c.s.bound(c.line, b.Len())
	}
	return b.String()
}

func (c *call) fieldValue(field string, auto *int) Value {
	if field == "" {
		field = strconv.Itoa(*auto)
		*auto++
	}
	if n, err := strconv.Atoi(field); err == nil {
		if n < 0 || n >= len(c.args) {
			fail(c.line, "Replacement index %d out of range for positional args tuple", n)
		}
		return c.args[n]
	}
	for _, n := range c.named {
		if n.name == field {
			return n.value
		}
	}
	fail(c.line, "format field '%s' is not an argument's name or number", field)
	return nil
}

// field formats one value by [[fill]align][0][width][,][.precision][type].
func (c *call) field(v Value, conversion, spec string) string {
	s := text(c.line, v)
	switch conversion {
	case "", "s":
	case "r":
		var b strings.Builder
		repr(&b, c.line, v, 0)
		s, v = b.String(), b.String()
	default:
		fail(c.line, "format conversion '!%s' is not supported", conversion)
	}
	if spec == "" {
		return s
	}
	checkWidth(c.line, spec)
	fill, align := " ", ""
	if r := []rune(spec); len(r) > 1 && strings.ContainsRune("<>^", r[1]) {
		fill, align, spec = string(r[0]), string(r[1]), string(r[2:])
	} else if strings.ContainsRune("<>^", r[0]) {
		align, spec = string(r[0]), string(r[1:])
	}
	_, number := asFloat(v)
	if align == "" {
		align = map[bool]string{true: ">", false: "<"}[number]
	}
	if number && strings.HasPrefix(spec, "0") {
		fill, spec = "0", spec[1:]
	}
	digits := len(spec) - len(strings.TrimLeft(spec, "0123456789"))
	width, _ := strconv.Atoi(spec[:digits])
	spec = spec[digits:]
	comma := strings.HasPrefix(spec, ",")
	spec = strings.TrimPrefix(spec, ",")
	switch {
	case spec == "" || spec == "s" && !number || spec == "d" && typeName(v) == "int":
	case number && strings.TrimLeft(spec[:len(spec)-1], ".0123456789") == "" && strings.IndexByte("dfeExX%", spec[len(spec)-1]) >= 0:
		verb := spec[len(spec)-1]
		if verb == '%' {
			f, _ := asFloat(v)
			s = formatOne(c.line, spec[:len(spec)-1], 'f', f*100) + "%"
		} else {
			s = formatOne(c.line, spec[:len(spec)-1], verb, v)
		}
	case !number && spec[0] == '.' && strings.Trim(spec[1:], "0123456789") == "":
		n, _ := strconv.Atoi(spec[1:])
		if r := []rune(s); len(r) > n {
			s = string(r[:n])
		}
	default:
		fail(c.line, "format specification '%s' is not supported", spec)
	}
	if comma {
		s = thousands(s)
	}
	missing := width - len([]rune(s))
	switch {
	case missing <= 0:
	case fill == "0" && number && strings.HasPrefix(s, "-"):
		s = "-" + strings.Repeat("0", missing) + s[1:]
	case align == "<":
		s += strings.Repeat(fill, missing)
	case align == ">":
		s = strings.Repeat(fill, missing) + s
	default:
		s = strings.Repeat(fill, missing/2) + s + strings.Repeat(fill, missing-missing/2)
	}
	return s
}

// thousands puts a comma after every three digits before the point.
func thousands(s string) string {
	whole, fraction, point := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		whole += "." + fraction
	}
	return sign + whole
}

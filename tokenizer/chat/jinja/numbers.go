package jinja

import (
	"math"
	"strconv"
	"strings"
)

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

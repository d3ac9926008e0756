package jinja

// globals are the names that every template finds.
var globals map[string]Value

func init() {
	globals = make(map[string]Value)
	for n, f := range map[string]func(c *call) Value{
		"range":           rangeFunction,
		"dict":            dictFunction,
		"namespace":       func(c *call) Value { return &namespace{dictFunction(c).(*Dict)} },
		"cycler":          cyclerFunction,
		"joiner":          joinerFunction,
		"raise_exception": raiseException,
		"strftime_now":    func(c *call) Value { return strftime(c, c.text(c.one("format"), "")) },
	} {
		globals[n] = &function{n, func(s *state, line int, args []Value, named []namedValue) Value {
			return f(&call{s: s, line: line, name: n + "()", args: args, named: named})
		}}
	}
}

// raiseException ends the rendering with the template's own message.
func raiseException(c *call) Value {
	panic(&Error{Line: c.line, Message: text(c.line, c.one("message")), Raised: true})
}

// maxRange is the longest range that Jinja2's sandbox allows.
const maxRange = 100_000

func rangeFunction(c *call) Value {
	p := c.params("start stop step")
	r := span{c.int(p[0], 0), 0, c.int(p[2], 1)}
	if p[0] == (absent{}) {
		fail(c.line, "range expected at least 1 argument, got 0")
	}
	if p[1] == (absent{}) {
		r.start, r.stop = 0, r.start
	} else {
		r.stop = c.int(p[1], 0)
	}
	if r.step == 0 {
		fail(c.line, "range() arg 3 must not be zero")
	}
	if n := r.len(); n > maxRange || n < 0 {
		fail(c.line, "range too big: at most %d items", maxRange)
	}
	return r
}

// dictFunction is dict(): of a mapping or of pairs, and of names.
func dictFunction(c *call) Value {
	d := NewDict()
	if len(c.args) > 1 {
		fail(c.line, "%s takes at most 1 positional argument", c.name)
	}
	for _, a := range c.args {
		if from, ok := a.(*Dict); ok {
			d = from.clone()
			continue
		}
		for _, pair := range iterate(c.s, c.line, a) {
			kv := iterate(c.s, c.line, pair)
			if len(kv) != 2 {
				fail(c.line, "%s: an item of length %d is no pair", c.name, len(kv))
			}
			d.Set(c.s.hashable(c.line, kv[0]), kv[1])
		}
	}
	for _, n := range c.named {
		d.Set(n.name, n.value)
	}
	return d
}

// cycler goes round its items.
type cycler struct {
	items []Value
	at    int
}

func cyclerFunction(c *call) Value {
	if len(c.args) == 0 {
		fail(c.line, "at least one item has to be provided")
	}
	return &cycler{items: c.args}
}

func (y *cycler) attribute(name string) (Value, bool) {
	switch name {
	case "current":
		return y.items[y.at], true
	case "next":
		return &function{name, func(*state, int, []Value, []namedValue) Value {
			v := y.items[y.at]
			y.at = (y.at + 1) % len(y.items)
			return v
		}}, true
	case "reset":
		return &function{name, func(*state, int, []Value, []namedValue) Value {
			y.at = 0
			return nil
		}}, true
	}
	return nil, false
}

// joinerFunction returns a function that gives nothing at first and then the separator.
func joinerFunction(c *call) Value {
	sep, used := c.text(c.params("sep")[0], ", "), false
	return &function{"joiner", func(*state, int, []Value, []namedValue) Value {
		if used {
			return sep
		}
		used = true
		return ""
	}}
}

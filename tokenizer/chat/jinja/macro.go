package jinja

// macro is a macro with the variables that it was made among.
type macro struct {
	*macroNode
	scope *scope
}

func (m *macro) call(s *state, line int, args []Value, named []namedValue) Value {
	inner := newScope(m.scope)
	n := min(len(args), len(m.params))
	given := make(map[string]bool, len(m.params))
	for i, a := range args[:n] {
		inner.set(m.params[i], a)
		given[m.params[i]] = true
	}
	if m.varargs {
		inner.set("varargs", &Tuple{args[n:]})
	} else if len(args) > n {
		fail(line, "macro '%s' takes not more than %d argument(s)", m.name, len(m.params))
	}
	kwargs := NewDict()
	caller := Value(&Undefined{message: "No caller defined"})
	for _, a := range named {
		switch {
		case a.name == "caller" && m.caller:
			caller = a.value
		case m.has(a.name) && !given[a.name]:
			inner.set(a.name, a.value)
			given[a.name] = true
		case given[a.name] || !m.kwargs:
			fail(line, "macro '%s' takes no keyword argument '%s'", m.name, a.name)
		default:
			kwargs.Set(a.name, a.value)
		}
	}
	if m.kwargs {
		inner.set("kwargs", kwargs)
	}
	if m.caller {
		inner.set("caller", caller)
	}
	var result string
	s.deeper(line, func() {
		s.inside(inner, func() {
			for i, p := range m.params {
				if given[p] {
					continue
				}
				if d := i - (len(m.params) - len(m.defaults)); d >= 0 {
					inner.set(p, m.defaults[d].eval(s))
				} else {
					inner.set(p, &Undefined{message: "parameter " + quoteName(p) + " was not provided"})
				}
			}
			result = s.capture(func() { s.run(m.body) })
		})
	})
	return result
}

func (m *macro) has(param string) bool {
	for _, p := range m.params {
		if p == param {
			return true
		}
	}
	return false
}

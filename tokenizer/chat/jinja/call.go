package jinja

import "strings"

// call is one call of a filter, a test, a method or a global function.
type call struct {
	s     *state
	line  int
	name  string // for errors
	args  []Value
	named []namedValue
}

// absent stands for a parameter that was not given.
type absent struct{}

// params returns the arguments in the order of the parameters, absent where not given. Others are an error.
func (c *call) params(parameters string) []Value {
	all := strings.Fields(parameters)
	values := make([]Value, len(all))
	if len(c.args) > len(all) {
		fail(c.line, "%s takes at most %d argument(s), got %d", c.name, len(all), len(c.args))
	}
	for i := range values {
		values[i] = absent{}
		if i < len(c.args) {
			values[i] = c.args[i]
		}
	}
	for _, n := range c.named {
		found := false
		for i, p := range all {
			if p == n.name {
				if values[i] != (absent{}) {
					fail(c.line, "%s got argument '%s' twice", c.name, p)
				}
				values[i], found = n.value, true
			}
		}
		if !found {
			fail(c.line, "%s has no argument '%s'", c.name, n.name)
		}
	}
	return values
}

// one is params for a single parameter that must be given.
func (c *call) one(parameter string) Value {
	v := c.params(parameter)[0]
	if v == (absent{}) {
		fail(c.line, "%s needs argument '%s'", c.name, parameter)
	}
	return v
}

// text is an argument as text, def if it is absent or None.
func (c *call) text(v Value, def string) string {
	switch v := v.(type) {
	case absent, nil:
		return def
	case string:
		return v
	case Safe:
		return string(v)
	case *Undefined:
		v.fail(c.line)
	}
	fail(c.line, "%s: expected text, not %s", c.name, typeName(v))
	return ""
}

// int is an argument as an integer, def if it is absent or None.
func (c *call) int(v Value, def int64) int64 {
	switch v := v.(type) {
	case absent, nil:
		return def
	case *Undefined:
		v.fail(c.line)
	}
	n, ok := asInt(v)
	if !ok {
		fail(c.line, "%s: expected an integer, not %s", c.name, typeName(v))
	}
	return n
}

// bool is an argument's truth, def if it is absent.
func (c *call) bool(v Value, def bool) bool {
	if v == (absent{}) {
		return def
	}
	return truth(v)
}

func names(list string) map[string]bool {
	set := make(map[string]bool)
	for _, n := range strings.Fields(list) {
		set[n] = true
	}
	return set
}

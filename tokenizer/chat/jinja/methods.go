package jinja

// method is a method of a value of Python's.
type method func(c *call, x Value) Value

// methods are the methods of each type, those left out that would change their object.
var methods map[string]map[string]method

func init() {
	methods = map[string]map[string]method{
		"str":   textMethods,
		"list":  sequenceMethods,
		"tuple": {"index": sequenceMethods["index"], "count": sequenceMethods["count"]},
		"dict":  dictMethods,
	}
}

var sequenceMethods = map[string]method{
	"copy": func(c *call, x Value) Value {
		c.params("")
		return x
	},
	"count": func(c *call, x Value) Value {
		want, n := c.one("value"), int64(0)
		for _, v := range iterate(c.s, c.line, x) {
			if c.s.equal(c.line, v, want) {
				n++
			}
		}
		return n
	},
	"index": func(c *call, x Value) Value {
		want := c.one("value")
		for i, v := range iterate(c.s, c.line, x) {
			if c.s.equal(c.line, v, want) {
				return int64(i)
			}
		}
		fail(c.line, "value is not in list")
		return nil
	},
}

var dictMethods = map[string]method{
	"get": func(c *call, x Value) Value {
		p := c.params("key default")
		if p[0] == (absent{}) {
			fail(c.line, "get expected at least 1 argument, got 0")
		}
		if v, ok := x.(*Dict).Get(c.s.hashable(c.line, p[0])); ok {
			return v
		}
		if p[1] == (absent{}) {
			return nil
		}
		return p[1]
	},
	"keys": func(c *call, x Value) Value {
		c.params("")
		return &view{x.(*Dict).keys, "dict_keys"}
	},
	"values": func(c *call, x Value) Value {
		c.params("")
		return &view{x.(*Dict).values, "dict_values"}
	},
	"items": func(c *call, x Value) Value {
		c.params("")
		return &view{x.(*Dict).pairs(), "dict_items"}
	},
	"copy": func(c *call, x Value) Value {
		c.params("")
		return x.(*Dict).clone()
	},
}

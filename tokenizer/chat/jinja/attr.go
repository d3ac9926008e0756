package jinja

import "fmt"

// attribute is x.name: an attribute of Python's if x has one, else the item of that name, else undefined.
func attribute(line int, x Value, name string) Value {
	if v, ok := pythonAttribute(line, x, name); ok {
		return v
	}
	if d, ok := x.(*Dict); ok {
		if v, ok := d.Get(name); ok {
			return v
		}
	}
	return missing(x, name)
}

// item is x[key]: the item, else for a string key the attribute, else undefined.
func item(line int, x, key Value) Value {
	if u, ok := x.(*Undefined); ok {
		u.fail(line)
	}
	switch x := x.(type) {
	case *Dict:
		switch key.(type) {
		case *List, *Dict:
		default:
			if v, ok := x.Get(key); ok {
				return v
			}
		}
	default:
		if i, ok := asInt(key); ok {
			if v, ok := at(x, i); ok {
				return v
			}
		}
	}
	name, ok := asText(key)
	if !ok {
		return missing(x, text(line, key))
	}
	if v, ok := pythonAttribute(line, x, name); ok {
		return v
	}
	return missing(x, name)
}

func missing(x Value, name string) Value {
	return &Undefined{message: fmt.Sprintf("%s has no attribute %s", objectName(x), quoteName(name))}
}

// at returns the item at an index, from the end if it is negative.
func at(x Value, i int64) (Value, bool) {
	if r, ok := x.(span); ok {
		if i < 0 {
			i += r.len()
		}
		if i < 0 || i >= r.len() {
			return nil, false
		}
		return r.start + i*r.step, true
	}
	items, ok := sequence(x)
	if t, isText := asText(x); isText {
		runes := []rune(t)
		if i < 0 {
			i += int64(len(runes))
		}
		if i < 0 || i >= int64(len(runes)) {
			return nil, false
		}
		return string(runes[i]), true
	}
	if i < 0 {
		i += int64(len(items))
	}
	if !ok || i < 0 || i >= int64(len(items)) {
		return nil, false
	}
	return items[i], true
}

// slice is x[low:high:by], nil bounds left out.
func slice(line int, x Value, bounds [3]Value) Value {
	if u, ok := x.(*Undefined); ok {
		u.fail(line)
	}
	var n int64
	var runes []rune
	items, ok := sequence(x)
	t, isText := asText(x)
	switch {
	case isText:
		runes = []rune(t)
		n = int64(len(runes))
	case ok:
		n = int64(len(items))
	default:
		fail(line, "'%s' object cannot be sliced", typeName(x))
	}
	by := int64(1)
	if v, ok := sliceBound(line, bounds[2]); ok {
		if by = v; by == 0 {
			fail(line, "slice step cannot be zero")
		}
	}
	low, high := int64(0), n
	if by < 0 {
		low, high = n-1, -1
	}
	clamp := func(i int64) int64 {
		if i < 0 {
			i += n
		}
		if by < 0 {
			return max(-1, min(i, n-1))
		}
		return max(0, min(i, n))
	}
	if v, ok := sliceBound(line, bounds[0]); ok {
		low = clamp(v)
	}
	if v, ok := sliceBound(line, bounds[1]); ok {
		high = clamp(v)
	}
	var picked []Value
	var chars []rune
	for i := low; by > 0 && i < high || by < 0 && i > high; i += by {
		if isText {
			chars = append(chars, runes[i])
		} else {
			picked = append(picked, items[i])
		}
		if by > n || by < -n {
			break
		}
	}
	switch x.(type) {
	case *List:
		return &List{picked}
	case *Tuple:
		return &Tuple{picked}
	case Safe:
		return Safe(chars)
	}
	return string(chars)
}

func sliceBound(line int, v Value) (int64, bool) {
	if v == nil {
		return 0, false
	}
	n, ok := asInt(v)
	if !ok {
		if u, is := v.(*Undefined); is {
			u.fail(line)
		}
		fail(line, "slice indices must be integers or None, not %s", typeName(v))
	}
	return n, true
}

// mutators are the methods that would change their object, which the sandbox refuses.
var mutators = map[string]map[string]bool{
	"list": names("append clear extend insert pop remove reverse sort"),
	"dict": names("clear pop popitem setdefault update"),
}

// pythonAttribute returns what Python's getattr finds on a value, other than items.
func pythonAttribute(line int, x Value, name string) (Value, bool) {
	switch x := x.(type) {
	case *Undefined:
		x.fail(line)
	case *namespace:
		return x.vars.Get(name)
	case *loop:
		return x.attribute(name)
	case *macro:
		switch name {
		case "name":
			return x.name, true
		case "arguments":
			t := &Tuple{}
			for _, p := range x.params {
				t.items = append(t.items, p)
			}
			return t, true
		}
		return nil, false
	case *cycler:
		return x.attribute(name)
	}
	kind := typeName(x)
	if mutators[kind][name] {
		return &Undefined{message: fmt.Sprintf("access to attribute '%s' of '%s' object is unsafe.", name, kind)}, true
	}
	if kind == "Markup" {
		kind = "str"
	}
	m, ok := methods[kind][name]
	if !ok {
		return nil, false
	}
	return &function{name, func(s *state, line int, args []Value, named []namedValue) Value {
		return m(&call{s: s, line: line, name: name + "()", args: args, named: named}, x)
	}}, true
}

package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// FromJSON reads a JSON value, keeping the order of keys.
func FromJSON(data []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decodeJSON(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

func decodeJSON(d *json.Decoder, depth int) (Value, error) {
	if depth > maxNest {
		return nil, fmt.Errorf("JSON nested more than %d deep", maxNest)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return numberValue(t.String())
	case json.Delim:
		if t == '[' {
			list := &List{items: []Value{}}
			for d.More() {
				v, err := decodeJSON(d, depth+1)
				if err != nil {
					return nil, err
				}
				list.items = append(list.items, v)
			}
			_, err := d.Token()
			return list, err
		}
		dict := NewDict()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decodeJSON(d, depth+1)
			if err != nil {
				return nil, err
			}
			dict.Set(key, v)
		}
		_, err := d.Token()
		return dict, err
	}
	return t, nil // nil, bool or string
}

func numberValue(s string) (Value, error) {
	if strings.ContainsAny(s, ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		return f, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return Number(s), nil
	}
	return n, nil
}

// writeJSON writes Python's json.dumps(v, ensure_ascii=False, ...).
type writeJSON struct {
	s         *state
	b         strings.Builder
	line      int
	indent    string
	lines     bool // whether indent is asked for
	item, key string
	sorted    bool
	ascii     bool
}

func (w *writeJSON) value(v Value, depth int) {
	if depth > maxNest || w.b.Len() > maxOutput {
		fail(w.line, "a value is too large for JSON")
	}
	switch v := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(v))
	case int64, Number:
		w.b.WriteString(text(w.line, v))
	case float64:
		w.b.WriteString(jsonFloat(v))
	case string:
		w.text(v)
	case Safe:
		w.text(string(v))
	case *List:
		w.list(v.items, depth)
	case *Tuple:
		w.list(v.items, depth)
	case *Dict:
		w.dict(v, depth)
	default:
		fail(w.line, "Object of type %s is not JSON serializable", typeName(v))
	}
}

func jsonFloat(f float64) string {
	s := floatText(f)
	if r, ok := map[string]string{"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[s]; ok {
		return r
	}
	return s
}

func (w *writeJSON) newline(depth int) {
	if w.lines {
		w.s.spend(w.line, int64(depth*len(w.indent))>>6)
		w.b.WriteByte('\n')
		for range depth {
			w.b.WriteString(w.indent)
		}
	}
}

func (w *writeJSON) list(items []Value, depth int) {
	if len(items) == 0 {
		w.b.WriteString("[]")
		return
	}
	w.b.WriteByte('[')
	for i, x := range items {
		if i > 0 {
			w.b.WriteString(w.item)
		}
		w.newline(depth + 1)
		w.value(x, depth+1)
	}
	w.newline(depth)
	w.b.WriteByte(']')
}

func (w *writeJSON) dict(d *Dict, depth int) {
	if d.Len() == 0 {
		w.b.WriteString("{}")
		return
	}
	order := make([]Value, d.Len())
	copy(order, d.keys)
	if w.sorted {
		sortBy(w.s, w.line, order, func(v Value) Value { return v }, false)
	}
	w.b.WriteByte('{')
	for i, k := range order {
		if i > 0 {
			w.b.WriteString(w.item)
		}
		w.newline(depth + 1)
		switch k := k.(type) {
		case string:
			w.text(k)
		case Safe:
			w.text(string(k))
		case nil:
			w.text("null")
		case bool:
			w.text(strconv.FormatBool(k))
		case int64, Number:
			w.text(text(w.line, k))
		case float64:
			w.text(jsonFloat(k))
		default:
			fail(w.line, "keys must be str, int, float, bool or None, not %s", typeName(k))
		}
		w.b.WriteString(w.key)
		v, _ := d.Get(k)
		w.value(v, depth+1)
	}
	w.newline(depth)
	w.b.WriteByte('}')
}

func (w *writeJSON) text(s string) {
	if w.b.Len()+len(s) > maxOutput {
		fail(w.line, "a value is too large for JSON")
	}
	w.b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.b.WriteByte('\\')
			w.b.WriteRune(r)
		case r == '\n':
			w.b.WriteString(`\n`)
		case r == '\r':
			w.b.WriteString(`\r`)
		case r == '\t':
			w.b.WriteString(`\t`)
		case r == '\b':
			w.b.WriteString(`\b`)
		case r == '\f':
			w.b.WriteString(`\f`)
		case r < ' ' || w.ascii && r >= 0x7f && r <= 0xffff:
			fmt.Fprintf(&w.b, `\u%04x`, r)
		case w.ascii && r > 0xffff:
			fmt.Fprintf(&w.b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			w.b.WriteRune(r)
		}
	}
	w.b.WriteByte('"')
}

package rdrr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// lines writes a JSON object in which long arrays and objects have one entry a line. The first error stays.
type lines struct {
	b   bytes.Buffer
	err error
}

func (p *lines) field(name string, v any) {
	p.key(name)
	p.value(v)
}

func (p *lines) list(name string, shards []outShard) {
	p.key(name)
	p.b.WriteString("[")
	for i, s := range shards {
		p.next(i)
		p.value(s)
	}
	p.b.WriteString("\n]")
}

// members writes an object, its members sorted by name.
func members[T any](p *lines, name string, object map[string]T) {
	p.key(name)
	p.b.WriteString("{")
	for i, k := range slices.Sorted(maps.Keys(object)) {
		p.next(i)
		fmt.Fprintf(&p.b, "%q: ", k) // names are printable ASCII
		p.value(object[k])
	}
	p.b.WriteString("\n}")
}

func (p *lines) key(name string) {
	if p.b.Len() == 0 {
		p.b.WriteString("{\n")
	} else {
		p.b.WriteString(",\n")
	}
	fmt.Fprintf(&p.b, "%q: ", name)
}

func (p *lines) next(i int) {
	if i > 0 {
		p.b.WriteByte(',')
	}
	p.b.WriteString("\n  ")
}

func (p *lines) value(v any) {
	e := json.NewEncoder(&p.b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil && p.err == nil {
		p.err = err
	}
	p.b.Truncate(len(bytes.TrimSuffix(p.b.Bytes(), []byte("\n"))))
}

func (p *lines) finish() ([]byte, error) {
	p.b.WriteString("\n}\n")
	return p.b.Bytes(), p.err
}

package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of what a config may ask for. They keep a hostile or damaged file from asking for absurd memory; every published
// model is far below them.
const (
	maxHidden       = 1 << 16
	maxVocab        = 1 << 22
	maxLayers       = 1 << 10
	maxHeads        = 1 << 10
	maxHeadDim      = 1 << 12
	maxIntermediate = 1 << 20
	maxExperts      = 1 << 12
	maxTopK         = 64
	maxPositions    = 1 << 24
	maxBank         = 1 << 18 // layers * experts
)

// fields reads one JSON object and keeps account of which of its fields were asked for. Errors are gathered, so that a
// config's user sees everything that is wrong with it at once.
type fields struct {
	path     string // prefix of field names in messages, e.g. "text_config."
	raw      map[string]json.RawMessage
	asked    map[string]bool
	errs     *[]error
	warnings *[]string
}

func parseFields(path string, data json.RawMessage, errs *[]error, warnings *[]string) (*fields, error) {
	f := &fields{path: path, asked: map[string]bool{}, errs: errs, warnings: warnings}
	if err := json.Unmarshal(data, &f.raw); err != nil {
		return nil, fmt.Errorf("%sreading a JSON object: %w", path, err)
	}
	if f.raw == nil {
		return nil, fmt.Errorf("%sa JSON object is wanted, found null", path)
	}
	return f, nil
}

func (f *fields) fail(format string, args ...any) {
	*f.errs = append(*f.errs, fmt.Errorf(format, args...))
}

// get returns a field's value; absent and null are the same.
func (f *fields) get(name string) (json.RawMessage, bool) {
	f.asked[name] = true
	v, ok := f.raw[name]
	if !ok || bytes.Equal(bytes.TrimSpace(v), []byte("null")) {
		return nil, false
	}
	return v, true
}

func (f *fields) has(name string) bool {
	_, ok := f.get(name)
	return ok
}

func decode[T any](f *fields, name string, def T) T {
	v, ok := f.get(name)
	if !ok {
		return def
	}
	var out T
	if err := json.Unmarshal(v, &out); err != nil {
		f.fail("%s%s is %s: want a %T", f.path, name, brief(v), out)
		return def
	}
	return out
}

func (f *fields) bool(name string, def bool) bool        { return decode(f, name, def) }
func (f *fields) string(name, def string) string         { return decode(f, name, def) }
func (f *fields) strings(name string) []string           { return decode[[]string](f, name, nil) }
func (f *fields) float(name string, def float64) float64 { return decode(f, name, def) }

// size reads a positive whole number up to bound. def 0 means that the field must be there.
func (f *fields) size(name string, def, bound int) int {
	v, ok := f.get(name)
	if !ok {
		if def == 0 {
			f.fail("%s%s is missing", f.path, name)
			return 1
		}
		return def
	}
	x, ok := number(v)
	if !ok || x != math.Trunc(x) || x < 1 {
		f.fail("%s%s is %s: want a whole number from 1 on", f.path, name, brief(v))
		return 1
	}
	if x > float64(bound) {
		f.fail("%s%s is %s: the bound is %d", f.path, name, brief(v), bound)
		return 1
	}
	return int(x)
}

// whole reads a whole number from 0 to bound.
func (f *fields) whole(name string, def, bound int) int {
	v, ok := f.get(name)
	if !ok {
		return def
	}
	x, ok := number(v)
	if !ok || x != math.Trunc(x) || x < 0 || x > float64(bound) {
		f.fail("%s%s is %s: want a whole number from 0 to %d", f.path, name, brief(v), bound)
		return def
	}
	return int(x)
}

// positive reads a number above 0.
func (f *fields) positive(name string, def float64) float64 {
	x := f.float(name, def)
	if !(x > 0) || x > math.MaxFloat32 {
		f.fail("%s%s is %v: want a number above 0", f.path, name, x)
		return 1
	}
	return x
}

// wholes reads a whole number or a list of them.
func (f *fields) wholes(name string, bound int) []int {
	v, ok := f.get(name)
	if !ok {
		return nil
	}
	var list []float64
	if x, ok := number(v); ok {
		list = []float64{x}
	} else if err := json.Unmarshal(v, &list); err != nil {
		f.fail("%s%s is %s: want a whole number or a list of them", f.path, name, brief(v))
		return nil
	}
	out := make([]int, 0, len(list))
	for _, x := range list {
		if x != math.Trunc(x) || x < 0 || x > float64(bound) {
			f.fail("%s%s is %s: want whole numbers from 0 to %d", f.path, name, brief(v), bound)
			return nil
		}
		out = append(out, int(x))
	}
	return out
}

// object reads a nested object; nil if it is absent.
func (f *fields) object(name string) *fields {
	v, ok := f.get(name)
	if !ok {
		return nil
	}
	sub, err := parseFields(f.path+name+".", v, f.errs, f.warnings)
	if err != nil {
		f.fail("%w", err)
		return nil
	}
	return sub
}

// only checks that a field, if it is there, has one of the values that are implemented.
func (f *fields) only(name string, allowed ...any) {
	v, ok := f.get(name)
	if !ok {
		return
	}
	var x any
	if err := json.Unmarshal(v, &x); err == nil {
		for _, a := range allowed {
			if n, ok := a.(int); ok {
				a = float64(n)
			}
			if x == a {
				return
			}
		}
	}
	f.unsupported(name, v, allowed...)
}

// absent checks that a field is not set: absent, null, false or zero.
func (f *fields) absent(names ...string) {
	for _, name := range names {
		if v, ok := f.get(name); ok && !off(v) {
			f.unsupported(name, v, "null")
		}
	}
}

func (f *fields) unsupported(name string, v json.RawMessage, allowed ...any) {
	want := make([]string, len(allowed))
	for i, a := range allowed {
		want[i] = fmt.Sprint(a)
	}
	f.fail("%s%s is %s, which is not supported: want %s", f.path, name, brief(v), strings.Join(want, " or "))
}

// finish judges the fields that nobody asked for: known ones without effect are passed over, those that cannot change the
// result are a warning, any other is an error.
func (f *fields) finish() {
	names := make([]string, 0, len(f.raw))
	for name := range f.raw {
		if !f.asked[name] && !withoutEffect[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		v := f.raw[name]
		if off(v) || metadata(name) {
			*f.warnings = append(*f.warnings, fmt.Sprintf("%s%s is not known and has no effect", f.path, name))
			continue
		}
		f.fail("%s%s is %s: this field is not known and might change the result", f.path, name, brief(v))
	}
}

// join makes one error of all that were gathered, nil if there are none.
func join(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errors.Join(errs...)
}

func number(v json.RawMessage) (float64, bool) {
	var x float64
	err := json.Unmarshal(v, &x)
	return x, err == nil
}

// off reports whether a value says that something is not there.
func off(v json.RawMessage) bool {
	switch string(bytes.TrimSpace(v)) {
	case "null", "false", "0", "0.0", "[]", "{}", `""`:
		return true
	}
	return false
}

func brief(v json.RawMessage) string {
	s := string(bytes.TrimSpace(v))
	if len(s) > 60 {
		s = s[:57] + "..."
	}
	return s
}

package gguf

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrMissing is what the getters of [Metadata] wrap for a key that is not there.
var ErrMissing = errors.New("not in the metadata")

// Metadata is the list of a file's keys and values, in order. Values are the Go types uint8, int8, uint16, int16, uint32,
// int32, uint64, int64, float32, float64, bool and string, and slices of these. The zero value is empty and ready for use.
type Metadata struct {
	keys   []string
	values map[string]any
}

// Keys returns the keys in order.
func (m *Metadata) Keys() []string { return slices.Clone(m.keys) }

// Value returns a key's value. A slice is the metadata's own: do not change it.
func (m *Metadata) Value(key string) (any, bool) {
	v, ok := m.values[key]
	return v, ok
}

// Has reports whether the key is there.
func (m *Metadata) Has(key string) bool { _, ok := m.values[key]; return ok }

// Set adds a key at the end, or replaces the value of one that is there. The value must be of a type that [Metadata] names;
// slices are kept, not copied.
func (m *Metadata) Set(key string, value any) error {
	if key == "" {
		return errors.New("set metadata: empty key")
	}
	if _, ok := typeOf(value); !ok {
		return fmt.Errorf("set metadata %q: GGUF has no type for a %T", key, value)
	}
	if m.values == nil {
		m.values = map[string]any{}
	}
	if _, ok := m.values[key]; !ok {
		m.keys = append(m.keys, key)
	}
	m.values[key] = value
	return nil
}

// String returns a string.
func (m *Metadata) String(key string) (string, error) { return get[string](m, key, "a string") }

// Bool returns a truth value.
func (m *Metadata) Bool(key string) (bool, error) { return get[bool](m, key, "a bool") }

// Strings returns an array of strings. The slice is the metadata's own: do not change it.
func (m *Metadata) Strings(key string) ([]string, error) {
	return get[[]string](m, key, "an array of strings")
}

// Bools returns an array of truth values. The slice is the metadata's own: do not change it.
func (m *Metadata) Bools(key string) ([]bool, error) { return get[[]bool](m, key, "an array of bools") }

// Int returns an integer of any stored width.
func (m *Metadata) Int(key string) (int, error) {
	v, ok := m.values[key]
	if !ok {
		return 0, missing(key)
	}
	n, ok := toInt(v)
	if !ok {
		return 0, wrongType(key, v, "an integer")
	}
	return n, nil
}

// Float returns a number: a float32 or float64, or an integer of any width.
func (m *Metadata) Float(key string) (float64, error) {
	switch v := m.values[key].(type) {
	case nil:
		return 0, missing(key)
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	default:
		n, ok := toInt(v)
		if !ok {
			return 0, wrongType(key, v, "a number")
		}
		return float64(n), nil
	}
}

// Ints returns an array of integers of any stored width.
func (m *Metadata) Ints(key string) ([]int, error) {
	v, ok := m.values[key]
	if !ok {
		return nil, missing(key)
	}
	ints, ok := toInts(v)
	if !ok {
		return nil, wrongType(key, v, "an array of integers")
	}
	return ints, nil
}

// Floats returns an array of float32 or float64 numbers, rounded to float32.
func (m *Metadata) Floats(key string) ([]float32, error) {
	switch v := m.values[key].(type) {
	case nil:
		return nil, missing(key)
	case []float32:
		return slices.Clone(v), nil
	case []float64:
		floats := make([]float32, len(v))
		for i, f := range v {
			floats[i] = float32(f)
		}
		return floats, nil
	default:
		return nil, wrongType(key, v, "an array of floats")
	}
}

func get[T any](m *Metadata, key, want string) (T, error) {
	v, ok := m.values[key]
	if !ok {
		var none T
		return none, missing(key)
	}
	t, ok := v.(T)
	if !ok {
		return t, wrongType(key, v, want)
	}
	return t, nil
}

func missing(key string) error { return fmt.Errorf("GGUF key %q: %w", key, ErrMissing) }

func wrongType(key string, v any, want string) error {
	switch v.(type) {
	case uint64, []uint64: // may be an integer that does not fit
		return fmt.Errorf("GGUF key %q is a %T with a value out of range, want %s", key, v, want)
	}
	return fmt.Errorf("GGUF key %q is a %T, want %s", key, v, want)
}

func toInt(v any) (int, bool) {
	switch v := v.(type) {
	case uint8:
		return int(v), true
	case int8:
		return int(v), true
	case uint16:
		return int(v), true
	case int16:
		return int(v), true
	case uint32:
		return int(v), uint64(v) <= math.MaxInt
	case int32:
		return int(v), true
	case uint64:
		return int(v), v <= math.MaxInt
	case int64:
		return int(v), v >= math.MinInt && v <= math.MaxInt
	}
	return 0, false
}

func toInts(v any) ([]int, bool) {
	switch v := v.(type) {
	case []uint8:
		return widen(v)
	case []int8:
		return widen(v)
	case []uint16:
		return widen(v)
	case []int16:
		return widen(v)
	case []uint32:
		return widen(v)
	case []int32:
		return widen(v)
	case []uint64:
		return widen(v)
	case []int64:
		return widen(v)
	}
	return nil, false
}

func widen[T uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64](v []T) ([]int, bool) {
	ints := make([]int, len(v))
	for i, x := range v {
		ints[i] = int(x)
		if T(ints[i]) != x || ints[i] < 0 != (x < 0) {
			return nil, false
		}
	}
	return ints, true
}

package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// valueType is the number by which the container names a value's type.
type valueType uint32

const (
	typeUint8 valueType = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// minBytes is the least that a value of a type takes in a file; 0 for a type that is unknown.
func (t valueType) minBytes() int64 {
	switch t {
	case typeUint8, typeInt8, typeBool:
		return 1
	case typeUint16, typeInt16:
		return 2
	case typeUint32, typeInt32, typeFloat32:
		return 4
	case typeUint64, typeInt64, typeFloat64, typeString:
		return 8
	case typeArray:
		return 12
	}
	return 0
}

// kind is how a Go value is stored: its own type, or an array with elements of that type.
type kind struct {
	element valueType
	array   bool
}

func typeOf(v any) (kind, bool) {
	switch v.(type) {
	case uint8:
		return kind{typeUint8, false}, true
	case int8:
		return kind{typeInt8, false}, true
	case uint16:
		return kind{typeUint16, false}, true
	case int16:
		return kind{typeInt16, false}, true
	case uint32:
		return kind{typeUint32, false}, true
	case int32:
		return kind{typeInt32, false}, true
	case float32:
		return kind{typeFloat32, false}, true
	case bool:
		return kind{typeBool, false}, true
	case string:
		return kind{typeString, false}, true
	case uint64:
		return kind{typeUint64, false}, true
	case int64:
		return kind{typeInt64, false}, true
	case float64:
		return kind{typeFloat64, false}, true
	case []uint8:
		return kind{typeUint8, true}, true
	case []int8:
		return kind{typeInt8, true}, true
	case []uint16:
		return kind{typeUint16, true}, true
	case []int16:
		return kind{typeInt16, true}, true
	case []uint32:
		return kind{typeUint32, true}, true
	case []int32:
		return kind{typeInt32, true}, true
	case []float32:
		return kind{typeFloat32, true}, true
	case []bool:
		return kind{typeBool, true}, true
	case []string:
		return kind{typeString, true}, true
	case []uint64:
		return kind{typeUint64, true}, true
	case []int64:
		return kind{typeInt64, true}, true
	case []float64:
		return kind{typeFloat64, true}, true
	}
	return kind{}, false
}

// scalar makes a value of b, the t.minBytes() bytes of a number or bool.
func scalar(t valueType, b []byte) (any, error) {
	le := binary.LittleEndian
	switch t {
	case typeUint8:
		return b[0], nil
	case typeInt8:
		return int8(b[0]), nil
	case typeUint16:
		return le.Uint16(b), nil
	case typeInt16:
		return int16(le.Uint16(b)), nil
	case typeUint32:
		return le.Uint32(b), nil
	case typeInt32:
		return int32(le.Uint32(b)), nil
	case typeFloat32:
		return math.Float32frombits(le.Uint32(b)), nil
	case typeBool:
		if b[0] > 1 {
			return nil, fmt.Errorf("a bool of %d", b[0])
		}
		return b[0] == 1, nil
	case typeUint64:
		return le.Uint64(b), nil
	case typeInt64:
		return int64(le.Uint64(b)), nil
	case typeFloat64:
		return math.Float64frombits(le.Uint64(b)), nil
	}
	return nil, fmt.Errorf("unknown value type %d", t)
}

// numbers makes a slice of n elements of b, which holds them one after another.
func numbers(t valueType, b []byte, n int) (any, error) {
	switch t {
	case typeUint8:
		return b, nil
	case typeInt8:
		return fill(t, make([]int8, n), b)
	case typeUint16:
		return fill(t, make([]uint16, n), b)
	case typeInt16:
		return fill(t, make([]int16, n), b)
	case typeUint32:
		return fill(t, make([]uint32, n), b)
	case typeInt32:
		return fill(t, make([]int32, n), b)
	case typeFloat32:
		return fill(t, make([]float32, n), b)
	case typeBool:
		for i, v := range b {
			if v > 1 {
				return nil, fmt.Errorf("element %d: a bool of %d", i, v)
			}
		}
		return fill(t, make([]bool, n), b)
	case typeUint64:
		return fill(t, make([]uint64, n), b)
	case typeInt64:
		return fill(t, make([]int64, n), b)
	case typeFloat64:
		return fill(t, make([]float64, n), b)
	}
	return nil, fmt.Errorf("unknown element type %d", t)
}

func fill[T any](t valueType, dst []T, b []byte) (any, error) {
	if _, err := binary.Decode(b, binary.LittleEndian, dst); err != nil {
		return nil, fmt.Errorf("elements of type %d: %w", t, err)
	}
	return dst, nil
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

// appendValue appends a value with its type in front of it.
func appendValue(b []byte, v any) ([]byte, error) {
	k, ok := typeOf(v)
	if !ok {
		return nil, fmt.Errorf("GGUF has no type for a %T", v)
	}
	le := binary.LittleEndian
	if k.array {
		b = le.AppendUint32(b, uint32(typeArray))
	}
	b = le.AppendUint32(b, uint32(k.element))
	switch v := v.(type) {
	case string:
		return appendString(b, v), nil
	case []string:
		b = le.AppendUint64(b, uint64(len(v)))
		for _, s := range v {
			b = appendString(b, s)
		}
		return b, nil
	}
	if k.array {
		b = le.AppendUint64(b, uint64(binary.Size(v))/uint64(k.element.minBytes()))
	}
	return binary.Append(b, le, v)
}

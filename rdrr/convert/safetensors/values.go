package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Floats returns the values of a tensor of F64, F32, F16 or BF16 as float32.
func (t *Tensor) Floats() ([]float32, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	var decode func(i int) float32
	switch t.DType {
	case F64:
		decode = func(i int) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))) }
	case F32:
		decode = func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
	case F16:
		decode = func(i int) float32 { return halfToFloat(binary.LittleEndian.Uint16(b[2*i:])) }
	case BF16:
		decode = func(i int) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16) }
	default:
		return nil, fmt.Errorf("tensor %s has dtype %s, want floats", t.Name, t.DType)
	}
	out := make([]float32, len(b)/t.DType.Bytes())
	for i := range out {
		out[i] = decode(i)
	}
	return out, nil
}

// Ints returns the values of a tensor of I64, I32 or U8.
func (t *Tensor) Ints() ([]int, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	var decode func(i int) int
	switch t.DType {
	case I64:
		decode = func(i int) int { return int(int64(binary.LittleEndian.Uint64(b[8*i:]))) }
	case I32:
		decode = func(i int) int { return int(int32(binary.LittleEndian.Uint32(b[4*i:]))) }
	case U8:
		decode = func(i int) int { return int(b[i]) }
	default:
		return nil, fmt.Errorf("tensor %s has dtype %s, want I64, I32 or U8", t.Name, t.DType)
	}
	out := make([]int, len(b)/t.DType.Bytes())
	for i := range out {
		out[i] = decode(i)
	}
	return out, nil
}

// halfToFloat widens an IEEE 754 half, exactly.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h&0x8000)<<16, int(h>>10&31), h&0x3ff
	switch exponent {
	case 0: // subnormal: a multiple of 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(math.Ldexp(float64(fraction), -24))))
	case 31: // infinite or NaN
		return math.Float32frombits(sign | 0xff<<23 | uint32(fraction)<<13)
	}
	return math.Float32frombits(sign | uint32(exponent-15+127)<<23 | uint32(fraction)<<13)
}

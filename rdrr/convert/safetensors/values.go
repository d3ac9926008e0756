package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"

	"shoal/rdrr/quant"
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
		decode = func(i int) float32 { return quant.F16ToF32(binary.LittleEndian.Uint16(b[2*i:])) }
	case BF16:
		decode = func(i int) float32 { return quant.BF16ToF32(binary.LittleEndian.Uint16(b[2*i:])) }
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

package cpu

import (
	"encoding/binary"
	"math"
	"unsafe"

	"shoal/rdrr/quant"
)

// viewF32 returns a stored F32 row as floats where the machine's byte order and the row's alignment allow it.
func viewF32(row []byte) ([]float32, bool) {
	if !littleEndian || len(row) == 0 || uintptr(unsafe.Pointer(&row[0]))%4 != 0 {
		return nil, false
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&row[0])), len(row)/4), true
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

func dotF32(row []byte, x []float32) float32 {
	if w, ok := viewF32(row); ok {
		return dot(w, x)
	}
	return dotDecoded(quant.F32, row, x)
}

func dotBF16(row []byte, x []float32) float32 {
	var a0, a1, a2, a3, a4, a5, a6, a7 float32
	for len(row) >= 16 && len(x) >= 8 {
		q, r := binary.LittleEndian.Uint64(row), binary.LittleEndian.Uint64(row[8:])
		a0 += float32(math.Float32frombits(uint32(q)<<16) * x[0])
		a1 += float32(math.Float32frombits(uint32(q)&0xffff0000) * x[1])
		a2 += float32(math.Float32frombits(uint32(q>>32)<<16) * x[2])
		a3 += float32(math.Float32frombits(uint32(q>>32)&0xffff0000) * x[3])
		a4 += float32(math.Float32frombits(uint32(r)<<16) * x[4])
		a5 += float32(math.Float32frombits(uint32(r)&0xffff0000) * x[5])
		a6 += float32(math.Float32frombits(uint32(r>>32)<<16) * x[6])
		a7 += float32(math.Float32frombits(uint32(r>>32)&0xffff0000) * x[7])
		row, x = row[16:], x[8:]
	}
	a := lanes{a0, a1, a2, a3, a4, a5, a6, a7}
	a.tail(quant.BF16, row, x)
	return a.sum()
}

// dotF16 moves the bits of a half to where a float32 has them and makes up for the difference of the exponents' biases with one
// exact product, which treats subnormals as any other. Infinities and NaN are the exception, looked for at the end.
func dotF16(row []byte, x []float32) float32 {
	var a0, a1, a2, a3, a4, a5, a6, a7 float32
	var special uint64
	rest, v := row, x
	for len(rest) >= 16 && len(v) >= 8 {
		q, r := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		special |= (q&halfMagnitude + halfInfinity) | (r&halfMagnitude + halfInfinity)
		a0 += float32(rebias(uint32(q)) * v[0])
		a1 += float32(rebias(uint32(q>>16)) * v[1])
		a2 += float32(rebias(uint32(q>>32)) * v[2])
		a3 += float32(rebias(uint32(q>>48)) * v[3])
		a4 += float32(rebias(uint32(r)) * v[4])
		a5 += float32(rebias(uint32(r>>16)) * v[5])
		a6 += float32(rebias(uint32(r>>32)) * v[6])
		a7 += float32(rebias(uint32(r>>48)) * v[7])
		rest, v = rest[16:], v[8:]
	}
	if special&^halfMagnitude != 0 {
		return dotDecoded(quant.F16, row, x)
	}
	a := lanes{a0, a1, a2, a3, a4, a5, a6, a7}
	a.tail(quant.F16, rest, v)
	return a.sum()
}

const (
	halfMagnitude = 0x7fff7fff7fff7fff
	halfInfinity  = 0x0400040004000400 // added to a magnitude from 0x7c00 on, it carries into the sign bit
)

func rebias(h uint32) float32 {
	return math.Float32frombits(h&0x8000<<16|h&0x7fff<<13) * 0x1p112
}

// dotDecoded is the slow way for any plain format.
func dotDecoded(t quant.Type, row []byte, x []float32) float32 {
	w := make([]float32, len(row)/t.BlockBytes())
	quant.Decode(t, w, row)
	return dot(w, x)
}

// tail adds the last up to seven weights of a row.
func (a *lanes) tail(t quant.Type, row []byte, x []float32) {
	var w lanes
	n := len(row) / t.BlockBytes()
	quant.Decode(t, w[:n], row)
	for c, v := range w[:n] {
		a[c] += float32(v * x[c])
	}
}

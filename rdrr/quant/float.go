package quant

import (
	"encoding/binary"
	"math"
)

// The plain formats store each weight on its own, little-endian, without blocks or padding:
//
//	F32   4 bytes, IEEE 754 binary32
//	F16   2 bytes, IEEE 754 binary16: sign 1, exponent 5 (bias 15), fraction 10; has subnormals, infinities and NaN
//	BF16  2 bytes, the upper half of a binary32: sign 1, exponent 8 (bias 127), fraction 7

// F16ToF32 widens a half-precision float. Every half has an exact float32; a NaN keeps its sign and payload.
func F16ToF32(h uint16) float32 {
	sign, mag := uint32(h&0x8000)<<16, uint32(h&0x7fff)
	switch {
	case mag >= 0x7c00: // infinity or NaN
		return math.Float32frombits(sign | 0x7f800000 | mag<<13)
	case mag >= 0x0400: // normal: rebias the exponent from 15 to 127
		return math.Float32frombits(sign | (mag<<13 + 112<<23))
	default: // zero or subnormal: mag * 2^-24, which is a normal float32
		return math.Float32frombits(sign | math.Float32bits(float32(int32(mag))*0x1p-24))
	}
}

// F32ToF16 rounds to the nearest half, ties to even. Magnitudes from 65520 become infinite, those up to 2^-25 become zero.
// A NaN stays a (quiet) NaN.
func F32ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign, mag := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case mag > 0x7f800000: // NaN
		return sign | 0x7e00 | uint16(mag>>13)&0x3ff
	case mag >= 0x477ff000: // 65520 and above
		return sign | 0x7c00
	case mag >= 0x38800000: // 2^-14 and above: a normal half. A carry out of the fraction raises the exponent, as it should.
		return sign | uint16((mag-112<<23+0xfff+mag>>13&1)>>13)
	default:
		// Adding 0.5 leaves the weight 2^-24 as the last bit of the sum, which the addition rounds to nearest even.
		return sign | uint16(math.Float32bits(math.Float32frombits(mag)+0.5)-0x3f000000)
	}
}

// BF16ToF32 widens a bfloat16, exactly.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 rounds to the nearest bfloat16, ties to even. A NaN stays a (quiet) NaN.
func F32ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func decodeF32(dst []float32, src []byte) {
	for len(dst) > 0 && len(src) >= 4 {
		dst[0] = math.Float32frombits(binary.LittleEndian.Uint32(src))
		dst, src = dst[1:], src[4:]
	}
}

func encodeF32(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

func decodeF16(dst []float32, src []byte) {
	for len(dst) > 0 && len(src) >= 2 {
		dst[0] = F16ToF32(binary.LittleEndian.Uint16(src))
		dst, src = dst[1:], src[2:]
	}
}

func encodeF16(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], F32ToF16(v))
	}
}

func decodeBF16(dst []float32, src []byte) {
	for len(dst) > 0 && len(src) >= 2 {
		dst[0] = BF16ToF32(binary.LittleEndian.Uint16(src))
		dst, src = dst[1:], src[2:]
	}
}

func encodeBF16(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], F32ToBF16(v))
	}
}

func getF16(b []byte) float32 { return F16ToF32(binary.LittleEndian.Uint16(b)) }

// putF16 stores a block's scale, which its callers keep from being NaN, and returns the value that a decoder will read.
func putF16(b []byte, f float32) float32 {
	h := F32ToF16(min(max(f, -maxF16), maxF16))
	binary.LittleEndian.PutUint16(b, h)
	return F16ToF32(h)
}

// putRange stores a scale that is to cover a range of integer codes. A subnormal half is rounded away from zero: rounded
// down, its coarse steps could leave the largest codes short by up to half, or by all where the result is zero.
func putRange(b []byte, f float32) float32 {
	if d := putF16(b, f); f > d && d >= 0 && f < 0x1p-14 || f < d && d <= 0 && f > -0x1p-14 {
		binary.LittleEndian.PutUint16(b, binary.LittleEndian.Uint16(b)+1)
	}
	return getF16(b)
}

const maxF16 = 65504

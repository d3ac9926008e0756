package quant

import (
	"fmt"
	"math"
)

// MXFP4 is the OCP Microscaling format (MX specification 1.0) with 32 e2m1 weights to an e8m0 scale, in ggml's block:
//
//	MXFP4, 17 bytes
//	 0  uint8  e        scale 2^(e-127)
//	 1  uint8  q[16]    low nibble: weight i, high nibble: weight i+16, for i in 0..15
//
//	x[i] = 2^(e-127) * e2m1(code)
//
// Codes 0..7 are 0, 0.5, 1, 1.5, 2, 3, 4, 6; bit 3 is the sign. The scale e = 255, NaN in the MX specification, is decoded
// as the power of two that the formula gives, as ggml does; weights may then be infinite.

// e2m1 holds the values of the sixteen codes, doubled.
var e2m1 = [16]float32{0, 1, 2, 3, 4, 6, 8, 12, float32(math.Copysign(0, -1)), -1, -2, -3, -4, -6, -8, -12}

// E8M0ToF32 returns 2^(e-127), and NaN for 255. The smallest, 2^-127, is a subnormal float32.
func E8M0ToF32(e uint8) float32 {
	switch e {
	case 255:
		return float32(math.NaN())
	case 0:
		return 0x1p-127
	}
	return math.Float32frombits(uint32(e) << 23)
}

// e8m0Half returns 2^(e-128), the factor for the doubled values of e2m1.
func e8m0Half(e uint8) float32 {
	if e < 2 {
		return math.Float32frombits(0x00200000 << e) // subnormal
	}
	return math.Float32frombits(uint32(e-1) << 23)
}

func decodeMXFP4(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 17 {
		lo, hi, q, d := dst[:16], dst[16:32], src[1:17], e8m0Half(src[0])
		for i := range lo {
			v := q[i]
			lo[i] = d * e2m1[v&15]
			hi[i] = d * e2m1[v>>4]
		}
		dst, src = dst[32:], src[17:]
	}
}

// maxE8M0 is the largest scale for which all weights are finite float32: 6 * 2^125.
const maxE8M0 = 252

// encodeMXFP4 tries the scale that puts the largest weight at 4 to 8 times it, and its two neighbours.
func encodeMXFP4(dst []byte, src []float32) {
	var x [32]float32
	var codes, best [32]uint8
	for ; len(src) >= 32; dst, src = dst[17:], src[32:] {
		clean(x[:], src[:32], 0x1.8p127)
		_, exp := math.Frexp(float64(largest(x[:])))
		middle, least, scale := exp-3+127, math.Inf(1), 0
		for e := middle - 1; e <= middle+1; e++ {
			e := min(max(e, 0), maxE8M0)
			if err := assignE2M1(&codes, &x, e); err < least {
				least, scale, best = err, e, codes
			}
		}
		dst[0] = uint8(scale)
		for i := range 16 {
			dst[1+i] = best[i] | best[i+16]<<4
		}
	}
}

// assignE2M1 gives every weight its nearest code (ties to the one with an even last bit) under scale 2^(e-127) and returns
// the sum of squared errors.
func assignE2M1(codes *[32]uint8, x *[32]float32, e int) float64 {
	inv := math.Ldexp(1, 128-e) // x * inv is the weight in units of half the scale
	var sum float64
	for i, v := range x {
		a := math.Abs(float64(v)) * inv
		var c uint8
		switch {
		case a <= 0.5:
			c = 0
		case a < 1.5:
			c = 1
		case a <= 2.5:
			c = 2
		case a < 3.5:
			c = 3
		case a <= 5:
			c = 4
		case a < 7:
			c = 5
		case a <= 10:
			c = 6
		default:
			c = 7
		}
		d := (float64(a) - float64(e2m1[c])) / inv
		sum += float64(d * d)
		if v < 0 && c != 0 {
			c |= 8
		}
		codes[i] = c
	}
	return sum
}

// MXFP4FromHub repacks one row of an MXFP4 checkpoint as the hub lays GPT-OSS out, without changing a weight. The tensor
// there is blocks uint8 [..., rows, groups, 16] and scales uint8 [..., rows, groups]; byte i of a group holds weight 2i in
// its low nibble and 2i+1 in its high one. blocks has the row's groups*16 bytes, scales its groups bytes, and dst
// MXFP4.RowBytes(32*groups) bytes.
func MXFP4FromHub(dst, blocks, scales []byte) error {
	groups := len(scales)
	if len(blocks) != 16*groups || len(dst) != 17*groups {
		return fmt.Errorf("repack MXFP4: a row of %d scales takes %d bytes of blocks and gives %d bytes, not %d and %d",
			groups, 16*groups, 17*groups, len(blocks), len(dst))
	}
	for g, scale := range scales {
		in, out := blocks[16*g:16*g+16], dst[17*g:17*g+17]
		out[0] = scale
		for i := range 8 {
			// Weights 2i, 2i+1 come from byte i and their partners 2i+16, 2i+17 from byte i+8.
			a, b := in[i], in[i+8]
			out[1+2*i] = a&15 | b<<4
			out[2+2*i] = a>>4 | b&0xf0
		}
	}
	return nil
}

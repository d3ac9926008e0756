package p2p

import (
	"encoding/binary"
	"math"
)

// Blocks of int8. A row is cut into blocks, the last of which may be short; none reaches into the next row, so that a row has
// the same bytes whatever it is sent with. A block is a scale in bf16 and one signed byte q for each value x:
//
//	scale = the least bf16 that is at least max|x| / 127,   q = x / scale rounded to nearest even,   x' = q * scale
//
// so |x' - x| <= scale/2, at most 0.4 % of the block's largest value. A scale in bf16 takes the bytes of one in f16 and has the
// range of f32: an outlier beyond 65504 * 127 does not overflow, and f16's gaps near 0 do not matter. A block with a value that
// is not finite has a scale that is none, which the reader notices; a block whose values are all under 2^-100 becomes 0.

// smallest is the largest value under which a block is taken as 0. Its scale's inverse is still finite.
const smallest = 0x1p-100

// shift rounds: adding it to a float32 below 2^22 leaves the integer in the low bits, rounded to nearest even.
const shift = 3 << 22

// encodeBlocks writes a row and returns what is left of out.
func encodeBlocks(out []byte, block int, row []float32) []byte {
	for len(row) > 0 {
		x := row[:min(block, len(row))]
		row = row[len(x):]
		var largest uint32 // bits of the largest magnitude; they order as the values do, NaN above all
		for _, v := range x {
			largest = max(largest, math.Float32bits(v)&^(1<<31))
		}
		q := out[2 : 2+len(x)]
		switch {
		case largest >= notFinite:
			binary.LittleEndian.PutUint16(out, 0x7fc0)
			clear(q)
		case math.Float32frombits(largest) < smallest:
			binary.LittleEndian.PutUint16(out, 0)
			clear(q)
		default:
			bits := math.Float32bits(math.Float32frombits(largest) / 127)
			scale := uint16((bits + 0xffff) >> 16) // up
			binary.LittleEndian.PutUint16(out, scale)
			value := math.Float32frombits(uint32(scale) << 16)
			inverse := 1 / value
			for i, v := range x {
				// The conversion keeps the product from being fused with the sum, which would round otherwise on some machines.
				q[i] = byte(math.Float32bits(float32(v*inverse) + shift))
			}
			if value > math.MaxFloat32/127 {
				capLargest(q, value)
			}
		}
		out = out[2+len(x):]
	}
	return out
}

// capLargest takes one off where rounding went over the largest float32.
func capLargest(q []byte, scale float32) {
	for i, v := range q {
		switch value := float64(int8(v)) * float64(scale); {
		case value > math.MaxFloat32:
			q[i]--
		case value < -math.MaxFloat32:
			q[i]++
		}
	}
}

// decodeBlocks reads a row. It returns what is left of b, and the index of the first block with values that are not finite, or
// -1.
func decodeBlocks(row []float32, block int, b []byte) (rest []byte, bad int) {
	bad = -1
	for at := 0; at < len(row); at += block {
		y := row[at:min(at+block, len(row))]
		scale := math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
		q := b[2 : 2+len(y)]
		for i := range y {
			y[i] = float32(int8(q[i])) * scale
		}
		if !(scale <= math.MaxFloat32/128 && scale >= -math.MaxFloat32/128) && bad < 0 { // else no product overflows
			for _, v := range y {
				if math.Float32bits(v)&notFinite == notFinite {
					bad = at
				}
			}
		}
		b = b[2+len(y):]
	}
	return b, bad
}

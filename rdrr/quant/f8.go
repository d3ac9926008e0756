package quant

import (
	"encoding/binary"
	"fmt"
	"math"
)

// F8E4M3 holds 128 weights of a row as 8-bit floats (e4m3fn of the OCP 8-bit floating point specification) with one scale:
//
//	F8_E4M3, 132 bytes
//	 0  f32    s
//	 4  uint8  q[128]
//
//	x[i] = s * e4m3(q[i])
//
// e4m3fn has a sign bit, 4 exponent bits (bias 7) and 3 fraction bits; its largest value is 448, its subnormals are multiples
// of 2^-9, it has no infinity, and 0x7f and 0xff are NaN.

const (
	f8Block = 128
	f8Bytes = 132
	maxE4M3 = 448
)

var e4m3Values = makeE4M3()

func makeE4M3() (values [256]float32) {
	for b := range values {
		exp, frac := b>>3&15, float64(b&7)
		v := math.Ldexp(8+frac, exp-10)
		if exp == 0 {
			v = frac / 512
		} else if b&0x7f == 0x7f {
			v = math.NaN()
		}
		if b >= 128 {
			v = math.Copysign(v, -1)
		}
		values[b] = float32(v)
	}
	return values
}

// E4M3ToF32 widens an e4m3fn float, exactly.
func E4M3ToF32(b uint8) float32 { return e4m3Values[b] }

// F32ToE4M3 rounds to the nearest e4m3fn value, ties to even. Magnitudes above 448, infinities included, become 448: the
// format has no infinity. A NaN stays NaN.
func F32ToE4M3(f float32) uint8 {
	b := math.Float32bits(f)
	sign, mag := uint8(b>>24)&0x80, b&0x7fffffff
	switch {
	case mag > 0x7f800000:
		return sign | 0x7f
	case mag >= 0x43e00000: // 448 and above
		return sign | 0x7e
	case mag >= 0x3c800000: // 2^-6 and above: a normal value. A carry out of the fraction raises the exponent.
		return sign | uint8((mag-120<<23+0x7ffff+mag>>20&1)>>20)
	default:
		// Adding 2^14 leaves 2^-9 as the last bit of the sum, which the addition rounds to nearest even.
		return sign | uint8(math.Float32bits(math.Float32frombits(mag)+0x1p14)-0x46800000)
	}
}

func decodeF8(dst []float32, src []byte) {
	for len(dst) >= f8Block && len(src) >= f8Bytes {
		y, q := dst[:f8Block], src[4:f8Bytes]
		s := math.Float32frombits(binary.LittleEndian.Uint32(src))
		for i := range y {
			y[i] = s * e4m3Values[q[i]]
		}
		dst, src = dst[f8Block:], src[f8Bytes:]
	}
}

// encodeF8 scales the largest magnitude of a block to 448.
func encodeF8(dst []byte, src []float32) {
	var x [f8Block]float32
	for ; len(src) >= f8Block; dst, src = dst[f8Bytes:], src[f8Block:] {
		clean(x[:], src[:f8Block], math.MaxFloat32)
		s := largest(x[:]) / maxE4M3
		if s*maxE4M3 > math.MaxFloat32 {
			s = math.Nextafter32(s, 0)
		}
		binary.LittleEndian.PutUint32(dst, math.Float32bits(s))
		for i, v := range x {
			dst[4+i] = 0
			if s > 0 {
				dst[4+i] = F32ToE4M3(v / s)
			}
		}
	}
}

// F8Row packs one row of an FP8 checkpoint with block scales, without changing a weight. weights has the row's e4m3fn bytes;
// scales the row's line of the scale tensor, one float for every blockCols weights, by which they are multiplied (the hub's
// weight_scale_inv). blockCols must be a multiple of 128. dst has F8E4M3.RowBytes(len(weights)) bytes; padding weights are 0.
func F8Row(dst, weights []byte, scales []float32, blockCols int) error {
	cols := len(weights)
	if blockCols < 1 || blockCols%f8Block != 0 {
		return fmt.Errorf("pack FP8: scale blocks of %d columns: only multiples of %d can be kept exactly", blockCols, f8Block)
	}
	if want := (cols-1)/blockCols + 1; cols > 0 && len(scales) != want {
		return fmt.Errorf("pack FP8: a row of %d weights has %d scales, not %d", cols, want, len(scales))
	}
	if want := F8E4M3.RowBytes(cols); len(dst) != want {
		return fmt.Errorf("pack FP8: a row of %d weights takes %d bytes, not %d", cols, want, len(dst))
	}
	for c := 0; c < cols; c += f8Block {
		binary.LittleEndian.PutUint32(dst, math.Float32bits(scales[c/blockCols]))
		n := copy(dst[4:f8Bytes], weights[c:])
		clear(dst[4+n : f8Bytes])
		dst = dst[f8Bytes:]
	}
	return nil
}

// F8Rows packs a matrix of an FP8 checkpoint as [F8Row] does: weights [rows, cols] in e4m3fn and scales
// [ceil(rows/blockRows), ceil(cols/blockCols)]. dst has rows * F8E4M3.RowBytes(cols) bytes.
func F8Rows(dst, weights []byte, rows, cols int, scales []float32, blockRows, blockCols int) error {
	if rows < 1 || cols < 1 || blockRows < 1 || blockCols < 1 {
		return fmt.Errorf("pack FP8: [%d, %d] weights in scale blocks of [%d, %d]", rows, cols, blockRows, blockCols)
	}
	across, down := (cols-1)/blockCols+1, (rows-1)/blockRows+1
	if len(weights)/rows != cols || len(weights)%rows != 0 {
		return fmt.Errorf("pack FP8: [%d, %d] weights in %d bytes", rows, cols, len(weights))
	}
	if len(scales)/down != across || len(scales)%down != 0 {
		return fmt.Errorf("pack FP8: [%d, %d] weights in scale blocks of [%d, %d] have [%d, %d] scales, not %d",
			rows, cols, blockRows, blockCols, down, across, len(scales))
	}
	stride := F8E4M3.RowBytes(cols)
	if len(dst)/rows != stride || len(dst)%rows != 0 {
		return fmt.Errorf("pack FP8: %d rows take %d bytes each, not %d in all", rows, stride, len(dst))
	}
	for r := range rows {
		line := scales[r/blockRows*across:][:across]
		if err := F8Row(dst[r*stride:(r+1)*stride], weights[r*cols:(r+1)*cols], line, blockCols); err != nil {
			return err
		}
	}
	return nil
}

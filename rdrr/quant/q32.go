package quant

// Q8_0 and Q4_0 hold 32 weights x[0..31] and one f16 scale d.
//
//	Q8_0, 34 bytes              Q4_0, 18 bytes
//	 0  f16   d                  0  f16    d
//	 2  int8  q[32]              2  uint8  q[16]
//	x[i] = d * q[i]             x[i]    = d * ((q[i] & 15) - 8)
//	                            x[i+16] = d * ((q[i] >> 4) - 8)     for i in 0..15

func decodeQ8(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 34 {
		y, q, d := dst[:32], src[2:34], getF16(src)
		for i := range y {
			y[i] = d * float32(int8(q[i]))
		}
		dst, src = dst[32:], src[34:]
	}
}

// encodeQ8 scales the largest magnitude of a block to 127. Codes are computed from the scale as stored, so that its
// rounding to f16 costs nothing but range.
func encodeQ8(dst []byte, src []float32) {
	var x [32]float32
	for ; len(src) >= 32; dst, src = dst[34:], src[32:] {
		clean(x[:], src[:32], 127*maxF16)
		d := putRange(dst, largest(x[:])/127)
		inv := inverse(d)
		for i, v := range x {
			dst[2+i] = byte(int8(nearest(v*inv, -127, 127)))
		}
	}
}

func decodeQ4(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 18 {
		lo, hi, q, d := dst[:16], dst[16:32], src[2:18], getF16(src)
		for i := range lo {
			v := q[i]
			lo[i] = d * signedNibble[v&15]
			hi[i] = d * signedNibble[v>>4]
		}
		dst, src = dst[32:], src[18:]
	}
}

var signedNibble = [16]float32{-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7}

func encodeQ4(dst []byte, src []float32) {
	var x [32]float32
	for ; len(src) >= 32; dst, src = dst[18:], src[32:] {
		clean(x[:], src[:32], 8*maxF16)
		d := putF16(dst, symmetricScale(x[:], 8))
		inv := inverse(d)
		for i := range 16 {
			lo := nearest(x[i]*inv, -8, 7) + 8
			hi := nearest(x[i+16]*inv, -8, 7) + 8
			dst[2+i] = byte(lo | hi<<4)
		}
	}
}

package quant

// Q6_K holds 256 weights in 16 sub-blocks of 16, each with an int8 scale, which the f16 factor d of the block turns into a
// float. Codes are 6 bits with an offset of 32.
//
//	Q6_K, 210 bytes
//	   0  uint8  ql[128]   low four bits
//	 128  uint8  qh[64]    high two bits
//	 192  int8   sc[16]
//	 208  f16    d
//
//	x[i] = (d * sc[i/16]) * (code[i] - 32)
//
// The two halves of the block (k = 0, 1) follow the same pattern. For l in 0..31 and quarter r in 0..3, weight 128k + 32r + l
// has its high bits at bit 2r of qh[32k + l], and its low bits in ql[64k + 32*(r%2) + l]: the low nibble for r of 0 and 1, the
// high nibble for r of 2 and 3.

func decodeQ6K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 210 {
		d := getF16(src[208:])
		for k := range 2 {
			ql0, ql1 := src[64*k:64*k+32], src[64*k+32:64*k+64]
			qh, sc := src[128+32*k:160+32*k], src[192+8*k:200+8*k]
			y0, y1 := dst[128*k:128*k+32], dst[128*k+32:128*k+64]
			y2, y3 := dst[128*k+64:128*k+96], dst[128*k+96:128*k+128]
			for half := range 2 {
				d0, d1 := d*float32(int8(sc[half])), d*float32(int8(sc[half+2]))
				d2, d3 := d*float32(int8(sc[half+4])), d*float32(int8(sc[half+6]))
				for l := 16 * half; l < 16*half+16; l++ {
					a, b, h := ql0[l], ql1[l], qh[l]
					y0[l] = d0 * float32(int32(a&15|h&3<<4)-32)
					y1[l] = d1 * float32(int32(b&15|h>>2&3<<4)-32)
					y2[l] = d2 * float32(int32(a>>4|h>>4&3<<4)-32)
					y3[l] = d3 * float32(int32(b>>4|h>>6<<4)-32)
				}
			}
		}
		dst, src = dst[256:], src[210:]
	}
}

func encodeQ6K(dst []byte, src []float32) {
	var x [256]float32
	var codes [256]uint8
	for ; len(src) >= 256; dst, src = dst[210:], src[256:] {
		clean(x[:], src[:256], 127*32*maxF16)
		var scale [16]float32
		var extreme float32
		for j := range scale {
			scale[j] = symmetricScale(x[16*j:16*j+16], 32)
			if scale[j]*scale[j] > extreme*extreme {
				extreme = scale[j]
			}
		}
		// The sub-block with the largest scale gets -128, the end of int8's range that has one value more.
		d := putRange(dst[208:], extreme/-128)
		inv := inverse(d)
		for j := range scale {
			sub := x[16*j : 16*j+16]
			sc := settleSymmetric(sub, d, nearest(scale[j]*inv, -128, 127))
			dst[192+j] = byte(int8(sc))
			s := inverse(d * float32(sc))
			for l, v := range sub {
				codes[16*j+l] = uint8(nearest(v*s, -32, 31) + 32)
			}
		}
		packQ6(dst, &codes)
	}
}

// packQ6 writes 256 six-bit codes to the first 192 bytes of a block.
func packQ6(b []byte, codes *[256]uint8) {
	for k := range 2 {
		for l := range 32 {
			c0, c1 := codes[128*k+l], codes[128*k+32+l]
			c2, c3 := codes[128*k+64+l], codes[128*k+96+l]
			b[64*k+l] = c0&15 | c2<<4
			b[64*k+32+l] = c1&15 | c3<<4
			b[128+32*k+l] = c0>>4 | c1>>4<<2 | c2>>4<<4 | c3>>4<<6
		}
	}
}

// settleSymmetric picks the integer scale with the least squared error among sc and its neighbours.
func settleSymmetric(x []float32, d float32, sc int32) int32 {
	best, least := sc, float32(-1)
	for a := max(sc-1, -128); a <= min(sc+1, 127); a++ {
		s := d * float32(a)
		inv := inverse(s)
		var e float32
		for _, v := range x {
			r := float32(s*float32(nearest(v*inv, -32, 31))) - v
			e += float32(r * r)
		}
		if least < 0 || e < least {
			best, least = a, e
		}
	}
	return best
}

package quant

// Q4_K and Q5_K hold 256 weights in 8 sub-blocks of 32. Sub-block j has a 6-bit scale sc[j] and a 6-bit offset mn[j], which
// the f16 factors d and dmin of the block turn into floats. Codes are 4 or 5 bits and not negative.
//
//	Q4_K, 144 bytes               Q5_K, 176 bytes
//	  0  f16    d                   0  f16    d
//	  2  f16    dmin                2  f16    dmin
//	  4  uint8  s[12]               4  uint8  s[12]
//	 16  uint8  q[128]             16  uint8  h[32]
//	                               48  uint8  q[128]
//
//	x[32j + l] = (d * sc[j]) * code - (dmin * mn[j])             for j in 0..7, l in 0..31
//
// The 32 bytes of q from 32*(j/2) hold sub-block j in their low nibbles if j is even and in their high nibbles if it is odd;
// byte l holds weight l. In Q5_K bit j of h[l] is added to that as 16. The twelve bytes s hold the 6-bit numbers:
//
//	j in 0..3:  sc[j] = s[j] & 63                                mn[j] = s[j+4] & 63
//	j in 4..7:  sc[j] = (s[j+4] & 15) | (s[j-4] >> 6) << 4       mn[j] = (s[j+4] >> 4) | (s[j] >> 6) << 4

// unpackScales returns the eight 6-bit scales and offsets of s, 12 bytes.
func unpackScales(s []byte) (sc, mn [8]uint8) {
	_ = s[11]
	for j := range 4 {
		sc[j], mn[j] = s[j]&63, s[j+4]&63
		sc[j+4] = s[j+8]&15 | s[j]>>6<<4
		mn[j+4] = s[j+8]>>4 | s[j+4]>>6<<4
	}
	return sc, mn
}

func packScales(s []byte, sc, mn *[8]uint8) {
	for j := range 4 {
		s[j] = sc[j] | sc[j+4]>>4<<6
		s[j+4] = mn[j] | mn[j+4]>>4<<6
		s[j+8] = sc[j+4]&15 | mn[j+4]<<4
	}
}

var nibble = [16]float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

func decodeQ4K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 144 {
		d, dmin := getF16(src), getF16(src[2:])
		sc, mn := unpackScales(src[4:16])
		for j := 0; j < 8; j += 2 {
			q := src[16+16*j : 48+16*j]
			lo, hi := dst[32*j:32*j+32], dst[32*j+32:32*j+64]
			d0, m0 := d*float32(sc[j]), float32(dmin*float32(mn[j]))
			d1, m1 := d*float32(sc[j+1]), float32(dmin*float32(mn[j+1]))
			for l, v := range q {
				lo[l] = float32(d0*nibble[v&15]) - m0
				hi[l] = float32(d1*nibble[v>>4]) - m1
			}
		}
		dst, src = dst[256:], src[144:]
	}
}

func decodeQ5K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 176 {
		d, dmin := getF16(src), getF16(src[2:])
		sc, mn := unpackScales(src[4:16])
		h := src[16:48]
		for j := 0; j < 8; j += 2 {
			q := src[48+16*j : 80+16*j]
			lo, hi := dst[32*j:32*j+32], dst[32*j+32:32*j+64]
			d0, m0 := d*float32(sc[j]), float32(dmin*float32(mn[j]))
			d1, m1 := d*float32(sc[j+1]), float32(dmin*float32(mn[j+1]))
			for l, v := range q {
				b := h[l] >> (j & 6)
				lo[l] = float32(d0*float32(int32(v&15|b&1<<4))) - m0
				hi[l] = float32(d1*float32(int32(v>>4|b&2<<3))) - m1
			}
		}
		dst, src = dst[256:], src[176:]
	}
}

func encodeQ4K(dst []byte, src []float32) {
	var codes [256]uint8
	for ; len(src) >= 256; dst, src = dst[144:], src[256:] {
		encodeAffine(&codes, dst[:16], src[:256], 15)
		packNibbles(dst[16:144], &codes)
	}
}

func encodeQ5K(dst []byte, src []float32) {
	var codes [256]uint8
	for ; len(src) >= 256; dst, src = dst[176:], src[256:] {
		encodeAffine(&codes, dst[:16], src[:256], 31)
		for l := range 32 {
			var h uint8
			for j := range 8 {
				h |= codes[32*j+l] >> 4 << j
			}
			dst[16+l] = h
		}
		packNibbles(dst[48:176], &codes)
	}
}

// packNibbles writes the low four bits of 256 codes to q, 128 bytes.
func packNibbles(q []byte, codes *[256]uint8) {
	for j := 0; j < 8; j += 2 {
		for l := range 32 {
			q[16*j+l] = codes[32*j+l]&15 | codes[32*j+32+l]<<4
		}
	}
}

// encodeAffine quantises 256 weights to codes in [0, n], and writes the 16 bytes d, dmin and s of the block to head.
func encodeAffine(codes *[256]uint8, head []byte, src []float32, n int32) {
	var x [256]float32
	clean(x[:], src, 63*maxF16)
	var scale, offset [8]float32
	var maxScale, maxOffset float32
	for j := range 8 {
		scale[j], offset[j] = affineScale(x[32*j:32*j+32], n)
		maxScale, maxOffset = max(maxScale, scale[j]), max(maxOffset, offset[j])
	}
	d, dmin := putRange(head, maxScale/63), putRange(head[2:], maxOffset/63)
	invD, invMin, top := inverse(d), inverse(dmin), float32(n)
	var sc, mn [8]uint8
	for j := range 8 {
		sub := x[32*j : 32*j+32]
		sc[j], mn[j] = settle(sub, d, dmin, code(scale[j]*invD, 63), code(offset[j]*invMin, 63), top)
		s, m := d*float32(sc[j]), float32(dmin*float32(mn[j]))
		inv := inverse(s)
		for l, v := range sub {
			codes[32*j+l] = uint8(code((v+m)*inv, top))
		}
	}
	packScales(head[4:], &sc, &mn)
}

// settle picks, among the 6-bit scale and offset nearest to those that were searched and their neighbours, the pair with the
// least squared error: rounding each on its own ignores that they make up for each other.
func settle(x []float32, d, dmin float32, sc, mn int32, top float32) (bestSc, bestMn uint8) {
	least := float32(-1)
	for a := max(sc-1, 0); a <= min(sc+1, 63); a++ {
		s := d * float32(a)
		inv := inverse(s)
		for b := max(mn-1, 0); b <= min(mn+1, 63); b++ {
			if e := affineError(x, s, float32(dmin*float32(b)), inv, top); least < 0 || e < least {
				least, bestSc, bestMn = e, uint8(a), uint8(b)
			}
		}
	}
	return bestSc, bestMn
}

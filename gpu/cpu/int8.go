package cpu

import (
	"math"
	"unsafe"

	"shoal/rdrr/quant"
)

// # Products with 8-bit activations
//
// With [Options].Int8, a vector is rounded before it is multiplied with weights of the formats below: each block of 32 elements to
// q = round(x / d), int8, with d = max|x| / 127. Products of codes and q are then integers, and exact; a block of 32 is scaled once.
// Element c of a block is in the integer sum c/4, and these are added to eight accumulators in order of blocks:
//
//	acc[l] = fma(float32(sum[l]), (scale of the weights) * d, acc[l])             y = sum of acc - offsets
//
// Offsets, of the formats that subtract one from codes (Q4_K and Q5_K: dmin*mn; Q6_K: 32 times the scale), are multiplied with the
// sums d * (q + ... + q) of 32 or 16 elements.
//
// # Error
//
// |x - d q| <= d / 2, so that a product is off by at most sum over blocks of max|x| / 254 * (|w| + ... + |w|) beyond float32's own
// roundings, those of gpu/gputest. Blocks whose largest magnitude is below 2^-100 count as zeros.
//
// Results are the same on every machine, and a row's do not depend on its batch.

// chunk is 256 elements of a rounded vector. Kernels know its layout.
type chunk struct {
	q      [256]int8
	d      [8]float32
	sums32 [8]float32
	sums16 [16]float32
}

// quantiseBlock rounds block j of a chunk. An infinite or NaN element makes the block's products NaN.
func (c *chunk) quantiseBlock(j int, x []float32) {
	var top uint32 // magnitudes compare as their bits do, and NaN above all
	for _, v := range x[:32] {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	m := math.Float32frombits(top)
	d, inv := m/127, 127/m
	if m < 0x1p-100 {
		d, inv = 0, 0
	}
	var sums [2]int32
	for i, v := range x[:32] {
		q := int8(math.RoundToEven(float64(v * inv)))
		c.q[32*j+i] = q
		sums[i/16] += int32(q)
	}
	c.d[j], c.sums32[j] = d, float32(sums[0]+sums[1])*d
	c.sums16[2*j], c.sums16[2*j+1] = float32(sums[0])*d, float32(sums[1])*d
}

// quantise rounds x, whose length is a multiple of 32, to chunks.
func (k *kernels) quantise(chunks []chunk, x []float32) {
	for i := range chunks {
		part := x[256*i : min(256*(i+1), len(x))]
		if k != nil {
			k.quantiseBlocks((*byte)(unsafe.Pointer(&chunks[i])), &part[0], len(part)/32)
			continue
		}
		for j := range len(part) / 32 {
			chunks[i].quantiseBlock(j, part[32*j:])
		}
	}
}

// int8Kernels multiply two rows with one rounded vector, and one row with four. Rows are chunks of 256 weights and, for the formats
// with blocks of 32, rest more blocks. y is [rows][vectors].
type int8Kernels struct {
	two  func(a, b, x *byte, y *float32, chunks, rest int)
	four func(a, x0, x1, x2, x3 *byte, y *float32, chunks, rest int)
}

// hasInt8 reports whether products with rows of this format and length are taken with rounded vectors.
func hasInt8(t quant.Type, cols int) bool {
	switch t {
	case quant.Q8_0, quant.Q4_0, quant.MXFP4, quant.Q4_K, quant.Q5_K, quant.Q6_K:
		return cols%t.BlockSize() == 0
	}
	return false
}

// multiplyInt8 computes rows from to before to of a product whose vectors are rounded, chunks per vector at p.rounded.
func (m *matrix) multiplyInt8(k *kernels, p *product, from, to int) {
	n := len(p.in)
	if k == nil {
		for r := from; r < to; r++ {
			for i := range n {
				p.out[i][r] = plus(dotInt8(m.format, p.data[r*m.stride:][:m.stride], p.rounded[i], m.cols), p.bias, r)
			}
		}
		return
	}
	f, chunks, rest := k.int8s[m.format], m.cols/256, m.cols%256/32
	at := func(i int) *byte { return (*byte)(unsafe.Pointer(&p.rounded[i][0])) }
	var y [4]float32
	for r := from; r < to; r += panelRows { // few enough to stay in the first-level cache while the vectors pass by
		last, i := min(r+panelRows, to), 0
		for ; i+4 <= n; i += 4 {
			for row := r; row < last; row++ {
				f.four(first(p.data, row*m.stride), at(i), at(i+1), at(i+2), at(i+3), &y[0], chunks, rest)
				for j, v := range y {
					p.out[i+j][row] = plus(v, p.bias, row)
				}
			}
		}
		for ; i < n; i++ {
			for row := r; row < last; row += 2 {
				next := min(row+1, last-1)
				f.two(first(p.data, row*m.stride), first(p.data, next*m.stride), at(i), &y[0], chunks, rest)
				p.out[i][next] = plus(y[1], p.bias, next)
				p.out[i][row] = plus(y[0], p.bias, row)
			}
		}
	}
}

// dotInt8 is the product of a row with a rounded vector in Go.
func dotInt8(t quant.Type, row []byte, x []chunk, cols int) float32 {
	var acc, offsets lanes
	var codes [256]int8
	var scales [16]float32 // of sixteen weights each
	var minima [16]float32
	block, size := t.BlockSize(), t.BlockBytes()
	for at := 0; at < cols; at += block {
		b := row[at/block*size:][:size]
		unpackInt8(t, b, &codes, &scales, &minima)
		c := &x[at/256]
		for j := range block / 32 {
			xj := at%256/32 + j
			for l := range acc {
				var sum int32
				for i := 4 * l; i < 4*l+4; i++ {
					sum += int32(codes[32*j+i]) * int32(c.q[32*xj+i])
				}
				acc[l] = fma(float32(sum), scales[2*j+l/4]*c.d[xj], acc[l])
			}
		}
		switch t {
		case quant.Q4_K, quant.Q5_K:
			for j := range offsets {
				offsets[j] += float32(minima[2*j] * c.sums32[j])
			}
		case quant.Q6_K:
			for i := range scales {
				offsets[i%8] += float32(scales[i] * c.sums16[i])
			}
		}
	}
	switch t {
	case quant.Q4_K, quant.Q5_K:
		return acc.sum() - offsets.sum()
	case quant.Q6_K:
		return acc.sum() - float32(offsets.sum()*32)
	}
	return acc.sum()
}

// fma returns a * b + c rounded once. The product is exact in float64; a sum that is not gets an odd last bit, by which rounding it
// again to float32 is as good as rounding the true sum (Boldo and Melquiond 2008, Emulation of FMA and correctly rounded sums).
func fma(a, b, c float32) float32 {
	p, d := float64(a)*float64(b), float64(c)
	s := p + d
	v := s - p
	if e := (p - (s - v)) + (d - v); e != 0 && math.Float64bits(s)&1 == 0 { // what rounding took from the sum, exactly (Knuth)
		if (e > 0) == (s > 0) {
			s = math.Float64frombits(math.Float64bits(s) + 1)
		} else {
			s = math.Float64frombits(math.Float64bits(s) - 1)
		}
	}
	return float32(s)
}

// unpackInt8 writes the codes of a block, and the scales and offsets of its sixteens.
func unpackInt8(t quant.Type, b []byte, codes *[256]int8, scales, minima *[16]float32) {
	switch t {
	case quant.Q8_0:
		scales[0] = half(b)
		for i := range 32 {
			codes[i] = int8(b[2+i])
		}
	case quant.Q4_0:
		scales[0] = half(b)
		for i := range 16 {
			codes[i], codes[i+16] = int8(b[2+i]&15)-8, int8(b[2+i]>>4)-8
		}
	case quant.MXFP4:
		scales[0] = float32(math.Ldexp(1, int(b[0])-128))
		for i := range 16 {
			codes[i], codes[i+16] = doubledE2M1[b[1+i]&15], doubledE2M1[b[1+i]>>4]
		}
	case quant.Q4_K, quant.Q5_K:
		d, dmin, s := half(b), half(b[2:]), (*[12]byte)(b[4:])
		q := b[16:]
		if t == quant.Q5_K {
			q = b[48:]
		}
		for j := range 8 {
			sc, mn := scaleK(s, j)
			scales[2*j], scales[2*j+1] = d*float32(sc), d*float32(sc)
			minima[2*j], minima[2*j+1] = dmin*float32(mn), dmin*float32(mn)
			for l := range 32 {
				code := q[j/2*32+l] >> (4 * (j % 2)) & 15
				if t == quant.Q5_K {
					code |= b[16+l] >> j & 1 << 4
				}
				codes[32*j+l] = int8(code)
			}
		}
		return
	case quant.Q6_K:
		d := half(b[208:])
		for i := range scales {
			scales[i] = d * float32(int8(b[192+i]))
		}
		for j := range 8 {
			k, r := j/4, j%4
			for l := range 32 {
				codes[32*j+l] = int8(b[64*k+32*(r%2)+l]>>(r/2*4)&15 | b[128+32*k+l]>>(2*r)&3<<4)
			}
		}
		return
	}
	scales[1] = scales[0]
}

var doubledE2M1 = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

// scaleK returns the scale and offset of sub-block j, see quant's q4k.go.
func scaleK(s *[12]byte, j int) (sc, mn byte) {
	if j < 4 {
		return s[j] & 63, s[j+4] & 63
	}
	return s[j+4]&15 | s[j-4]>>6<<4, s[j+4]>>4 | s[j]>>6<<4
}

// round rounds the vectors of products, each once though several products share it.
func (d *Device) round(products []product, cols int) {
	size := (cols + 255) / 256
	at := make(map[*float32]int, len(products))
	var rows [][]float32
	for _, p := range products {
		for _, x := range p.in {
			if _, ok := at[&x[0]]; !ok {
				at[&x[0]] = len(rows)
				rows = append(rows, x)
			}
		}
	}
	chunks := make([]chunk, len(rows)*size)
	d.pool.split(len(rows), cols/4+1, func(from, to int) {
		for i := from; i < to; i++ {
			d.kernels.quantise(chunks[i*size:(i+1)*size], rows[i])
		}
	})
	for i := range products {
		p := &products[i]
		p.rounded = make([][]chunk, len(p.in))
		for j, x := range p.in {
			p.rounded[j] = chunks[at[&x[0]]*size:][:size]
		}
	}
}

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A quantised vector, as gpu/cpu/int8.go describes it: chunks of 256 int8, 8 scales, 8 scaled sums of 32 and 16 of 16.
const (
	chunkBytes   = 384
	chunkScales  = 256
	chunkSums32  = 288
	chunkSums16  = 320
	chunkWeights = 256
)

// coded is a format whose codes are multiplied as integers.
type coded struct {
	name   string
	block  int  // bytes of 32 weights, or of 256 for the K formats
	k      bool // blocks of 256
	signed bool // codes are int8, not uint8
	// codes returns the 32 codes of sub-block j of the block at p.
	codes func(p Register, j int, c *shared) VecVirtual
	// scale returns the scale of a block of 32 weights.
	scale func(p Register, offset int) VecVirtual
}

var codedFormats = []coded{
	{"Q8_0", 34, false, true, codesQ8, half},
	{"Q4_0", 18, false, true, codesQ4, half},
	{"MXFP4", 17, false, true, codesMXFP4, scaleMXFP4},
	{"Q4_K", 144, true, false, codesQ4K, nil},
	{"Q5_K", 176, true, false, codesQ5K, nil},
	{"Q6_K", 210, true, false, codesQ6K, nil},
}

var needsInt8 = map[string][]uint32{
	"Q8_0":  nil,
	"Q4_0":  {0x0f0f0f0f, 0x08080808},
	"MXFP4": {0x0f0f0f0f},
	"Q4_K":  {0x0f0f0f0f},
	"Q5_K":  {0x0f0f0f0f, 0x10101010},
	"Q6_K":  {0x0f0f0f0f, 0x30303030},
}

func codesQ8(p Register, j int, _ *shared) VecVirtual {
	y := YMM()
	VMOVDQU(at(p, 34*j+2), y)
	return y
}

// nibbles16 has the low nibbles of 16 bytes in its lower half and the high ones in its upper.
func nibbles16(m Mem, c *shared) VecVirtual {
	x, high, y := XMM(), XMM(), YMM()
	VMOVDQU(m, x)
	VPSRLW(U8(4), x, high)
	VINSERTI128(U8(1), high, x.AsY(), y)
	VPAND(c.all(0x0f0f0f0f), y, y)
	return y
}

func codesQ4(p Register, j int, c *shared) VecVirtual {
	y := nibbles16(at(p, 18*j+2), c)
	VPSUBB(c.all(0x08080808), y, y)
	return y
}

func codesMXFP4(p Register, j int, c *shared) VecVirtual {
	y := nibbles16(at(p, 17*j+1), c)
	values := YMM()
	VBROADCASTI128(bytesMXFP4(), values)
	VPSHUFB(y, values, y)
	return y
}

// bytesMXFP4 holds the doubled values of the sixteen codes.
func bytesMXFP4() Mem {
	m, ok := tables["bytes"]
	if !ok {
		m = GLOBL("bytesMXFP4", RODATA|NOPTR)
		for i, v := range []int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12} {
			DATA(i, U8(uint8(v)))
		}
		tables["bytes"] = m
	}
	return m
}

func scaleMXFP4(p Register, offset int) VecVirtual {
	e, base := GP64(), GP64()
	MOVBLZX(at(p, offset), e.As32())
	LEAQ(scalesMXFP4(), base)
	y := YMM()
	VBROADCASTSS(Mem{Base: base, Index: e, Scale: 4}, y)
	return y
}

func codesQ4K(p Register, j int, c *shared) VecVirtual {
	y := YMM()
	VMOVDQU(at(p, 16+j/2*32), y)
	if j%2 == 1 {
		VPSRLW(U8(4), y, y)
	}
	VPAND(c.all(0x0f0f0f0f), y, y)
	return y
}

func codesQ5K(p Register, j int, c *shared) VecVirtual {
	q, h := YMM(), YMM()
	VMOVDQU(at(p, 48+j/2*32), q)
	VMOVDQU(at(p, 16), h)
	if j%2 == 1 {
		VPSRLW(U8(4), q, q)
	}
	VPAND(c.all(0x0f0f0f0f), q, q)
	shiftBytes(h, 4-j)
	VPAND(c.all(0x10101010), h, h)
	VPOR(h, q, q)
	return q
}

func codesQ6K(p Register, j int, c *shared) VecVirtual {
	k, r := j/4, j%4
	q, h := YMM(), YMM()
	VMOVDQU(at(p, 64*k+32*(r%2)), q)
	VMOVDQU(at(p, 128+32*k), h)
	if r >= 2 {
		VPSRLW(U8(4), q, q)
	}
	VPAND(c.all(0x0f0f0f0f), q, q)
	shiftBytes(h, 4-2*r)
	VPAND(c.all(0x30303030), h, h)
	VPOR(h, q, q)
	return q
}

// int8Kernel multiplies rows with quantised vectors: two rows with one vector, or one row with four.
func int8Kernel(f coded, rows, vectors int, vnni bool) {
	isa := "AVX2"
	if vnni {
		isa = "VNNI"
	}
	name := "int8" + f.name + "x" + itoa(vectors) + isa
	signature := "func(a"
	if rows == 2 {
		signature += ", b"
	}
	for v := range vectors {
		signature += ", x" + itoa(v)
	}
	TEXT(name, NOSPLIT, signature+" *byte, y *float32, chunks, rest int)")
	Pragma("noescape")
	Doc(name + " writes the products of " + itoa(rows) + " rows and " + itoa(vectors) + " quantised vectors, of chunks of 256 weights and rest blocks of 32.")
	k := &int8Body{f: f, vnni: vnni, c: &shared{map[uint32]VecVirtual{}}}
	for i := range rows {
		k.rows = append(k.rows, Load(Param(string(rune('a'+i))), GP64()))
	}
	for v := range vectors {
		k.x = append(k.x, Load(Param("x"+itoa(v)), GP64()))
	}
	for _, pattern := range needsInt8[f.name] {
		k.c.regs[pattern] = all(pattern)
	}
	if !vnni {
		k.c.regs[0x00010001] = all(0x00010001)
	}
	scratch := 0
	switch f.name {
	case "Q4_K", "Q5_K":
		scratch = 64
	case "Q6_K":
		scratch = 64
		k.halves = lowHighIndices()
	}
	for range k.rows {
		k.scratch = append(k.scratch, local(scratch))
		var products []Mem
		var acc, offsets []VecVirtual
		for range k.x {
			products = append(products, local(scratch))
			acc = append(acc, zero())
			if f.k {
				offsets = append(offsets, zero())
			}
		}
		k.products, k.acc, k.offsets = append(k.products, products), append(k.acc, acc), append(k.offsets, offsets)
	}
	chunks := Load(Param("chunks"), GP64()).(GPVirtual)
	counted("chunk", chunks, func() {
		bytes := f.block
		if f.k {
			k.prepare()
		} else {
			bytes *= 8
		}
		for j := range 8 {
			for r := range k.rows {
				k.multiply(r, j, func(v int) Mem { return at(k.x[v], 32*j) }, func(v int) Mem { return at(k.x[v], chunkScales+4*j) })
			}
		}
		for r := range k.rows {
			prefetch(k.rows[r], bytes)
			ADDQ(U32(bytes), k.rows[r])
		}
		for v := range k.x {
			ADDQ(U32(chunkBytes), k.x[v])
		}
	})
	if !f.k {
		rest, j := Load(Param("rest"), GP64()).(GPVirtual), GP64()
		XORQ(j, j)
		counted("rest", rest, func() {
			quants := GP64()
			MOVQ(j, quants)
			SHLQ(U8(5), quants)
			for r := range k.rows {
				k.multiply(r, 0, func(v int) Mem { return Mem{Base: k.x[v], Index: quants, Scale: 1} },
					func(v int) Mem { return Mem{Base: k.x[v], Index: j, Scale: 4, Disp: chunkScales} })
				ADDQ(U32(f.block), k.rows[r])
			}
			INCQ(j)
		})
	}
	y := Load(Param("y"), GP64())
	for r := range k.rows {
		for v := range k.x {
			s := sum(k.acc[r][v])
			if f.k {
				o := sum(k.offsets[r][v])
				if f.name == "Q6_K" {
					VMULSS(value(32), o, o)
				}
				VSUBSS(o, s, s)
			}
			VMOVSS(s, at(y, 4*(r*vectors+v)))
		}
	}
	VZEROUPPER()
	RET()
}

// int8Body is what the parts of a kernel share.
type int8Body struct {
	f            coded
	vnni         bool
	c            *shared
	rows, x      []Register
	scratch      []Mem   // of each row: its scales and offsets
	products     [][]Mem // of each row and vector: their scales' products
	acc, offsets [][]VecVirtual
	halves       [4]Mem
	held         [2]VecVirtual
}

// lowHighIndices spread scales 2j and 2j+1 over the halves of a register.
func lowHighIndices() (y [4]Mem) {
	for j := range y {
		name := "halves" + itoa(j)
		m, ok := tables[name]
		if !ok {
			m = GLOBL(name, RODATA|NOPTR)
			for l := range 8 {
				DATA(4*l, U32(uint32(2*j+l/4)))
			}
			tables[name] = m
		}
		y[j] = m
	}
	return y
}

// prepare computes the scales of a block of 256, and adds the products of the offsets.
func (k *int8Body) prepare() {
	for r, p := range k.rows {
		s := k.scratch[r]
		if k.f.name == "Q6_K" {
			d := half(p, 208)
			for i := range 2 {
				y := YMM()
				VPMOVSXBD(at(p, 192+8*i), y)
				VCVTDQ2PS(y, y)
				VMULPS(d, y, y)
				for v, x := range k.x {
					t := YMM()
					VMULPS(at(x, chunkSums16+32*i), y, t)
					VADDPS(t, k.offsets[r][v], k.offsets[r][v])
				}
				VMOVUPS(y, s.Offset(32*i))
			}
			continue // multiplied with the vector's scale in multiply
		}
		scalesK(p, s)
		for v, x := range k.x {
			d, m := loaded(s), loaded(s.Offset(32))
			VMULPS(at(x, chunkScales), d, d)
			if len(k.x) == 1 {
				k.held[r] = d
			} else {
				VMOVUPS(d, k.products[r][v])
			}
			VMULPS(at(x, chunkSums32), m, m)
			VADDPS(m, k.offsets[r][v], k.offsets[r][v])
		}
	}
}

// multiply adds the products of sub-block j of row r.
func (k *int8Body) multiply(r, j int, quants, scale func(v int) Mem) {
	codes := k.f.codes(k.rows[r], j, k.c)
	magnitude := codes
	if k.f.signed {
		magnitude = YMM()
		VPABSB(codes, magnitude)
	}
	var s VecVirtual
	switch {
	case k.f.name == "Q6_K":
		s = YMM()
		VMOVDQU(k.halves[j%4], s)
		VPERMPS(k.scratch[r].Offset(j/4*32), s, s)
	case !k.f.k:
		s = k.f.scale(k.rows[r], k.f.block*j)
	}
	for v := range k.x {
		var q Op = quants(v)
		if k.f.signed {
			t := YMM()
			VMOVDQU(q, t)
			VPSIGNB(codes, t, t)
			q = t
		}
		t := YMM()
		if k.vnni {
			VPXOR(t, t, t)
			VPDPBUSD(q, magnitude, t)
		} else {
			VPMADDUBSW(q, magnitude, t)
			VPMADDWD(k.c.all(0x00010001), t, t)
		}
		VCVTDQ2PS(t, t)
		product := YMM()
		if s == nil && len(k.x) == 1 {
			VMOVDQU(lanesOf(j), product)
			VPERMPS(k.held[r], product, product)
		} else if s == nil {
			VBROADCASTSS(k.products[r][v].Offset(4*j), product)
		} else {
			VBROADCASTSS(scale(v), product)
			VMULPS(s, product, product)
		}
		VFMADD231PS(product, t, k.acc[r][v])
	}
}

// quantize writes func quantizeAVX2, which fills blocks of 32 of a chunk.
func quantize() {
	TEXT("quantizeAVX2", NOSPLIT, "func(chunk *byte, x *float32, blocks int)")
	Pragma("noescape")
	Doc("quantizeAVX2 is quantizeBlock of gpu/cpu, for up to eight blocks of a chunk.")
	chunk, x := Load(Param("chunk"), GP64()), Load(Param("x"), GP64())
	n, j, at32 := Load(Param("blocks"), GP64()).(GPVirtual), GP64(), GP64()
	magnitude := all(0x7fffffff)
	ones8, ones16 := all(0x01010101), all(0x00010001)
	order := loaded(quantOrder())
	MOVQ(chunk, at32)
	XORQ(j, j)
	counted("block", n, func() {
		var v [4]VecVirtual
		top := zero()
		for i := range v {
			v[i] = loaded(at(x, lane*i))
			t := YMM()
			VPAND(magnitude, v[i], t)
			VPMAXUD(t, top, top)
		}
		t, m := XMM(), XMM()
		VEXTRACTI128(U8(1), top, t)
		VPMAXUD(t, top.AsX(), m)
		VPSHUFD(U8(0x4e), m, t)
		VPMAXUD(t, m, m)
		VPSHUFD(U8(0xb1), m, t)
		VPMAXUD(t, m, m)
		d, inv, small := XMM(), XMM(), XMM()
		c := XMM()
		VMOVUPS(value(127), c)
		VDIVPS(c, m, d)
		VDIVPS(m, c, inv)
		VCMPPS(U8(5), value(0x1p-100), m, small) // not less than
		VANDPS(small, d, d)
		VANDPS(small, inv, inv)
		VMOVSS(d, Mem{Base: chunk, Index: j, Scale: 4, Disp: chunkScales})
		wide := YMM()
		VBROADCASTSS(inv, wide)
		for i := range v {
			VMULPS(wide, v[i], v[i])
			VCVTPS2DQ(v[i], v[i])
		}
		VPACKSSDW(v[1], v[0], v[0])
		VPACKSSDW(v[3], v[2], v[2])
		VPACKSSWB(v[2], v[0], v[0])
		VPERMD(v[0], order, v[0])
		VMOVDQU(v[0], at(at32, 0))
		// Sums of sixteen: of four bytes, then of the four of a half.
		s := YMM()
		VPMADDUBSW(v[0], ones8, s)
		VPMADDWD(ones16, s, s)
		h := YMM()
		VPSHUFD(U8(0x4e), s, h)
		VPADDD(h, s, s)
		VPSHUFD(U8(0xb1), s, h)
		VPADDD(h, s, s)
		low, high, both := s.AsX(), XMM(), XMM()
		VEXTRACTI128(U8(1), s, high)
		VPADDD(high, low, both)
		for _, y := range []struct {
			sum VecVirtual
			m   Mem
		}{
			{both, Mem{Base: chunk, Index: j, Scale: 4, Disp: chunkSums32}},
			{high, Mem{Base: chunk, Index: j, Scale: 8, Disp: chunkSums16 + 4}},
			{nil, Mem{Base: chunk, Index: j, Scale: 8, Disp: chunkSums16}},
		} {
			f := XMM()
			if y.sum == nil {
				VCVTDQ2PS(low, f)
			} else {
				VCVTDQ2PS(y.sum, f)
			}
			VMULSS(d, f, f)
			VMOVSS(f, y.m)
		}
		ADDQ(U32(4*lane), x)
		ADDQ(U8(32), at32)
		INCQ(j)
	})
	VZEROUPPER()
	RET()
}

// quantOrder undoes what packing within the halves of registers does.
func quantOrder() Mem {
	m := GLOBL("quantOrder", RODATA|NOPTR)
	for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(v))
	}
	return m
}

func int8Kernels() {
	for _, f := range codedFormats {
		for _, vnni := range []bool{false, true} {
			int8Kernel(f, 2, 1, vnni)
			int8Kernel(f, 1, 4, vnni)
		}
	}
	quantize()
}

// lanesOf is eight times the number j.
func lanesOf(j int) Mem { return integers(uint32(j)) }

package main

import (
	"iter"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// format writes the instructions that decode a step of a row: one block, or a few weights of the plain formats. The layouts stand
// in rdrr/quant.
type format struct {
	name           string
	weights, bytes int // of a step
	scratch        int // bytes on the stack
	// decode hands groups of eight weights to sink in their order. The register is sink's to overwrite.
	decode func(p Register, scratch Mem, c *shared, sink func(w VecVirtual, group int))
}

// shared holds the constants of a kernel in registers, loaded before its loop.
type shared struct{ regs map[uint32]VecVirtual }

func (c *shared) all(pattern uint32) VecVirtual { return c.regs[pattern] }

var formats = []format{
	{"F32", 8, 32, 0, decodeF32},
	{"F16", 8, 16, 0, decodeF16},
	{"BF16", 8, 16, 0, decodeBF16},
	{"Q8_0", 32, 34, 0, decodeQ8},
	{"Q4_0", 32, 18, 0, decodeQ4},
	{"Q4_K", 256, 144, 64, decodeQ4K},
	{"Q5_K", 256, 176, 96, decodeQ5K},
	{"Q6_K", 256, 210, 96, decodeQ6K},
	{"MXFP4", 32, 17, 0, decodeMXFP4},
	{"F8E4M3", 128, 132, 0, decodeF8},
}

// needs lists the constants of each format.
var needs = map[string][]uint32{
	"Q4_0":   {0x0f, minus8},
	"Q4_K":   {0x0f},
	"Q5_K":   {0x0f0f0f0f, 0x10101010},
	"Q6_K":   {0x0f0f0f0f, 0x30303030, 0x20202020},
	"MXFP4":  {0x80000000},
	"F8E4M3": {0xbf80bf80, 0x7f007f00, math256},
}

const (
	minus8  = 0xfffffff8
	math256 = 0x43800000 // 256 as a float32
)

func load(f format) *shared {
	c := &shared{map[uint32]VecVirtual{}}
	for _, pattern := range needs[f.name] {
		c.regs[pattern] = all(pattern)
	}
	return c
}

// decodeKernel writes func decodeFORMATAVX2(dst *float32, src *byte, steps int): one row to its place in a panel.
func decodeKernel(f format) {
	TEXT("decode"+f.name+"AVX2", NOSPLIT, "func(dst *float32, src *byte, steps int)")
	Pragma("noescape")
	Doc("decode" + f.name + "AVX2 decodes steps times " + itoa(f.weights) + " weights. Groups of eight are 64 floats apart in dst.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	n := Load(Param("steps"), GP64()).(GPVirtual)
	scratch := local(f.scratch)
	c := load(f)
	counted("step", n, func() {
		f.decode(src, scratch, c, func(w VecVirtual, group int) { VMOVUPS(w, at(dst, panelRow*group)) })
		// Chunks of panelCols weights are decoded, of one row after the other: this row's next comes in the next round.
		for i := 0; i < f.bytes; i += 64 {
			PREFETCHT0(at(src, 256/f.weights*f.bytes+i))
		}
		ADDQ(U32(f.bytes), src)
		ADDQ(U32(f.weights/8*panelRow), dst)
	})
	VZEROUPPER()
	RET()
}

// dotKernel writes func dotFORMATAVX2(a, b *byte, x *float32, steps int) (ya, yb float32): the products of two rows with x. Two
// rows hide the latency of the additions, which each row has in one chain per element of its accumulator.
func dotKernel(f format) {
	TEXT("dot"+f.name+"AVX2", NOSPLIT, "func(a, b *byte, x *float32, steps int) (ya, yb float32)")
	Pragma("noescape")
	Doc("dot" + f.name + "AVX2 returns the products of two rows of steps times " + itoa(f.weights) + " weights with x.")
	rows := [2]Register{Load(Param("a"), GP64()), Load(Param("b"), GP64())}
	x := Load(Param("x"), GP64())
	n := Load(Param("steps"), GP64()).(GPVirtual)
	scratch := [2]Mem{local(f.scratch), local(f.scratch)}
	c := load(f)
	acc := [2]VecVirtual{zero(), zero()}
	counted("step", n, func() {
		var steps [2]func() (int, bool)
		for i := range rows {
			steps[i], _ = iter.Pull(func(yield func(int) bool) {
				f.decode(rows[i], scratch[i], c, func(w VecVirtual, group int) {
					VMULPS(at(x, lane*group), w, w)
					VADDPS(w, acc[i], acc[i])
					if group%4 == 3 {
						yield(group)
					}
				})
			})
		}
		for more := true; more; { // 32 weights of each row in turn
			for i := range rows {
				_, more = steps[i]()
			}
		}
		for i := range rows {
			prefetch(rows[i], f.bytes)
			ADDQ(U32(f.bytes), rows[i])
		}
		ADDQ(U32(f.weights/8*lane), x)
	})
	for i, name := range []string{"ya", "yb"} {
		Store(sum(acc[i]), Return(name))
	}
	VZEROUPPER()
	RET()
}

// ahead is how far before its use memory is asked for: a few rows, as hardware stops at the end of a page.
const ahead = 4096

// prefetch asks for n bytes of a row, or those a cache line begins in.
func prefetch(p Register, n int) {
	for i := 0; i < n; i += 64 {
		PREFETCHT0(at(p, ahead+i))
	}
}

func local(bytes int) Mem {
	if bytes == 0 {
		return Mem{}
	}
	return AllocLocal(bytes)
}

func zero() VecVirtual {
	y := YMM()
	VXORPS(y, y, y)
	return y
}

// sum adds eight lanes as lanes.sum of gpu/cpu does.
func sum(y VecVirtual) VecVirtual {
	high, low := XMM(), XMM()
	VEXTRACTF128(U8(1), y, high)
	VADDPS(high, y.AsX(), low)
	VMOVHLPS(low, low, high)
	VADDPS(high, low, low)
	VMOVSHDUP(low, high)
	VADDSS(high, low, low)
	return low
}

func decodeF32(p Register, _ Mem, _ *shared, sink func(VecVirtual, int)) {
	w := YMM()
	VMOVUPS(at(p, 0), w)
	sink(w, 0)
}

func decodeF16(p Register, _ Mem, _ *shared, sink func(VecVirtual, int)) {
	w := YMM()
	VCVTPH2PS(at(p, 0), w)
	sink(w, 0)
}

func decodeBF16(p Register, _ Mem, _ *shared, sink func(VecVirtual, int)) {
	w := YMM()
	VPMOVZXWD(at(p, 0), w)
	VPSLLD(U8(16), w, w)
	sink(w, 0)
}

func decodeQ8(p Register, _ Mem, _ *shared, sink func(VecVirtual, int)) {
	d := half(p, 0)
	for g := range 4 {
		w := YMM()
		VPMOVSXBD(at(p, 2+8*g), w)
		VCVTDQ2PS(w, w)
		VMULPS(d, w, w)
		sink(w, g)
	}
}

// bytes16 widens the sixteen bytes at offset to two registers of integers.
func bytes16(p Register, offset int) (b [2]VecVirtual) {
	for g := range b {
		b[g] = YMM()
		VPMOVZXBD(at(p, offset+8*g), b[g])
	}
	return b
}

func decodeQ4(p Register, _ Mem, c *shared, sink func(VecVirtual, int)) {
	d, b := half(p, 0), bytes16(p, 2)
	for g := range 4 {
		w := b[g%2]
		if g < 2 {
			w = YMM()
			VPAND(c.all(0x0f), b[g], w)
		} else {
			VPSRLD(U8(4), w, w)
		}
		VPADDD(c.all(minus8), w, w)
		VCVTDQ2PS(w, w)
		VMULPS(d, w, w)
		sink(w, g)
	}
}

// decodeMXFP4 looks magnitudes up by the low three bits of a code and moves its fourth to the sign.
func decodeMXFP4(p Register, _ Mem, c *shared, sink func(VecVirtual, int)) {
	e, base := GP64(), GP64()
	MOVBLZX(at(p, 0), e.As32())
	LEAQ(scalesMXFP4(), base)
	values := YMM()
	VBROADCASTSS(Mem{Base: base, Index: e, Scale: 4}, values)
	VMULPS(magnitudesMXFP4(), values, values)
	b := bytes16(p, 1)
	for g := range 4 {
		sign, w := YMM(), YMM()
		if g < 2 {
			VPSLLD(U8(28), b[g], sign)
			VPERMPS(values, b[g], w)
		} else {
			VPSLLD(U8(24), b[g%2], sign)
			VPSRLD(U8(4), b[g%2], w)
			VPERMPS(values, w, w)
		}
		VPAND(c.all(0x80000000), sign, sign)
		VXORPS(sign, w, w)
		sink(w, g)
	}
}

var tables = map[string]Mem{}

// scalesMXFP4 holds 2^(e-128) for every e, and magnitudesMXFP4 the doubled values of codes 0 to 7.
func scalesMXFP4() Mem {
	if m, ok := tables["scales"]; ok {
		return m
	}
	values := make([]float32, 256)
	for e := range values {
		values[e] = float32(math.Ldexp(1, e-128))
	}
	tables["scales"] = table("scalesMXFP4", values)
	return tables["scales"]
}

func magnitudesMXFP4() Mem {
	if m, ok := tables["magnitudes"]; ok {
		return m
	}
	tables["magnitudes"] = table("magnitudesMXFP4", []float32{0, 1, 2, 3, 4, 6, 8, 12})
	return tables["magnitudes"]
}

// decodeF8 makes halves of e4m3 numbers, which are these times 2^-8, and puts all ones where the magnitude is 0x7f, NaN.
func decodeF8(p Register, _ Mem, c *shared, sink func(VecVirtual, int)) {
	s := YMM()
	VBROADCASTSS(at(p, 0), s)
	for g := range 16 {
		h, nan, w, mask := XMM(), XMM(), YMM(), YMM()
		VPMOVZXBW(at(p, 4+8*g), h)
		VPSLLW(U8(8), h, h)
		VPAND(c.all(0x7f007f00).AsX(), h, nan)
		VPCMPEQW(c.all(0x7f007f00).AsX(), nan, nan)
		VPMOVSXWD(nan, mask)
		VPSRAW(U8(1), h, h) // copies the sign to the bit below it, which the mask clears
		VPAND(c.all(0xbf80bf80).AsX(), h, h)
		VCVTPH2PS(h, w)
		VMULPS(c.all(math256), w, w)
		VORPS(mask, w, w)
		VMULPS(s, w, w)
		sink(w, g)
	}
}

// scalesK leaves the eight d*sc at scratch and the eight dmin*mn behind them. The block begins with four words: d and dmin, and
// s[0..3], s[4..7] and s[8..11] of quant's q4k.go, from which the words sc[0..3], sc[4..7], mn[0..3] and mn[4..7] are made.
func scalesK(p Register, scratch Mem) {
	head, low, high, factors := XMM(), XMM(), XMM(), XMM()
	VMOVDQU(at(p, 0), head)
	VPSHUFD(U8(1|3<<2|2<<4|3<<6), head, low)
	VPSRLVD(words("shiftsK", 0, 0, 0, 4), low, low)
	VPAND(words("masksK", 0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f), low, low)
	VPSHUFD(U8(0|1<<2|0<<4|2<<6), head, high)
	VPSRLD(U8(2), high, high)
	VPAND(words("topsK", 0, 0x30303030, 0, 0x30303030), high, high)
	VPOR(high, low, low)
	VCVTPH2PS(head, factors)
	for i := range 2 {
		y, f := YMM(), YMM()
		if i == 1 {
			VPSRLDQ(U8(8), low, low)
			VMOVSHDUP(factors, factors)
		}
		VPMOVZXBD(low, y)
		VBROADCASTSS(factors, f)
		VCVTDQ2PS(y, y)
		VMULPS(f, y, y)
		VMOVUPS(y, scratch.Offset(32*i))
	}
}

// words is a constant of four integers.
func words(name string, values ...uint32) Mem {
	m, ok := tables[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i, v := range values {
			DATA(4*i, U32(v))
		}
		tables[name] = m
	}
	return m
}

func broadcast(m Mem) VecVirtual {
	y := YMM()
	VBROADCASTSS(m, y)
	return y
}

// decodeQ4K fuses the product scale * code with the subtraction: it is exact (11 bits of d, 6 of sc, 4 of the code), so that
// nothing is rounded twice in either.
func decodeQ4K(p Register, scratch Mem, c *shared, sink func(VecVirtual, int)) {
	scalesK(p, scratch)
	for j := 0; j < 8; j += 2 {
		var b [4]VecVirtual
		for g := range b {
			b[g] = YMM()
			VPMOVZXBD(at(p, 16+16*j+8*g), b[g])
		}
		for high := range 2 {
			d, m := broadcast(scratch.Offset(4*(j+high))), broadcast(scratch.Offset(32+4*(j+high)))
			for g := range b {
				w := b[g]
				if high == 0 {
					w = YMM()
					VPAND(c.all(0x0f), b[g], w)
				} else {
					VPSRLD(U8(4), w, w)
				}
				VCVTDQ2PS(w, w)
				VFMSUB213PS(m, d, w)
				sink(w, 4*(j+high)+g)
			}
		}
	}
}

// decodeQ5K puts a sub-block's codes together as bytes, which pass through memory to be widened.
func decodeQ5K(p Register, scratch Mem, c *shared, sink func(VecVirtual, int)) {
	scalesK(p, scratch)
	codes := scratch.Offset(64)
	for j := range 8 {
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
		VMOVDQU(q, codes)
		d, m := broadcast(scratch.Offset(4*j)), broadcast(scratch.Offset(32+4*j))
		for g := range 4 {
			w := YMM()
			VPMOVZXBD(codes.Offset(8*g), w)
			VCVTDQ2PS(w, w)
			VFMSUB213PS(m, d, w)
			sink(w, 4*j+g)
		}
	}
}

// shiftBytes shifts left by n, or right if n is negative; bits that cross bytes are the caller's to clear.
func shiftBytes(y VecVirtual, n int) {
	if n > 0 {
		VPSLLW(U8(n), y, y)
	} else if n < 0 {
		VPSRLW(U8(-n), y, y)
	}
}

func decodeQ6K(p Register, scratch Mem, c *shared, sink func(VecVirtual, int)) {
	d := half(p, 208)
	for i := range 2 {
		s := YMM()
		VPMOVSXBD(at(p, 192+8*i), s)
		VCVTDQ2PS(s, s)
		VMULPS(d, s, s)
		VMOVUPS(s, scratch.Offset(32*i))
	}
	codes := scratch.Offset(64)
	for quarter := range 8 {
		k, r := quarter/4, quarter%4
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
		VPSUBB(c.all(0x20202020), q, q)
		VMOVDQU(q, codes)
		for g := range 4 {
			w := YMM()
			VPMOVSXBD(codes.Offset(8*g), w)
			VCVTDQ2PS(w, w)
			VMULPS(broadcast(scratch.Offset(4*(2*quarter+g/2))), w, w)
			sink(w, 4*quarter+g)
		}
	}
}

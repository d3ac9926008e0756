package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// scores writes func scoresNAVX2: the products of n query heads with quads of four keys, times scale. Strides are in bytes.
func scores(n int) {
	name := "scores" + itoa(n) + "AVX2"
	TEXT(name, NOSPLIT, "func(dst *float32, dstStride int, q *float32, qStride int, keys *float32, keyStride, quads, steps int, scale float32)")
	Pragma("noescape")
	Doc(name+" multiplies "+itoa(n)+" query heads of steps groups of eight elements with 4 * quads keys: dst[head][key] = (q . key) * scale.", "Strides are in bytes.")
	dst, dstStride := Load(Param("dst"), GP64()), Load(Param("dstStride"), GP64())
	q, qStride := Load(Param("q"), GP64()), Load(Param("qStride"), GP64())
	keys, keyStride := Load(Param("keys"), GP64()), Load(Param("keyStride"), GP64())
	quads := Load(Param("quads"), GP64()).(GPVirtual)
	steps := Load(Param("steps"), GP64())
	key := [2]GPVirtual{GP64(), GP64()} // of keys 0 and 1, and of 2 and 3
	c, left := GP64(), GP64()
	counted("keys", quads, func() {
		MOVQ(keys, key[0])
		LEAQ(Mem{Base: keys, Index: keyStride, Scale: 2}, key[1])
		var sums [2][4]VecVirtual
		for h := range n {
			for i := range sums[h] {
				sums[h][i] = zero()
			}
		}
		XORQ(c, c)
		MOVQ(steps, left)
		counted("element", left, func() {
			var head []VecVirtual
			for h := range n {
				y := YMM()
				if h == 0 {
					VMOVUPS(Mem{Base: q, Index: c, Scale: 1}, y)
				} else {
					p := GP64()
					LEAQ(Mem{Base: q, Index: qStride, Scale: 1}, p)
					VMOVUPS(Mem{Base: p, Index: c, Scale: 1}, y)
				}
				head = append(head, y)
			}
			for i := range 4 {
				row := YMM()
				if i%2 == 0 {
					VMOVUPS(at(key[i/2], 0), row)
				} else {
					VMOVUPS(Mem{Base: key[i/2], Index: keyStride, Scale: 1}, row)
				}
				for h := range n {
					t := YMM()
					VMULPS(row, head[h], t)
					VADDPS(t, sums[h][i], sums[h][i])
				}
			}
			ADDQ(U8(lane), key[0])
			ADDQ(U8(lane), key[1])
			ADDQ(U8(lane), c)
		})
		s := XMM()
		m, err := Param("scale").Resolve()
		if err != nil {
			panic(err)
		}
		VBROADCASTSS(m.Addr, s)
		for h := range n {
			y := quad(sums[h])
			VMULPS(s, y, y)
			if h == 0 {
				VMOVUPS(y, at(dst, 0))
			} else {
				VMOVUPS(y, Mem{Base: dst, Index: dstStride, Scale: 1})
			}
		}
		ADDQ(U8(16), dst)
		LEAQ(Mem{Base: keys, Index: keyStride, Scale: 4}, keys)
	})
	VZEROUPPER()
	RET()
}

// quad sums four accumulators of eight lanes as sum does, to the four elements of an XMM register.
func quad(y [4]VecVirtual) VecVirtual {
	var s [4]VecVirtual
	for i := range y {
		s[i] = XMM()
		VEXTRACTF128(U8(1), y[i], s[i])
		VADDPS(s[i], y[i].AsX(), s[i])
	}
	a, b, c, d := XMM(), XMM(), XMM(), XMM()
	VUNPCKLPS(s[1], s[0], a) // s0[0] s1[0] s0[1] s1[1]
	VUNPCKHPS(s[1], s[0], b) // s0[2] s1[2] s0[3] s1[3]
	VUNPCKLPS(s[3], s[2], c)
	VUNPCKHPS(s[3], s[2], d)
	VADDPS(b, a, a) // s0[0]+s0[2] s1[0]+s1[2] s0[1]+s0[3] s1[1]+s1[3]
	VADDPS(d, c, c)
	VMOVLHPS(c, a, b)
	VMOVHLPS(a, c, d)
	VADDPS(d, b, b)
	return b
}

// weigh writes func weighNxGAVX2, which adds values times weights to n heads' outputs, 8*g columns of them.
func weigh(n, g int) {
	name := "weigh" + itoa(n) + "x" + itoa(g) + "AVX2"
	TEXT(name, NOSPLIT, "func(dst *float32, dstStride int, weights *float32, weightStride int, values *float32, valueStride, positions int)")
	Pragma("noescape")
	Doc(name+" adds weights[head][position] * values[position] to dst[head], "+itoa(n)+" heads and "+itoa(8*g)+" columns, in order of position.",
		"Strides are in bytes.")
	dst, dstStride := Load(Param("dst"), GP64()), Load(Param("dstStride"), GP64())
	weights, weightStride := Load(Param("weights"), GP64()), Load(Param("weightStride"), GP64())
	values, valueStride := Load(Param("values"), GP64()), Load(Param("valueStride"), GP64())
	left := Load(Param("positions"), GP64()).(GPVirtual)
	var sums [2][4]VecVirtual
	heads := []GPVirtual{dst.(GPVirtual)}
	if n == 2 {
		heads = append(heads, GP64())
		LEAQ(Mem{Base: dst, Index: dstStride, Scale: 1}, heads[1])
	}
	for h, p := range heads {
		for i := range g {
			sums[h][i] = YMM()
			VMOVUPS(at(p, lane*i), sums[h][i])
		}
	}
	counted("position", left, func() {
		var w []VecVirtual
		for h := range n {
			y := YMM()
			if h == 0 {
				VBROADCASTSS(at(weights, 0), y)
			} else {
				VBROADCASTSS(Mem{Base: weights, Index: weightStride, Scale: 1}, y)
			}
			w = append(w, y)
		}
		for i := range g {
			v := YMM()
			VMOVUPS(at(values, lane*i), v)
			for h := range n {
				t := YMM()
				VMULPS(v, w[h], t)
				VADDPS(t, sums[h][i], sums[h][i])
			}
		}
		ADDQ(U8(4), weights)
		ADDQ(valueStride, values)
	})
	for h, p := range heads {
		for i := range g {
			VMOVUPS(sums[h][i], at(p, lane*i))
		}
	}
	VZEROUPPER()
	RET()
}

// elementwise writes a kernel over groups of eight elements; pointers are advanced, floats broadcast.
func elementwise(name, doc string, pointers, floats []string, body func(p map[string]Register, f map[string]VecVirtual)) {
	signature := "func(" + join(pointers) + " *float32"
	if len(floats) > 0 {
		signature += ", " + join(floats) + " float32"
	}
	TEXT(name+"AVX2", NOSPLIT, signature+", groups int)")
	Pragma("noescape")
	Doc(name + "AVX2 " + doc)
	p, f := map[string]Register{}, map[string]VecVirtual{}
	for _, s := range pointers {
		p[s] = Load(Param(s), GP64())
	}
	for _, s := range floats {
		y := YMM()
		m, err := Param(s).Resolve()
		if err != nil {
			panic(err)
		}
		VBROADCASTSS(m.Addr, y)
		f[s] = y
	}
	left := Load(Param("groups"), GP64()).(GPVirtual)
	counted("group", left, func() {
		body(p, f)
		for _, s := range pointers {
			ADDQ(U8(lane), p[s])
		}
	})
	VZEROUPPER()
	RET()
}

func join(names []string) string {
	s := names[0]
	for _, n := range names[1:] {
		s += ", " + n
	}
	return s
}

func loaded(m Mem) VecVirtual {
	y := YMM()
	VMOVUPS(m, y)
	return y
}

func vectors() {
	for n := 1; n <= 2; n++ {
		scores(n)
		weigh(n, 4)
		weigh(n, 1)
	}
	elementwise("addScaled", "adds w * x to dst.", []string{"dst", "x"}, []string{"w"}, func(p map[string]Register, f map[string]VecVirtual) {
		t := YMM()
		VMULPS(at(p["x"], 0), f["w"], t)
		VADDPS(at(p["dst"], 0), t, t)
		VMOVUPS(t, at(p["dst"], 0))
	})
	elementwise("scale", "multiplies x with w.", []string{"x"}, []string{"w"}, func(p map[string]Register, f map[string]VecVirtual) {
		t := YMM()
		VMULPS(at(p["x"], 0), f["w"], t)
		VMOVUPS(t, at(p["x"], 0))
	})
	elementwise("scaleEach", "writes x * w * weights to dst.", []string{"dst", "x", "weights"}, []string{"w"}, func(p map[string]Register, f map[string]VecVirtual) {
		t := YMM()
		VMULPS(at(p["x"], 0), f["w"], t)
		VMULPS(at(p["weights"], 0), t, t)
		VMOVUPS(t, at(p["dst"], 0))
	})
	gated := []string{"dst", "gate", "up"}
	elementwise("silu", "is silu32 of gpu/cpu.", gated, nil, func(p map[string]Register, _ map[string]VecVirtual) {
		g := loaded(at(p["gate"], 0))
		s := sigmoid(g)
		VMULPS(s, g, g)
		VMULPS(at(p["up"], 0), g, g)
		VMOVUPS(g, at(p["dst"], 0))
	})
	elementwise("geluTanh", "is geluTanh32 of gpu/cpu.", gated, nil, func(p map[string]Register, _ map[string]VecVirtual) {
		x := loaded(at(p["gate"], 0))
		t := YMM()
		VMULPS(x, x, t)
		VMULPS(value(0.044715), t, t)
		VADDPS(value(1), t, t)
		VMULPS(x, t, t)
		VMULPS(value(2*0.7978845608028654), t, t)
		e := exp(t)
		VADDPS(value(1), e, e)
		VDIVPS(e, broadcastValue(2), e)
		VSUBPS(e, broadcastValue(2), e)
		VMULPS(value(0.5), x, x)
		VMULPS(e, x, x)
		VMULPS(at(p["up"], 0), x, x)
		VMOVUPS(x, at(p["dst"], 0))
	})
	elementwise("swigluOAI", "is swigluOAI32 of gpu/cpu.", gated, nil, func(p map[string]Register, _ map[string]VecVirtual) {
		x, u := YMM(), YMM()
		seven, minus := broadcastValue(7), broadcastValue(-7)
		VMINPS(at(p["gate"], 0), seven, x)
		VMINPS(at(p["up"], 0), seven, u)
		VMAXPS(u, minus, u)
		s := YMM()
		VMULPS(value(1.702), x, s)
		s = sigmoid(s)
		VADDPS(value(1), u, u)
		VMULPS(x, u, u)
		VMULPS(s, u, u)
		VMOVUPS(u, at(p["dst"], 0))
	})
	expSums()
	largest()
	squares()
}

// value is a constant as a memory operand of eight elements.
func value(v float64) Mem {
	pattern := math.Float32bits(float32(v))
	name := "eight" + hex(pattern)
	m, ok := tables[name]
	if !ok {
		f := math.Float32frombits(pattern)
		m = table(name, []float32{f, f, f, f, f, f, f, f})
		tables[name] = m
	}
	return m
}

func broadcastValue(v float64) VecVirtual { return loaded(value(v)) }

// exp returns exp32 of x, which it leaves alone.
func exp(x VecVirtual) VecVirtual {
	limit := broadcastValue(104)
	t, n, r, p := YMM(), YMM(), YMM(), YMM()
	VMINPS(x, limit, r) // x where it is NaN
	VMAXPS(r, broadcastValue(-104), r)
	VMULPS(value(math.Log2E), r, t)
	VADDPS(value(0x3p22), t, t)
	VSUBPS(value(0x3p22), t, n)
	VMULPS(value(0x1.62e4p-1), n, p)
	VSUBPS(p, r, r)
	VMULPS(value(math.Ln2-0x1.62e4p-1), n, p)
	VSUBPS(p, r, r)
	VMULPS(value(1./5040), r, p)
	for i, c := range []float64{1. / 720, 1. / 120, 1. / 24, 1. / 6, 0.5, 1, 1} {
		if i > 0 {
			VMULPS(r, p, p)
		}
		VADDPS(value(c), p, p)
	}
	half := YMM()
	VPSUBD(value(0x3p22), t, t)
	VPSRAD(U8(1), t, half)
	VPSUBD(half, t, t)
	for _, i := range []VecVirtual{half, t} {
		VPADDD(integers(127), i, i)
		VPSLLD(U8(23), i, i)
		VMULPS(i, p, p)
	}
	return p
}

// integers is a constant of eight integers as a memory operand.
func integers(v uint32) Mem { return value(float64(math.Float32frombits(v))) }

// sigmoid returns 1 / (1 + exp(-x)).
func sigmoid(x VecVirtual) VecVirtual {
	t := YMM()
	VXORPS(value(math.Copysign(0, -1)), x, t)
	e := exp(t)
	VADDPS(value(1), e, e)
	VDIVPS(e, broadcastValue(1), e)
	return e
}

func expSums() {
	TEXT("expSumsAVX2", NOSPLIT, "func(sums *[8]float64, x *float32, top float32, groups int)")
	Pragma("noescape")
	Doc("expSumsAVX2 is the loop of kernels.expSum, over groups of eight.")
	sums, x := Load(Param("sums"), GP64()), Load(Param("x"), GP64())
	top := YMM()
	m, err := Param("top").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(m.Addr, top)
	left := Load(Param("groups"), GP64()).(GPVirtual)
	low, high := zero(), zero()
	counted("group", left, func() {
		y := loaded(at(x, 0))
		VSUBPS(top, y, y)
		e := exp(y)
		mask, wide := YMM(), YMM()
		VCMPPS(U8(5), value(0x1p-100), e, mask) // not less than
		VANDPS(mask, e, e)
		VMOVUPS(e, at(x, 0))
		VCVTPS2PD(e.AsX(), wide)
		VADDPD(wide, low, low)
		upper := XMM()
		VEXTRACTF128(U8(1), e, upper)
		VCVTPS2PD(upper, wide)
		VADDPD(wide, high, high)
		ADDQ(U8(lane), x)
	})
	VMOVUPD(low, at(sums, 0))
	VMOVUPD(high, at(sums, 32))
	VZEROUPPER()
	RET()
}

func largest() {
	TEXT("largestAVX2", NOSPLIT, "func(x *float32, groups int) (top float32)")
	Pragma("noescape")
	Doc("largestAVX2 returns the largest of groups of eight, at least one of them.")
	x := Load(Param("x"), GP64())
	left := Load(Param("groups"), GP64()).(GPVirtual)
	y := loaded(at(x, 0))
	counted("group", left, func() {
		VMAXPS(at(x, 0), y, y)
		ADDQ(U8(lane), x)
	})
	t := XMM()
	VEXTRACTF128(U8(1), y, t)
	VMAXPS(t, y.AsX(), t)
	u := XMM()
	VMOVHLPS(t, t, u)
	VMAXPS(u, t, t)
	VMOVSHDUP(t, u)
	VMAXSS(u, t, t)
	Store(t, Return("top"))
	VZEROUPPER()
	RET()
}

func squares() {
	TEXT("squaresAVX2", NOSPLIT, "func(sums *[4]float64, x *float32, mean float64, quads int)")
	Pragma("noescape")
	Doc("squaresAVX2 adds the squares of quads of four elements' distances from mean to sums.")
	sums, x := Load(Param("sums"), GP64()), Load(Param("x"), GP64())
	mean := YMM()
	m, err := Param("mean").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSD(m.Addr, mean)
	left := Load(Param("quads"), GP64()).(GPVirtual)
	acc := zero()
	VMOVUPD(at(sums, 0), acc)
	counted("quad", left, func() {
		v := YMM()
		VCVTPS2PD(at(x, 0), v)
		VSUBPD(mean, v, v)
		VMULPD(v, v, v)
		VADDPD(v, acc, acc)
		ADDQ(U8(16), x)
	})
	VMOVUPD(acc, at(sums, 0))
	VZEROUPPER()
	RET()
}

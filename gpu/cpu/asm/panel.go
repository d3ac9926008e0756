package main

import (
	"strconv"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func itoa(n int) string { return strconv.Itoa(n) }

// panelSignature is that of the kernels which multiply a panel of eight rows with n vectors.
func panelSignature(n int) string {
	s := "func(acc, w"
	for i := range n {
		s += ", x" + itoa(i)
	}
	return s + " *float32, steps int)"
}

func panelDoc(name string, n int) {
	Pragma("noescape")
	Doc(name + " adds the products of the eight rows of panel w with " + itoa(n) + " vectors, over steps groups of eight columns, to acc [" +
		itoa(n) + "][8 rows][8 lanes].")
}

// panelAVX2 takes four rows at a time: with two vectors, eight accumulators.
func panelAVX2(n int) {
	name := "panel" + itoa(n) + "AVX2"
	TEXT(name, NOSPLIT, panelSignature(n))
	panelDoc(name, n)
	acc, w := Load(Param("acc"), GP64()), Load(Param("w"), GP64())
	var x []Register
	for i := range n {
		x = append(x, Load(Param("x"+itoa(i)), GP64()))
	}
	steps, left, c := Load(Param("steps"), GP64()), GP64(), GP64()
	for h := range 2 {
		var sums [2][4]VecVirtual
		for i := range n {
			for r := range 4 {
				sums[i][r] = YMM()
				VMOVUPS(at(acc, panelRow*i+lane*(4*h+r)), sums[i][r])
			}
		}
		MOVQ(steps, left)
		XORQ(c, c)
		p := GP64()
		MOVQ(w, p)
		counted("rows"+itoa(4*h), left, func() {
			var v []VecVirtual
			for i := range n {
				y := YMM()
				VMOVUPS(Mem{Base: x[i], Index: c, Scale: 1}, y)
				v = append(v, y)
			}
			for r := range 4 {
				row := YMM()
				VMOVUPS(at(p, lane*(4*h+r)), row)
				for i := range n {
					t := YMM()
					VMULPS(row, v[i], t)
					VADDPS(t, sums[i][r], sums[i][r])
				}
			}
			ADDQ(U32(panelRow), p)
			ADDQ(U8(lane), c)
		})
		for i := range n {
			for r := range 4 {
				VMOVUPS(sums[i][r], at(acc, panelRow*i+lane*(4*h+r)))
			}
		}
	}
	VZEROUPPER()
	RET()
}

// panelAVX512 has two rows to a register, and all eight at once.
func panelAVX512(n int) {
	name := "panel" + itoa(n) + "AVX512"
	TEXT(name, NOSPLIT, panelSignature(n))
	panelDoc(name, n)
	acc, w := Load(Param("acc"), GP64()), Load(Param("w"), GP64())
	var x []Register
	for i := range n {
		x = append(x, Load(Param("x"+itoa(i)), GP64()))
	}
	left, c := Load(Param("steps"), GP64()).(GPVirtual), GP64()
	XORQ(c, c)
	var sums [4][4]VecVirtual
	for i := range n {
		for r := range 4 {
			sums[i][r] = ZMM()
			VMOVUPS(at(acc, panelRow*i+2*lane*r), sums[i][r])
		}
	}
	counted("step", left, func() {
		var v []VecVirtual
		for i := range n {
			z := ZMM()
			VBROADCASTF64X4(Mem{Base: x[i], Index: c, Scale: 1}, z)
			v = append(v, z)
		}
		for r := range 4 {
			row := ZMM()
			VMOVUPS(at(w, 2*lane*r), row)
			for i := range n {
				t := ZMM()
				VMULPS(row, v[i], t)
				VADDPS(t, sums[i][r], sums[i][r])
			}
		}
		ADDQ(U32(panelRow), w)
		ADDQ(U8(lane), c)
	})
	for i := range n {
		for r := range 4 {
			VMOVUPS(sums[i][r], at(acc, panelRow*i+2*lane*r))
		}
	}
	VZEROUPPER()
	RET()
}

func reduce() {
	TEXT("reduceAVX2", NOSPLIT, "func(dst, acc *float32, n int)")
	Pragma("noescape")
	Doc("reduceAVX2 sums n accumulators of eight lanes.")
	dst, acc := Load(Param("dst"), GP64()), Load(Param("acc"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	counted("row", n, func() {
		y := YMM()
		VMOVUPS(at(acc, 0), y)
		VMOVSS(sum(y), at(dst, 0))
		ADDQ(U8(lane), acc)
		ADDQ(U8(4), dst)
	})
	VZEROUPPER()
	RET()
}

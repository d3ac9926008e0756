// Command asm writes the amd64 kernels of gpu/cpu. It is a module of its own, so that the assembler's library is no dependency of
// what uses the kernels:
//
//	go -C asm run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg cpu
//
// Every kernel keeps the orders and roundings that the Go code of gpu/cpu states, so that both give the same bits; a kernel's name
// ends in the instructions that it takes.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	Package("shoal/gpu/cpu/asm")
	ConstraintExpr("amd64,!purego")
	for _, f := range formats {
		decodeKernel(f)
		dotKernel(f)
	}
	for n := 1; n <= 2; n++ {
		panelAVX2(n)
	}
	for n := 1; n <= 4; n++ {
		panelAVX512(n)
	}
	reduce()
	vectors()
	int8Kernels()
	features()
	Generate()
}

// lane is the width of a YMM register of float32 in bytes.
const lane = 32

// panelRow is the distance between groups of eight weights of one row in a panel, see gpu/cpu/matmul.go.
const panelRow = 8 * lane

// constants are 4-byte patterns in read-only memory, made when first asked for.
var constants = map[uint32]Mem{}

// all returns a register with the pattern in each 32-bit element.
func all(pattern uint32) VecVirtual {
	m, ok := constants[pattern]
	if !ok {
		m = GLOBL("all"+hex(pattern), RODATA|NOPTR)
		DATA(0, U32(pattern))
		constants[pattern] = m
	}
	y := YMM()
	VPBROADCASTD(m, y)
	return y
}

func imm(v uint32) Op { return U32(v) }

func hex(v uint32) string {
	const digits = "0123456789abcdef"
	var b [8]byte
	for i := range b {
		b[i] = digits[v>>(28-4*i)&15]
	}
	return string(b[:])
}

// table puts float32 values in read-only memory.
func table(name string, values []float32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, v := range values {
		DATA(4*i, U32(math.Float32bits(v)))
	}
	return m
}

// at is the memory offset bytes behind p.
func at(p Register, offset int) Mem { return Mem{Base: p, Disp: offset} }

// half returns the f16 at p in every element, widened.
func half(p Register, offset int) VecVirtual {
	x, y := XMM(), YMM()
	VPBROADCASTW(at(p, offset), x)
	VCVTPH2PS(x, y)
	return y
}

// counted repeats body until n, which it counts down, is 0; not at all if n is 0.
func counted(label string, n GPVirtual, body func()) {
	TESTQ(n, n)
	JZ(LabelRef(label + "_done"))
	Label(label)
	body()
	DECQ(n)
	JNZ(LabelRef(label))
	Label(label + "_done")
}

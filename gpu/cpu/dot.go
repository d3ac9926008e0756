package cpu

import (
	"encoding/binary"

	"shoal/rdrr/quant"
)

// # The order of a dot product
//
// Element c of every dot product is added to accumulator c mod 8, in order of c, and the eight are summed as a tree at the end.
// The products of stored blocks below round each weight exactly as quant.Decode does and keep this order, so that decoding
// first, as batches do, gives the same bits.

// lanes are the eight accumulators.
type lanes [8]float32

func (a *lanes) sum() float32 {
	return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
}

// dot returns the sum of w[c] * x[c]. x is at least as long as w.
func dot(w, x []float32) float32 {
	var a0, a1, a2, a3, a4, a5, a6, a7 float32
	for len(w) >= 8 && len(x) >= 8 {
		a0 += float32(w[0] * x[0])
		a1 += float32(w[1] * x[1])
		a2 += float32(w[2] * x[2])
		a3 += float32(w[3] * x[3])
		a4 += float32(w[4] * x[4])
		a5 += float32(w[5] * x[5])
		a6 += float32(w[6] * x[6])
		a7 += float32(w[7] * x[7])
		w, x = w[8:], x[8:]
	}
	a := lanes{a0, a1, a2, a3, a4, a5, a6, a7}
	for c, v := range w {
		a[c] += float32(v * x[c])
	}
	return a.sum()
}

// dots holds, for the formats where it is faster than decoding to memory, the product of a row of whole blocks with one vector.
var dots = map[quant.Type]func(row []byte, x []float32) float32{
	quant.F32:  dotF32,
	quant.F16:  dotF16,
	quant.BF16: dotBF16,
	quant.Q8_0: dotQ8,
	quant.Q4_K: dotQ4K,
	quant.Q6_K: dotQ6K,
}

func half(b []byte) float32 { return quant.F16ToF32(binary.LittleEndian.Uint16(b)) }

// dotQ8 multiplies a row of Q8_0 blocks: f16 d, int8 q[32].
func dotQ8(row []byte, x []float32) float32 {
	var a0, a1, a2, a3, a4, a5, a6, a7 float32
	for len(row) >= 34 && len(x) >= 32 {
		d := half(row)
		for l := 0; l < 32; l += 8 {
			q, v := (*[8]byte)(row[2+l:]), (*[8]float32)(x[l:])
			a0 += float32(float32(d*float32(int8(q[0]))) * v[0])
			a1 += float32(float32(d*float32(int8(q[1]))) * v[1])
			a2 += float32(float32(d*float32(int8(q[2]))) * v[2])
			a3 += float32(float32(d*float32(int8(q[3]))) * v[3])
			a4 += float32(float32(d*float32(int8(q[4]))) * v[4])
			a5 += float32(float32(d*float32(int8(q[5]))) * v[5])
			a6 += float32(float32(d*float32(int8(q[6]))) * v[6])
			a7 += float32(float32(d*float32(int8(q[7]))) * v[7])
		}
		row, x = row[34:], x[32:]
	}
	a := lanes{a0, a1, a2, a3, a4, a5, a6, a7}
	return a.sum()
}

// codes holds the sixteen weights that the nibbles of a sub-block stand for.
type codes [16]float32

// set fills the table with d*code - m.
func (t *codes) set(d, m float32) {
	for i := range t {
		t[i] = float32(d*float32(i)) - m
	}
}

// dotQ4K multiplies a row of Q4_K blocks (see quant's q4k.go). A sub-block of 32 weights takes each from a table of the sixteen
// that it can hold.
func dotQ4K(row []byte, x []float32) float32 {
	var a lanes
	var t codes
	for len(row) >= 144 && len(x) >= 256 {
		d, dmin, s := half(row), half(row[2:]), (*[12]byte)(row[4:])
		for j := range 8 {
			sc, mn := scaleK(s, j)
			t.set(d*float32(sc), dmin*float32(mn))
			a.nibbles(&t, (*[32]byte)(row[16+32*(j/2):]), (*[32]float32)(x[32*j:]), 4*(j&1))
		}
		row, x = row[144:], x[256:]
	}
	return a.sum()
}

// nibbles adds 32 products of the weights that t holds for the nibbles of q at bit shift.
func (a *lanes) nibbles(t *codes, q *[32]byte, x *[32]float32, shift int) {
	a0, a1, a2, a3, a4, a5, a6, a7 := a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
	for l := 0; l < 32; l += 8 {
		q, v := binary.LittleEndian.Uint64(q[l:])>>(shift&7), (*[8]float32)(x[l:])
		a0 += float32(t[q&15] * v[0])
		a1 += float32(t[q>>8&15] * v[1])
		a2 += float32(t[q>>16&15] * v[2])
		a3 += float32(t[q>>24&15] * v[3])
		a4 += float32(t[q>>32&15] * v[4])
		a5 += float32(t[q>>40&15] * v[5])
		a6 += float32(t[q>>48&15] * v[6])
		a7 += float32(t[q>>56&15] * v[7])
	}
	*a = lanes{a0, a1, a2, a3, a4, a5, a6, a7}
}

// dotQ6K multiplies a row of Q6_K blocks (see quant's q6k.go): quarters of 32 weights, whose two halves have scales of their own.
func dotQ6K(row []byte, x []float32) float32 {
	var a lanes
	for len(row) >= 210 && len(x) >= 256 {
		d := half(row[208:])
		for quarter := range 8 {
			k, r := quarter/4, quarter%4
			ql, qh := (*[32]byte)(row[64*k+32*(r%2):]), (*[32]byte)(row[128+32*k:])
			for h := range 2 {
				scale := d * float32(int8(row[192+8*k+2*r+h]))
				a.sixBits(scale, (*[16]byte)(ql[16*h:]), (*[16]byte)(qh[16*h:]), (*[16]float32)(x[32*quarter+16*h:]), 4*(r/2), 2*r)
			}
		}
		row, x = row[210:], x[256:]
	}
	return a.sum()
}

// sixBits adds 16 products of weights scale * (code - 32), the code having its low bits at bit low of ql and its high bits at
// bit high of qh.
func (a *lanes) sixBits(scale float32, ql, qh *[16]byte, x *[16]float32, low, high int) {
	a0, a1, a2, a3, a4, a5, a6, a7 := a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
	for l := 0; l < 16; l += 8 {
		q := binary.LittleEndian.Uint64(ql[l:])>>(low&7)&0x0f0f0f0f0f0f0f0f |
			binary.LittleEndian.Uint64(qh[l:])>>(high&7)&0x0303030303030303<<4
		v := (*[8]float32)(x[l:])
		a0 += float32(float32(scale*sixBit[q&63]) * v[0])
		a1 += float32(float32(scale*sixBit[q>>8&63]) * v[1])
		a2 += float32(float32(scale*sixBit[q>>16&63]) * v[2])
		a3 += float32(float32(scale*sixBit[q>>24&63]) * v[3])
		a4 += float32(float32(scale*sixBit[q>>32&63]) * v[4])
		a5 += float32(float32(scale*sixBit[q>>40&63]) * v[5])
		a6 += float32(float32(scale*sixBit[q>>48&63]) * v[6])
		a7 += float32(float32(scale*sixBit[q>>56&63]) * v[7])
	}
	*a = lanes{a0, a1, a2, a3, a4, a5, a6, a7}
}

// sixBit holds code - 32: a load is cheaper than the conversion of an integer.
var sixBit = func() (t [64]float32) {
	for i := range t {
		t[i] = float32(i - 32)
	}
	return t
}()

package cpu

import "math"

// # exp
//
// exp32 computes e^x for the softmax of attention and for activations, the same in Go and in vector instructions: with n the integer
// nearest to x / ln 2 and r = x - n ln 2, it is 2^n times the Taylor polynomial of e^r to the seventh power, whose error for
// |r| <= ln 2 / 2 is under 6e-9. ln 2 is the sum of two floats of which the first has 15 bits, so that its product with n is exact.
// The error is within 2 ULP of the result; 2^n is two factors, so that subnormals and infinity come out too.
const (
	log2e    = float32(math.Log2E)
	ln2High  = float32(0x1.62e4p-1)
	ln2Low   = float32(math.Ln2 - 0x1.62e4p-1)
	expLimit = 104             // e^x is 0 below -expLimit and infinite above
	rounder  = float32(0x3p22) // adding it leaves no bits behind the point
)

func exp32(x float32) float32 {
	if x > expLimit {
		x = expLimit
	}
	if x < -expLimit {
		x = -expLimit
	}
	t := float32(x*log2e) + rounder
	n := t - rounder
	r := x - float32(n*ln2High)
	r -= float32(n * ln2Low)
	p := float32(r*(1./5040)) + 1./720
	p = float32(p*r) + 1./120
	p = float32(p*r) + 1./24
	p = float32(p*r) + 1./6
	p = float32(p*r) + 0.5
	p = float32(p*r) + 1
	p = float32(p*r) + 1
	i := int32(math.Float32bits(t) - math.Float32bits(rounder))
	half := i >> 1
	return p * math.Float32frombits(uint32(half+127)<<23) * math.Float32frombits(uint32(i-half+127)<<23)
}

func sigmoid32(x float32) float32 { return 1 / (1 + exp32(-x)) }

// smallest is the least softmax weight that is not taken for 0: products of smaller ones with values would be subnormal, which
// processors compute a hundred times slower than other numbers.
const smallest = 0x1p-100

// expSum replaces x by exp(x - top), or 0 where that is under smallest, and returns the sum. Element c is added to sum c mod 8.
func (k *kernels) expSum(x []float32, top float32) float64 {
	var sums [8]float64
	from := 0
	if k != nil && len(x) >= 8 {
		from = len(x) &^ 7
		k.expSums(&sums, &x[0], top, from/8)
	}
	for i := from; i < len(x); i++ {
		e := exp32(x[i] - top)
		if e < smallest {
			e = 0
		}
		x[i] = e
		sums[i%8] += float64(e)
	}
	return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

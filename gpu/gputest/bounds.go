package gputest

import "math"

// # Error bounds
//
// A bound is what a correct float32 implementation cannot exceed, whatever its order of summation and whether or not it fuses
// multiplication and addition; the twins in shaders/ref are taken as exact. u = 2^-24 is the unit roundoff. WGSL's built-in
// functions are less exact than IEEE 754's (WGSL, section "Floating Point Accuracy"; 1 ULP <= 2u relative):
//
//	x / y, 1 / sqrt(x)   2.5 ULP
//	exp(x)               3 + 2|x| ULP
//
// Results below the smallest normal float32 may be flushed to zero, which [tiny] allows for.
const (
	u    = 0x1p-24
	ulp  = 2 * u
	tiny = 1e-36
)

// gamma bounds the relative error of k roundings one upon the other: gamma_k = k u / (1 - k u) (Higham, Accuracy and Stability
// of Numerical Algorithms, lemma 3.1). A dot product of length k is within gamma(k) * sum |a_i| |b_i| of the true one in any
// order of summation.
func gamma(k int) float64 { return float64(k) * u / (1 - float64(k)*u) }

// expError bounds the relative error of exp(x) for |x| <= limit.
func expError(limit float64) float64 { return (3 + 2*limit) * ulp }

// sigmoidError bounds the relative error of 1 / (1 + exp(-x)): an error of the exponential passes on whole where it outweighs
// the 1, and the addition and the division add theirs.
func sigmoidError(x float64) float64 { return expError(math.Abs(x)) + 4*ulp }

// tanhError bounds the absolute error of tanh(x) computed as 1 - 2 / (exp(2x) + 1). By e = exp(2x), a relative error d of e
// changes the result by d * 2e / (e + 1)^2 <= d/2 and, as exp's error grows with x while that factor falls as exp(-2|x|), by at
// most 4 ulp; the other three operations add 3.5 ulp at most.
const tanhError = 8 * ulp

// rel is the bound of a relative error of want.
func rel(want []float32, e float64) func(int) float64 {
	return func(i int) float64 { return e * math.Abs(float64(want[i])) }
}

// exact is the bound of results that no rounding may touch.
func exact(int) float64 { return -tiny }

func sumAbs(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += math.Abs(float64(v))
	}
	return sum
}

func maxAbs(x []float32) float64 {
	var top float64
	for _, v := range x {
		top = max(top, math.Abs(float64(v)))
	}
	return top
}

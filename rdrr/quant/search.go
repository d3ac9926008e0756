package quant

import "math"

// The scale of a block decides its error. Scaling the largest weight to the largest code is only a start: a slightly smaller
// scale that clips or moves the extreme weights often serves the many small ones better. The searches here try a range of
// scales; for each they assign every weight its nearest code and then solve for the scale (and offset) that minimise the sum
// of squared errors for those codes, in closed form. The best of all tries wins.
//
// Products are wrapped in a conversion to float32 wherever they are added: it forbids fused multiply-add, which some
// processors would use and others not, and thus keeps the bytes that are written the same everywhere.

func largest(x []float32) float32 {
	var m float32
	for _, v := range x {
		if v < 0 {
			v = -v
		}
		if v > m {
			m = v
		}
	}
	return m
}

// inverse returns 1/s, or 0 where s is 0 or so small that its inverse is infinite: such a block is all zeros.
func inverse(s float32) float32 {
	if s > -0x1p-120 && s < 0x1p-120 {
		return 0
	}
	return 1 / s
}

// nearest rounds v to the nearest integer, halves away from zero, within [lo, hi].
func nearest(v, lo, hi float32) int32 {
	if v <= lo {
		return int32(lo)
	}
	if v >= hi {
		return int32(hi)
	}
	if v < 0 {
		return int32(float32(v) - 0.5)
	}
	return int32(float32(v) + 0.5)
}

// symmetricScale returns a scale s, possibly negative, for codes q in [-n, n-1]: x[i] is stored as s*q[i]. The codes have one
// more value below zero than above it, so the sign of s lets the weight of the largest magnitude use it.
func symmetricScale(x []float32, n int32) float32 {
	var extreme float32
	for _, v := range x {
		if v*v > extreme*extreme {
			extreme = v
		}
	}
	if inverse(extreme) == 0 {
		return 0
	}
	lo, hi := float32(-n), float32(n-1)
	var best, bestGain float32
	for step := -9; step <= 9; step++ {
		inv := -(float32(n) + float32(0.1*float32(step))) / extreme
		var qx, qq float32
		for _, v := range x {
			q := float32(nearest(v*inv, lo, hi))
			qx += float32(q * v)
			qq += float32(q * q)
		}
		// With s = qx/qq the squared error is sum(x^2) - qx^2/qq.
		if qq > 0 && float32(qx*qx) > float32(bestGain*qq) {
			bestGain = float32(qx*qx) / qq
			best = qx / qq
		}
	}
	return best
}

// affineScale returns a scale s >= 0 and an offset m >= 0 for codes q in [0, n]: x[i] is stored as s*q[i] - m.
func affineScale(x []float32, n int32) (s, m float32) {
	lo, hi := x[0], x[0]
	var sum, squares float32
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
		sum += v
		squares += float32(v * v)
	}
	lo = min(lo, 0)
	if inverse(hi-lo) == 0 {
		return 0, -lo
	}
	f := affineFit{count: int32(len(x)), sum: sum, squares: squares, best: math.Inf(1)}
	s, m = (hi-lo)/float32(n), -lo
	for step := -7; step <= 7; step++ {
		if ts, tm, better := f.solve(x, (float32(n)+float32(0.15*float32(step)))/(hi-lo), -lo, n); better {
			s, m = ts, tm
		}
	}
	// From the best try, assigning codes and solving in turn converges within a few rounds.
	for range 4 {
		ts, tm, better := f.solve(x, inverse(s), m, n)
		if !better {
			break
		}
		s, m = ts, tm
	}
	return s, m
}

// affineFit is a search for scale and offset of one sub-block: what does not change between tries, and the best error so far.
type affineFit struct {
	count        int32
	sum, squares float32
	best         float64
}

// solve assigns codes with inverse scale inv and offset m, and returns the scale and offset that suit those codes best.
// better reports whether their error is the least so far.
func (f *affineFit) solve(x []float32, inv, m float32, n int32) (ts, tm float32, better bool) {
	top := float32(n)
	var q1, q2 int32
	var even, odd float32 // two sums, so that one addition need not wait for the other
	for i := 0; i+1 < len(x); i += 2 {
		a, b := code((x[i]+m)*inv, top), code((x[i+1]+m)*inv, top)
		q1 += a + b
		q2 += a*a + b*b
		even += float32(float32(a) * x[i])
		odd += float32(float32(b) * x[i+1])
	}
	qx, det := even+odd, f.count*q2-q1*q1
	if det <= 0 {
		return 0, 0, false
	}
	ts = (float32(float32(f.count)*qx) - float32(float32(q1)*f.sum)) / float32(det)
	tm = (float32(float32(q1)*qx) - float32(float32(q2)*f.sum)) / float32(det)
	if tm < 0 {
		ts, tm = qx/float32(q2), 0
	}
	if ts <= 0 {
		return 0, 0, false
	}
	// The sum of (s*q - m - x)^2, multiplied out.
	s, o, n1, n2 := float64(ts), float64(tm), float64(q1), float64(q2)
	e := float64(f.squares) + float64(s*s*n2) + float64(o*o*float64(f.count))
	e += 2 * (float64(o*float64(f.sum)) - float64(s*float64(qx)) - float64(s*o*n1))
	if e >= f.best {
		return 0, 0, false
	}
	f.best = e
	return ts, tm, true
}

// code rounds v to the nearest integer in [0, top].
func code(v, top float32) int32 {
	if v <= 0 {
		return 0
	}
	if v >= top {
		return int32(top)
	}
	return int32(float32(v) + 0.5)
}

// affineError is the squared error of x stored with scale s and offset m, each weight by its nearest code.
func affineError(x []float32, s, m, inv, top float32) float32 {
	var even, odd float32
	for i := 0; i+1 < len(x); i += 2 {
		a := float32(s*float32(code((x[i]+m)*inv, top))) - m - x[i]
		b := float32(s*float32(code((x[i+1]+m)*inv, top))) - m - x[i+1]
		even += float32(a * a)
		odd += float32(b * b)
	}
	return even + odd
}

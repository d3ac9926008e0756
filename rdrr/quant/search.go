package quant

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
		return int32(v - 0.5)
	}
	return int32(v + 0.5)
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
		inv := -(float32(n) + 0.1*float32(step)) / extreme
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
	var sum float32
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
		sum += v
	}
	lo = min(lo, 0)
	if inverse(hi-lo) == 0 {
		return 0, -lo
	}
	count, top := float32(len(x)), float32(n)
	bestError := float32(-1)
	for step := -10; step <= 10; step++ {
		inv := (top + 0.1*float32(step)) / (hi - lo)
		offset := -lo
		// The second round starts from the first one's solution.
		for range 2 {
			var q1, q2, qx float32
			for _, v := range x {
				q := float32(code((v+offset)*inv, top))
				q1 += q
				q2 += float32(q * q)
				qx += float32(q * v)
			}
			det := float32(count*q2) - float32(q1*q1)
			if det <= 0 {
				break
			}
			ts := (float32(count*qx) - float32(q1*sum)) / det
			tm := (float32(q1*qx) - float32(q2*sum)) / det
			if tm < 0 {
				tm, ts = 0, qx/q2
			}
			if inverse(ts) == 0 || ts < 0 {
				break
			}
			inv, offset = 1/ts, tm
			if e := affineError(x, ts, tm, inv, top); bestError < 0 || e < bestError {
				bestError, s, m = e, ts, tm
			}
		}
	}
	if bestError < 0 {
		return (hi - lo) / top, -lo
	}
	return s, m
}

// code rounds v to the nearest integer in [0, top].
func code(v, top float32) int32 {
	if v <= 0 {
		return 0
	}
	if v >= top {
		return int32(top)
	}
	return int32(v + 0.5)
}

// affineError is the squared error of x stored with scale s and offset m, each weight by its nearest code.
func affineError(x []float32, s, m, inv, top float32) float32 {
	var e float32
	for _, v := range x {
		d := float32(s*float32(code((v+m)*inv, top))) - m - v
		e += float32(d * d)
	}
	return e
}

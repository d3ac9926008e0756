package ref

import "math"

// MatMulGated writes dst[i, r] = act(g) * u for rows g = 2r and u = 2r+1 of w * x[i, :] + bias. x [n, cols], w [rows, cols], bias
// [rows] or nil, dst [n, rows/2].
func MatMulGated(dst, x, w, bias []float32, n, rows, cols int, a Activation) {
	y := make([]float32, n*rows)
	MatMul(y, x, w, bias, n, rows, cols)
	activatePairs(dst, y, a)
}

// MatMulExpertsGated is to [MatMulExperts] with one input a row what [MatMulGated] is to [MatMul]. dst [n, k, rows/2].
func MatMulExpertsGated(dst, x, w, bias []float32, ids []uint32, n, k, count, rows, cols int, a Activation) {
	y := make([]float32, n*k*rows)
	MatMulExperts(y, x, w, bias, ids, n, k, count, rows, cols, false)
	activatePairs(dst, y, a)
}

func activatePairs(dst, y []float32, a Activation) {
	for i := range len(y) / 2 {
		Activate(dst[i:], y[2*i:], y[2*i+1:], 1, a)
	}
}

// MatMulExpertsAdd adds the weighted outputs of experts: x[i, :] += sum over j of weights[i, j] * (w[ids[i, j]] * y[i, j, :] + bias).
// y [n, k, cols], weights [n, k], x [n, rows].
func MatMulExpertsAdd(x, y, w, bias []float32, ids []uint32, weights []float32, n, k, count, rows, cols int) {
	out := make([]float32, n*k*rows)
	MatMulExperts(out, y, w, bias, ids, n, k, count, rows, cols, true)
	Combine(x, out, weights, n, k, rows)
}

// Split is the shape of [SplitHeads].
type Split struct {
	Rows, Start             int
	Heads, KVHeads, HeadDim int
	Rotary                  int
	Interleaved             bool
	Eps                     float32
}

// SplitHeads takes x [Rows, Heads + 2*KVHeads, HeadDim] apart: queries to q [Rows, Heads, HeadDim], keys and values to positions from
// Start on of keys and values [.., KVHeads, HeadDim]. Queries and keys are normed per head, if the norms are not nil, and the first
// Rotary elements of a head rotated.
func SplitHeads(q, keys, values, x, qNorm, kNorm, angles []float32, s Split) {
	for i := range s.Rows {
		row := x[i*(s.Heads+2*s.KVHeads)*s.HeadDim:]
		for h := range s.Heads + 2*s.KVHeads {
			head := make([]float32, s.HeadDim)
			copy(head, row[h*s.HeadDim:])
			norm, to := qNorm, q[(i*s.Heads+h%s.Heads)*s.HeadDim:]
			switch at := (s.Start + i) * s.KVHeads; {
			case h >= s.Heads+s.KVHeads:
				copy(values[(at+h-s.Heads-s.KVHeads)*s.HeadDim:], head)
				continue
			case h >= s.Heads:
				norm, to = kNorm, keys[(at+h-s.Heads)*s.HeadDim:]
			}
			if norm != nil {
				var squares float64
				for _, v := range head {
					squares += float64(v) * float64(v)
				}
				scale := 1 / math.Sqrt(squares/float64(s.HeadDim)+float64(s.Eps))
				for c, v := range head {
					head[c] = float32(float64(v) * scale * float64(norm[c]))
				}
			}
			if s.Rotary > 0 {
				RoPE(head, angles[i*s.Rotary:], Rotation{Rows: 1, Heads: 1, HeadDim: s.HeadDim, Rotary: s.Rotary, Interleaved: s.Interleaved})
			}
			copy(to, head)
		}
	}
}

package ref

import "math"

// Attention writes softmax(q k^T * scale + mask) v (Vaswani et al. 2017) for s.Rows consecutive positions from s.Start on.
//
// q [Rows, Heads, KeyDim]; keys [.., KeyStride] and values [.., ValueStride] hold one cached position a row; dst [Rows, Heads,
// ValueDim]. Query head h reads KV head h / (Heads/KVHeads) (Ainslie et al. 2023). Row i sees positions p <= Start+i and, with
// Window > 0, p > Start+i-Window. A sink of head h adds exp(sink) to the denominator and no value. SoftCap > 0 makes scores
// SoftCap * tanh(score/SoftCap) before the mask.
func Attention(dst, q, keys, values, sinks []float32, s Heads) {
	group := s.Heads / s.KVHeads
	for i := range s.Rows {
		last := s.Start + i
		first := 0
		if s.Window > 0 {
			first = max(0, last-s.Window+1)
		}
		for h := range s.Heads {
			kv := h / group
			query := q[(i*s.Heads+h)*s.KeyDim:][:s.KeyDim]
			scores, top := make([]float64, last-first+1), math.Inf(-1)
			for p := range scores {
				score := dot(query, keys[(first+p)*s.KeyStride+kv*s.KeyDim:][:s.KeyDim]) * float64(s.Scale)
				if s.SoftCap > 0 {
					score = float64(s.SoftCap) * math.Tanh(score/float64(s.SoftCap))
				}
				scores[p], top = score, max(top, score)
			}
			var sum float64
			if sinks != nil {
				top = max(top, float64(sinks[h]))
				sum = math.Exp(float64(sinks[h]) - top)
			}
			out := make([]float64, s.ValueDim)
			for p, score := range scores {
				weight := math.Exp(score - top)
				sum += weight
				for c, v := range values[(first+p)*s.ValueStride+kv*s.ValueDim:][:s.ValueDim] {
					out[c] += weight * float64(v)
				}
			}
			for c, v := range out {
				dst[(i*s.Heads+h)*s.ValueDim+c] = float32(v / sum)
			}
		}
	}
}

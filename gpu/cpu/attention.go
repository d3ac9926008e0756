package cpu

import (
	"math"

	"shoal/gpu"
)

// headBlock is how many query heads of one KV head a task computes together at most, so that a cached position is read once for
// them. With fewer tasks than threads, as in decoding, there are fewer heads to a task.
const headBlock = 8

// RoPE implements gpu.Pass.
func (p *pass) RoPE(x, angles gpu.Buffer, s gpu.Rotation) {
	if !p.ok("rope", gpu.CheckRoPE(x, angles, s), x, angles) {
		return
	}
	stride, half := s.RowStride, s.Rotary/2
	if stride == 0 {
		stride = s.Heads * s.HeadDim
	}
	step, apart := 1, half // between pairs, within a pair
	if s.Interleaved {
		step, apart = 2, 1
	}
	p.record(func() {
		x, angles := floats(x), floats(angles)
		p.dev.pool.split(s.Rows, s.Heads*s.Rotary*2, func(from, to int) {
			for i := from; i < to; i++ {
				turns := angles[i*s.Rotary:][:s.Rotary]
				for h := range s.Heads {
					v := x[i*stride+h*s.HeadDim+s.Offset:][:s.Rotary]
					for pair := range half {
						cos, sin := turns[2*pair], turns[2*pair+1]
						first := pair * step
						a, b := v[first], v[first+apart]
						v[first] = float32(a*cos) - float32(b*sin)
						v[first+apart] = float32(a*sin) + float32(b*cos)
					}
				}
			}
		})
	})
}

// Attention implements gpu.Pass. A task computes up to headBlock heads of one row, with memory for as many scores as the row sees.
func (p *pass) Attention(dst, q, keys, values, sinks gpu.Buffer, s gpu.Attention) {
	if !p.ok("attention", gpu.CheckAttention(dst, q, keys, values, sinks, s), dst, q, keys, values, sinks) {
		return
	}
	p.record(func() {
		a := attention{s, p.dev.kernels, floats(dst), floats(q), floats(keys), floats(values), floats(sinks)}
		group := s.Heads / s.KVHeads
		block := min(group, headBlock)
		for block > 1 && s.Rows*s.Heads/block < 2*p.dev.pool.threads {
			block = (block + 1) / 2
		}
		blocks := (group + block - 1) / block
		tasks := s.KVHeads * blocks
		cost := (s.Start + s.Rows/2 + 1) * block * (s.KeyDim + s.ValueDim + 16)
		p.dev.pool.split(s.Rows*tasks, cost, func(from, to int) {
			mem := scratches.Get().(*scratch)
			defer scratches.Put(mem)
			for t := from; t < to; t++ {
				row, kv := t/tasks, t%tasks/blocks
				first := kv*group + t%blocks*block
				a.heads(row, kv, first, min(first+block, (kv+1)*group), mem)
			}
		})
	})
}

// attention is the operands of one call; see gpu.Attention for their shapes.
type attention struct {
	gpu.Attention
	kernels                     *kernels
	dst, q, keys, values, sinks []float32
}

// heads computes query heads from up to before to, all of KV head kv, of one row.
func (a *attention) heads(row, kv, from, to int, mem *scratch) {
	last, first := a.Start+row, 0
	if a.Window > 0 {
		first = max(0, last-a.Window+1)
	}
	n := last - first + 1
	scores := mem.floats((to - from) * n) // [to-from, n]
	a.score(scores, row, kv, from, to, first, n)
	out := a.dst[(row*a.Heads+from)*a.ValueDim : (row*a.Heads+to)*a.ValueDim] // [to-from, ValueDim]
	clear(out)
	for h := from; h < to; h++ {
		a.weigh(scores[(h-from)*n:][:n], h)
	}
	a.addValues(out, scores, kv, to-from, first, n)
}

// score fills scores [to-from, n] with the scaled products of query heads and the n keys from first on.
func (a *attention) score(scores []float32, row, kv, from, to, first, n int) {
	if a.kernels != nil && n >= 4 && a.KeyDim%8 == 0 {
		a.scoreQuads(scores, row, kv, from, to, first, n)
		return
	}
	for p := range n {
		key := a.keys[(first+p)*a.KeyStride+kv*a.KeyDim:][:a.KeyDim]
		for h := from; h < to; h++ {
			scores[(h-from)*n+p] = dot(a.q[(row*a.Heads+h)*a.KeyDim:][:a.KeyDim], key) * a.Scale
		}
	}
}

// near is how many positions are passed by several heads at a time: their keys or values stay in the first-level cache.
const near = 32

// scoreQuads takes two heads and four keys at a time. The last four keys may be partly among those before, with the same results.
func (a *attention) scoreQuads(scores []float32, row, kv, from, to, first, n int) {
	some := func(start, quads int) {
		key := &a.keys[(first+start)*a.KeyStride+kv*a.KeyDim]
		for h := from; h < to; h += 2 {
			heads := min(2, to-h)
			a.kernels.scores[heads-1](&scores[(h-from)*n+start], 4*n, &a.q[(row*a.Heads+h)*a.KeyDim], 4*a.KeyDim,
				key, 4*a.KeyStride, quads, a.KeyDim/8, a.Scale)
		}
	}
	for p := 0; p+4 <= n; p += near {
		some(p, min(near, n-p)/4)
	}
	if n%4 > 0 {
		some(n-4, 1)
	}
}

// addValues adds the values of n positions from first on to out [heads, ValueDim], weighted by weights [heads, n].
func (a *attention) addValues(out, weights []float32, kv, heads, first, n int) {
	columns := 0
	if a.kernels != nil {
		columns = a.ValueDim &^ 7
	}
	for p := 0; p < n; p += near {
		positions := min(near, n-p)
		for h := 0; h < heads; h += 2 {
			pair := min(2, heads-h) - 1
			for c := 0; c < columns; {
				wide, narrow := 32, 0
				if columns-c < 32 {
					wide, narrow = 8, 1
				}
				a.kernels.weigh[pair][narrow](&out[h*a.ValueDim+c], 4*a.ValueDim, &weights[h*n+p], 4*n,
					&a.values[(first+p)*a.ValueStride+kv*a.ValueDim+c], 4*a.ValueStride, positions)
				c += wide
			}
		}
		if columns == a.ValueDim {
			continue
		}
		for i := range positions {
			value := a.values[(first+p+i)*a.ValueStride+kv*a.ValueDim:][columns:a.ValueDim]
			for h := range heads {
				a.kernels.addScaled8(out[h*a.ValueDim:][columns:a.ValueDim], value, weights[h*n+p+i])
			}
		}
	}
}

// weigh turns scores into softmax weights, head h's sink included in their sum; see smallest.
func (a *attention) weigh(scores []float32, h int) {
	if a.SoftCap > 0 {
		for i, v := range scores {
			scores[i] = float32(float64(a.SoftCap) * math.Tanh(float64(v/a.SoftCap)))
		}
	}
	top, sink := a.kernels.top(scores), 0.0
	if a.sinks != nil {
		top = max(top, a.sinks[h])
		sink = float64(exp32(a.sinks[h] - top))
	}
	sum := a.kernels.expSum(scores, top)
	a.kernels.scaleAll(scores, float32(1/(sink+sum)))
}

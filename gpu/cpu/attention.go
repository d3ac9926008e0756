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
		a := attention{s, floats(dst), floats(q), floats(keys), floats(values), floats(sinks)}
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
	for p := range n {
		key := a.keys[(first+p)*a.KeyStride+kv*a.KeyDim:][:a.KeyDim]
		for h := from; h < to; h++ {
			scores[(h-from)*n+p] = dot(a.q[(row*a.Heads+h)*a.KeyDim:][:a.KeyDim], key) * a.Scale
		}
	}
	out := a.dst[(row*a.Heads+from)*a.ValueDim : (row*a.Heads+to)*a.ValueDim] // [to-from, ValueDim]
	clear(out)
	for h := from; h < to; h++ {
		a.weigh(scores[(h-from)*n:][:n], h)
	}
	for p := range n {
		value := a.values[(first+p)*a.ValueStride+kv*a.ValueDim:][:a.ValueDim]
		for h := range to - from {
			if w := scores[h*n+p]; w != 0 {
				addScaled(out[h*a.ValueDim:][:a.ValueDim], value, w)
			}
		}
	}
}

// weigh turns scores into softmax weights, head h's sink included in their sum. Weights under 2^-100 become 0: their products
// with values would be subnormal, which processors compute a hundred times slower than other numbers.
func (a *attention) weigh(scores []float32, h int) {
	top := float32(math.Inf(-1))
	for i, v := range scores {
		if a.SoftCap > 0 {
			v = float32(float64(a.SoftCap) * math.Tanh(float64(v/a.SoftCap)))
			scores[i] = v
		}
		top = max(top, v)
	}
	var sum float64
	if a.sinks != nil {
		top = max(top, a.sinks[h])
		sum = math.Exp(float64(a.sinks[h] - top))
	}
	for i, v := range scores {
		e := math.Exp(float64(v - top))
		sum += e
		if e < 0x1p-100 {
			e = 0
		}
		scores[i] = float32(e)
	}
	inv := float32(1 / sum)
	for i := range scores {
		scores[i] *= inv
	}
}

// addScaled adds w * x to dst.
func addScaled(dst, x []float32, w float32) {
	for len(dst) >= 4 && len(x) >= 4 {
		dst[0] += float32(w * x[0])
		dst[1] += float32(w * x[1])
		dst[2] += float32(w * x[2])
		dst[3] += float32(w * x[3])
		dst, x = dst[4:], x[4:]
	}
	for i := range dst {
		dst[i] += float32(w * x[i])
	}
}

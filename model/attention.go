package model

import "shoal/gpu"

// gqa runs grouped-query attention on b.h up to its last projection and leaves the result in b.attended. The rows' keys and values join the caches first, so
// that every row sees itself.
func (st *step) gqa(w *gqaWeights, a *GQA, keys, values gpu.Buffer) {
	b := st.b
	if w.joint != nil {
		st.joint(w, a, keys, values)
		st.attend(w, a, b.q, keys, values)
		return
	}
	st.linear(b.q, b.h, w.q) // [n, heads, head dim]
	st.linear(b.k, b.h, w.k) // [n, kv heads, head dim]
	st.linear(b.v, b.h, w.v)
	q := st.headNorm(b.qn, b.q, w.qNorm, a.Heads*a.HeadDim)
	k := st.headNorm(b.kn, b.k, w.kNorm, a.KVHeads*a.HeadDim)
	st.rotate(q, a.Rope, a.Heads, a.HeadDim, 0)
	st.rotate(k, a.Rope, a.KVHeads, a.HeadDim, 0)
	st.remember(keys, k, a.KVHeads*a.HeadDim)
	st.remember(values, b.v, a.KVHeads*a.HeadDim)
	st.attend(w, a, q, keys, values)
}

// joint projects b.h to queries b.q, and keys and values in their caches, normed and rotated.
func (st *step) joint(w *gqaWeights, a *GQA, keys, values gpu.Buffer) {
	b, r := st.b, st.t.spec.Ropes[a.Rope]
	for _, part := range w.joint {
		st.p.MatMulInto(b.qkv, b.h, part.w, part.bias, st.n, gpu.Into{Offset: part.first, Stride: (a.Heads + 2*a.KVHeads) * a.HeadDim})
	}
	s := gpu.Heads{
		Rows: st.n, Start: st.start, Heads: a.Heads, KVHeads: a.KVHeads, HeadDim: a.HeadDim,
		Rotary: r.Dim, Interleaved: r.Interleaved,
	}
	var q, k gpu.Buffer
	if w.qNorm != nil {
		q, k, s.Eps = w.qNorm.weight, w.kNorm.weight, w.qNorm.Eps
	}
	st.p.Heads(b.q, keys, values, b.qkv, q, k, b.angles[a.Rope], s)
}

// attend leaves attention in b.attended.
func (st *step) attend(w *gqaWeights, a *GQA, q, keys, values gpu.Buffer) {
	st.p.Attention(st.b.attended, q, keys, values, w.sinks, gpu.Attention{
		Rows: st.n, Start: st.start,
		Heads: a.Heads, KVHeads: a.KVHeads, KeyDim: a.HeadDim, ValueDim: a.HeadDim,
		KeyStride: a.KVHeads * a.HeadDim, ValueStride: a.KVHeads * a.HeadDim,
		Scale: a.Scale, Window: a.Window, SoftCap: a.SoftCap,
	})
}

// headNorm norms rows of width elements in pieces of the weight's width, into dst, and returns where the result lies: x itself
// if there is no norm.
func (st *step) headNorm(dst, x gpu.Buffer, w *norm, width int) gpu.Buffer {
	if w == nil {
		return x
	}
	st.normRows(dst, x, w, gpu.Norm{Rows: st.n * width / w.width})
	return dst
}

// remember appends the step's rows to a cache [positions, width].
func (st *step) remember(cache, rows gpu.Buffer, width int) {
	st.p.Copy(cache, rows, gpu.Strided{
		Rows: st.n, Width: width, SrcStride: width, DstOffset: st.start * width, DstStride: width,
	})
}

package model

import "shoal/gpu"

// gqa runs grouped-query attention on b.h and leaves its result in b.out. The rows' keys and values join the caches first, so
// that every row sees itself.
func (st *step) gqa(w *gqaWeights, a *GQA, keys, values gpu.Buffer) {
	b := st.b
	st.linear(b.q, b.h, w.q) // [n, heads, head dim]
	st.linear(b.k, b.h, w.k) // [n, kv heads, head dim]
	st.linear(b.v, b.h, w.v)
	q := st.headNorm(b.qn, b.q, w.qNorm, a.Heads*a.HeadDim)
	k := st.headNorm(b.kn, b.k, w.kNorm, a.KVHeads*a.HeadDim)
	st.rotate(q, a.Rope, a.Heads, a.HeadDim, 0)
	st.rotate(k, a.Rope, a.KVHeads, a.HeadDim, 0)
	st.remember(keys, k, a.KVHeads*a.HeadDim)
	st.remember(values, b.v, a.KVHeads*a.HeadDim)
	st.p.Attention(b.attended, q, keys, values, w.sinks, gpu.Attention{
		Rows: st.n, Start: st.start,
		Heads: a.Heads, KVHeads: a.KVHeads, KeyDim: a.HeadDim, ValueDim: a.HeadDim,
		KeyStride: a.KVHeads * a.HeadDim, ValueStride: a.KVHeads * a.HeadDim,
		Scale: a.Scale, Window: a.Window, SoftCap: a.SoftCap,
	})
	st.linear(b.out, b.attended, w.o)
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

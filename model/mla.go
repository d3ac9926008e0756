package model

import (
	"fmt"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// mla runs multi-head latent attention on b.h up to its last projection and leaves the result in b.attended. The cache [positions, kv rank + rope dim] holds
// a normed latent and a rotated key per position, nothing per head:
//
//	score(h, p) = q_nope . (W_uk c_p) + q_rope . k_p  =  (W_uk^T q_nope) . c_p + q_rope . k_p
//	out(h)      = W_uv (sum over p of prob(h, p) c_p)
//
// so that one pass over the cache serves all heads, as if they shared one key-value head.
func (st *step) mla(w *mlaWeights, a *MLA, cache gpu.Buffer) {
	b, head, width := st.b, a.NopeDim+a.RopeDim, a.CacheWidth()

	st.queries(w, a)
	st.rotate(b.q, a.Rope, a.Heads, head, a.NopeDim)
	st.linear(b.latent, b.h, w.kv) // [n, kv rank + rope dim]
	st.rotate(b.latent, a.Rope, 1, width, a.KVRank)
	st.normRows(cache, b.latent, &w.kvNorm, gpu.Norm{Rows: st.n, SrcStride: width, DstOffset: st.start * width, DstStride: width})
	st.p.Copy(cache, b.latent, gpu.Strided{
		Rows: st.n, Width: a.RopeDim,
		SrcOffset: a.KVRank, SrcStride: width, DstOffset: st.start*width + a.KVRank, DstStride: width,
	})

	// absorbed [n, heads, kv rank + rope dim]: W_uk^T q_nope beside q_rope
	st.p.MatMulEach(b.absorbed, b.q, w.absorb, gpu.Slices{
		Rows: st.n, XStride: head, XRow: a.Heads * head, DStride: width, DRow: a.Heads * width,
	})
	st.p.Copy(b.absorbed, b.q, gpu.Strided{
		Rows: st.n * a.Heads, Width: a.RopeDim, SrcOffset: a.NopeDim, SrcStride: head, DstOffset: a.KVRank, DstStride: width,
	})
	st.p.Attention(b.latentMean, b.absorbed, cache, cache, nil, gpu.Attention{
		Rows: st.n, Start: st.start, Heads: a.Heads, KVHeads: 1, KeyDim: width, ValueDim: a.KVRank,
		KeyStride: width, ValueStride: width, Scale: a.Scale,
	})
	st.p.MatMulEach(b.attended, b.latentMean, w.lift, gpu.Slices{Rows: st.n}) // [n, heads, value dim]
}

// queries leaves the queries [n, heads, nope dim + rope dim] in b.q.
func (st *step) queries(w *mlaWeights, a *MLA) {
	x := st.b.h
	if a.QRank > 0 {
		st.linear(st.b.qa, x, w.qA)
		st.norm(st.b.qan, st.b.qa, w.qNorm)
		x = st.b.qan
	}
	st.linear(st.b.q, x, w.q)
}

func loadMLA(ld *loader, at func(string) string, a *MLA, hidden int) *mlaWeights {
	latent := Norm{Eps: a.LatentEps}
	w := &mlaWeights{
		kv:     ld.linear(at("self_attn.kv_a_proj_with_mqa"), a.CacheWidth(), hidden, a.Bias),
		kvNorm: ld.norm(at("self_attn.kv_a_layernorm"), latent, a.KVRank),
		o:      ld.linear(at("self_attn.o_proj"), hidden, a.Heads*a.ValueDim, a.Bias),
	}
	if q := a.Heads * (a.NopeDim + a.RopeDim); a.QRank == 0 {
		w.q = ld.linear(at("self_attn.q_proj"), q, hidden, false)
	} else {
		w.qA = ld.linear(at("self_attn.q_a_proj"), a.QRank, hidden, a.Bias)
		n := ld.norm(at("self_attn.q_a_layernorm"), latent, a.QRank)
		w.qNorm = &n
		w.q = ld.linear(at("self_attn.q_b_proj"), q, a.QRank, false)
	}
	w.absorb, w.lift = loadLatentHeads(ld, at("self_attn.kv_b_proj.weight"), a)
	return w
}

// loadLatentHeads splits kv_b_proj [heads, nope dim + value dim, kv rank] per head into
//
//	absorb [heads, kv rank, nope dim] = W_uk^T, and lift [heads, value dim, kv rank] = W_uv.
//
// lift keeps the stored rows. absorb has other rows than the tensor, so blocks of a quantised format cannot be kept: it is
// float32, or the tensor's own half format, whose values it holds exactly.
func loadLatentHeads(ld *loader, name string, a *MLA) (absorb, lift gpu.Matrix) {
	t := ld.tensor(name, a.Heads*(a.NopeDim+a.ValueDim), a.KVRank)
	if t == nil {
		return nil, nil
	}
	format := absorbFormat(t.Type)
	absorb = ld.stack(name, format, a.Heads, a.KVRank, a.NopeDim)
	lift = ld.stack(name, t.Type, a.Heads, a.ValueDim, a.KVRank)
	if ld.err != nil {
		return nil, nil
	}
	rowBytes := t.Type.RowBytes(a.KVRank)
	row := make([]float32, a.KVRank)
	transposed := make([]float32, a.KVRank*a.NopeDim)
	encoded := make([]byte, a.KVRank*format.RowBytes(a.NopeDim))
	for h := range a.Heads {
		first := h * (a.NopeDim + a.ValueDim)
		for c := range a.NopeDim {
			quant.Decode(t.Type, row, t.Row(first+c))
			for r, v := range row {
				transposed[r*a.NopeDim+c] = v
			}
		}
		if err := quant.EncodeRows(format, encoded, transposed, a.NopeDim); err != nil {
			ld.fail(name, fmt.Errorf("head %d: %w", h, err))
			return nil, nil
		}
		ld.fill(name, absorb, h, encoded)
		values := first + a.NopeDim
		ld.keep(name, lift, h, t.Data[values*rowBytes:(values+a.ValueDim)*rowBytes])
	}
	return absorb, lift
}

// absorbFormat is the format of absorb for a kv_b_proj of that format.
func absorbFormat(stored quant.Type) quant.Type {
	if stored == quant.BF16 || stored == quant.F16 {
		return stored
	}
	return quant.F32
}

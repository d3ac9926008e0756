package cpu

import (
	"fmt"
	"testing"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// BenchmarkLayer computes one layer of Qwen3-30B-A3B's shapes for n rows at position 512: the projections, attention and the gated
// FFN of 8 experts of 48, which change with each round, so that their weights come from memory. GB/s counts the weights used.
func BenchmarkLayer(b *testing.B) {
	const hidden, heads, kvHeads, dim, width, experts, k, start = 2048, 32, 4, 128, 768, 48, 8, 512
	for _, o := range []Options{{}, {Int8: true}} {
		for _, n := range []int{1, 128} {
			b.Run(fmt.Sprintf("int8=%t/n=%d", o.Int8, n), func(b *testing.B) {
				d := Open(o)
				defer d.Close()
				q, kv := benchMatrix(b, d, quant.Q4_K, 1, heads*dim, hidden), benchMatrix(b, d, quant.Q4_K, 1, kvHeads*dim, hidden)
				out, router := benchMatrix(b, d, quant.Q4_K, 1, hidden, heads*dim), benchMatrix(b, d, quant.F32, 1, 128, hidden)
				gate, down := benchMatrix(b, d, quant.Q4_K, 2*experts, width, hidden), benchMatrix(b, d, quant.Q4_K, experts, hidden, width)
				buffer := func(width int) gpu.Buffer { return benchBuffer(b, d, n*width) }
				x, h, qs, ks, vs, att := buffer(hidden), buffer(hidden), buffer(heads*dim), buffer(kvHeads*dim), buffer(kvHeads*dim), buffer(heads*dim)
				norm, cacheK, cacheV := benchBuffer(b, d, hidden), benchBuffer(b, d, (start+n)*kvHeads*dim), benchBuffer(b, d, (start+n)*kvHeads*dim)
				angles, scores, weights := buffer(dim), buffer(128), buffer(k)
				g, u, act, y := buffer(k*width), buffer(k*width), buffer(k*width), buffer(k*hidden)
				topk, _ := d.NewBuffer("ids", gpu.U32, n*k)
				gates, _ := d.NewBuffer("ids", gpu.U32, n*k)
				ups, _ := d.NewBuffer("ids", gpu.U32, n*k)
				ids, upper := make([]uint32, n*k), make([]uint32, n*k)
				used := float64(min(n*k, experts)) / experts
				var best fastest
				for round := 0; b.Loop(); round++ {
					for i := range ids {
						ids[i] = uint32((round*k + i*(1+7*min(1, n-1))) % experts)
						upper[i] = ids[i] + experts
					}
					for id, data := range map[gpu.Buffer][]uint32{gates: ids, ups: upper} {
						if err := d.WriteIDs(id, 0, data); err != nil {
							b.Fatal(err)
						}
					}
					best.start()
					p := d.Begin()
					p.RMSNorm(h, x, norm, gpu.Norm{Rows: n, Width: hidden, Eps: 1e-6})
					p.MatMul(qs, h, q, nil, n)
					p.MatMul(ks, h, kv, nil, n)
					p.MatMul(vs, h, kv, nil, n)
					p.RoPE(qs, angles, gpu.Rotation{Rows: n, Heads: heads, HeadDim: dim, Rotary: dim})
					p.RoPE(ks, angles, gpu.Rotation{Rows: n, Heads: kvHeads, HeadDim: dim, Rotary: dim})
					p.Copy(cacheK, ks, gpu.Strided{Rows: 1, Width: n * kvHeads * dim, DstOffset: start * kvHeads * dim})
					p.Copy(cacheV, vs, gpu.Strided{Rows: 1, Width: n * kvHeads * dim, DstOffset: start * kvHeads * dim})
					p.Attention(att, qs, cacheK, cacheV, nil, gpu.Attention{Rows: n, Start: start, Heads: heads, KVHeads: kvHeads, KeyDim: dim, ValueDim: dim, KeyStride: kvHeads * dim, ValueStride: kvHeads * dim, Scale: 0.088})
					p.MatMul(h, att, out, nil, n)
					p.Add(x, h, n*hidden)
					p.RMSNorm(h, x, norm, gpu.Norm{Rows: n, Width: hidden, Eps: 1e-6})
					p.MatMul(scores, h, router, nil, n)
					p.TopK(topk, weights, scores, nil, n, gpu.Gate{Experts: 128, K: k, Renormalise: true})
					p.MatMulExperts(g, h, gate, nil, gates, n, k, false)
					p.MatMulExperts(u, h, gate, nil, ups, n, k, false)
					p.Activate(act, g, u, n*k*width, gpu.SiLU)
					p.MatMulExperts(y, act, down, nil, gates, n, k, true)
					p.Combine(x, y, weights, n, k, hidden)
					if err := p.Submit(); err != nil {
						b.Fatal(err)
					}
					best.stop()
				}
				bytes := q.Bytes() + 2*kv.Bytes() + out.Bytes() + router.Bytes() + int64(used*float64(gate.Bytes()+down.Bytes()))
				best.report(b, bytes, int64(n)*(2*hidden*heads*dim+2*hidden*kvHeads*dim+3*k*hidden*width))
			})
		}
	}
}

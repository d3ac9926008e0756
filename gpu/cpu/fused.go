package cpu

import "shoal/gpu"

// The operations of this file are made of others: this device gains nothing from fewer and larger ones.

// temporary is memory of one operation. It goes when the pass does and is on no account.
func (p *pass) temporary(n int) *buffer {
	return &buffer{dev: p.dev, n: n, floats: make([]float32, n)}
}

// MatMulInto implements gpu.Pass.
func (p *pass) MatMulInto(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int, s gpu.Into) {
	if !p.ok("matmul_into", gpu.CheckMatMulInto(dst, x, w, bias, n, s), dst, x, bias) {
		return
	}
	rows := w.Rows()
	stride, y := max(s.Stride, rows), p.temporary(n*rows)
	p.MatMul(y, x, w, bias, n)
	p.record(func() {
		for i := range n {
			to, from := floats(dst)[s.Offset+i*stride:][:rows], y.floats[i*rows:][:rows]
			if !s.Add {
				copy(to, from)
				continue
			}
			for r, v := range from {
				to[r] += v
			}
		}
	})
}

// MatMulGated implements gpu.Pass.
func (p *pass) MatMulGated(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int, a gpu.Activation) {
	if p.ok("matmul_gated", gpu.CheckMatMulGated(dst, x, w, bias, n, a), dst, x, bias) {
		y := p.temporary(n * w.Rows())
		p.MatMul(y, x, w, bias, n)
		p.activatePairs(dst, y, n*w.Rows()/2, a)
	}
}

// MatMulExpertsGated implements gpu.Pass.
func (p *pass) MatMulExpertsGated(dst, x gpu.Buffer, w gpu.Matrix, bias, chosen gpu.Buffer, n, k int, a gpu.Activation) {
	if p.ok("matmul_experts_gated", gpu.CheckMatMulExpertsGated(dst, x, w, bias, chosen, n, k, a), dst, x, bias, chosen) {
		y := p.temporary(n * k * w.Rows())
		p.MatMulExperts(y, x, w, bias, chosen, n, k, false)
		p.activatePairs(dst, y, n*k*w.Rows()/2, a)
	}
}

// activatePairs writes dst[i] = act(y[2i]) * y[2i+1] for i < n.
func (p *pass) activatePairs(dst gpu.Buffer, y *buffer, n int, a gpu.Activation) {
	gate, up := p.temporary(n), p.temporary(n)
	p.record(func() {
		for i := range n {
			gate.floats[i], up.floats[i] = y.floats[2*i], y.floats[2*i+1]
		}
	})
	p.Activate(dst, gate, up, n, a)
}

// MatMulExpertsAdd implements gpu.Pass.
func (p *pass) MatMulExpertsAdd(x, y gpu.Buffer, w gpu.Matrix, bias, chosen, weights, scratch gpu.Buffer, n, k int) {
	check := gpu.CheckMatMulExpertsAdd(x, y, w, bias, chosen, weights, scratch, n, k)
	if p.ok("matmul_experts_add", check, x, y, bias, chosen, weights, scratch) {
		p.MatMulExperts(scratch, y, w, bias, chosen, n, k, true)
		p.Combine(x, scratch, weights, n, k, w.Rows())
	}
}

// Heads implements gpu.Pass.
func (p *pass) Heads(q, keys, values, x, qNorm, kNorm, angles gpu.Buffer, s gpu.Heads) {
	if !p.ok("heads", gpu.CheckHeads(q, keys, values, x, qNorm, kNorm, angles, s), q, keys, values, x, qNorm, kNorm, angles) {
		return
	}
	width := (s.Heads + 2*s.KVHeads) * s.HeadDim
	for _, part := range []struct {
		dst, norm   gpu.Buffer
		from, heads int
		at          int // position of the first row in dst
	}{{q, qNorm, 0, s.Heads, 0}, {keys, kNorm, s.Heads, s.KVHeads, s.Start}} {
		dense := part.heads * s.HeadDim
		v := p.temporary(s.Rows * dense)
		p.Copy(v, x, gpu.Strided{Rows: s.Rows, Width: dense, SrcOffset: part.from * s.HeadDim, SrcStride: width, DstStride: dense})
		if part.norm != nil {
			normed := p.temporary(s.Rows * dense)
			p.RMSNorm(normed, v, part.norm, gpu.Norm{Rows: s.Rows * part.heads, Width: s.HeadDim, Eps: s.Eps})
			v = normed
		}
		if s.Rotary > 0 {
			p.RoPE(v, angles, gpu.Rotation{Rows: s.Rows, Heads: part.heads, HeadDim: s.HeadDim, Rotary: s.Rotary, Interleaved: s.Interleaved})
		}
		p.Copy(part.dst, v, gpu.Strided{Rows: s.Rows, Width: dense, SrcStride: dense, DstOffset: part.at * dense, DstStride: dense})
	}
	dense := s.KVHeads * s.HeadDim
	p.Copy(values, x, gpu.Strided{
		Rows: s.Rows, Width: dense, SrcOffset: (s.Heads + s.KVHeads) * s.HeadDim, SrcStride: width, DstOffset: s.Start * dense, DstStride: dense,
	})
}

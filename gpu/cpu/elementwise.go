package cpu

import (
	"math"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// Embed implements gpu.Pass.
func (p *pass) Embed(dst gpu.Buffer, table gpu.Matrix, chosen gpu.Buffer, n int, scale float32) {
	if !p.ok("embed", gpu.CheckEmbed(dst, table, chosen, n), dst, chosen) {
		return
	}
	m, ok := p.matrix("embed", table)
	if !ok {
		return
	}
	p.record(func() {
		p.dev.pool.split(n, 4*m.cols, func(from, to int) {
			for i := from; i < to; i++ {
				row, id := floats(dst)[i*m.cols:][:m.cols], int64(ids(chosen)[i])
				if id >= int64(m.rows) || m.data[0] == nil {
					clear(row)
					continue
				}
				quant.Decode(m.format, row, m.data[0][int(id)*m.stride:][:m.stride])
				for c := range row {
					row[c] *= scale
				}
			}
		})
	})
}

// Activate implements gpu.Pass.
func (p *pass) Activate(dst, gate, up gpu.Buffer, n int, a gpu.Activation) {
	if !p.ok("activate", gpu.CheckActivate(dst, gate, up, n, a), dst, gate, up) {
		return
	}
	f := [...]func(g, u float32) float32{gpu.SiLU: silu32, gpu.GELUTanh: geluTanh32, gpu.SwiGLUOAI: swigluOAI32}[a]
	p.record(func() {
		cost := 16
		if p.dev.kernels != nil {
			cost = 1
		}
		p.dev.pool.split((n+7)/8, 8*cost, func(from, to int) {
			from, to = 8*from, min(8*to, n)
			d, g, u := floats(dst)[from:to], floats(gate)[from:to], floats(up)[from:to]
			done := 0
			if k := p.dev.kernels; k != nil && len(d) >= 8 {
				done = len(d) &^ 7
				k.activations[a](&d[0], &g[0], &u[0], done/8)
			}
			for i := done; i < len(d); i++ {
				d[i] = f(g[i], u[i])
			}
		})
	})
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func silu32(g, u float32) float32 { return g * sigmoid32(g) * u }

// geluTanh32 has 1 + tanh(y) as 2 - 2 / (exp(2y) + 1).
func geluTanh32(g, u float32) float32 {
	t := float32(float32(g*g)*0.044715) + 1
	t = float32(t*g) * float32(2*0.7978845608028654) // 2 sqrt(2 / pi)
	return float32(0.5*g) * (2 - 2/(exp32(t)+1)) * u
}

func swigluOAI32(g, u float32) float32 {
	if g > 7 {
		g = 7
	}
	if u > 7 {
		u = 7
	}
	if u < -7 {
		u = -7
	}
	return (u + 1) * g * sigmoid32(1.702*g)
}

// Combine implements gpu.Pass.
func (p *pass) Combine(x, y, weights gpu.Buffer, n, k, width int) {
	if !p.ok("combine", gpu.CheckCombine(x, y, weights, n, k, width), x, y, weights) {
		return
	}
	p.record(func() {
		p.dev.pool.split(n, k*width, func(from, to int) {
			for i := from; i < to; i++ {
				row := floats(x)[i*width:][:width]
				for j := range k {
					p.dev.kernels.addScaled8(row, floats(y)[(i*k+j)*width:][:width], floats(weights)[i*k+j])
				}
			}
		})
	})
}

// Add implements gpu.Pass.
func (p *pass) Add(x, y gpu.Buffer, n int) {
	if !p.ok("add", gpu.CheckAdd(x, y, n), x, y) {
		return
	}
	p.record(func() {
		p.dev.pool.split(n, 1, func(from, to int) { p.dev.kernels.addScaled8(floats(x)[from:to], floats(y)[from:to], 1) })
	})
}

// AddSigmoid implements gpu.Pass.
func (p *pass) AddSigmoid(x, y, gate gpu.Buffer, n, width int) {
	if !p.ok("add_sigmoid", gpu.CheckAddSigmoid(x, y, gate, n, width), x, y, gate) {
		return
	}
	p.record(func() {
		p.dev.pool.split(n, width+16, func(from, to int) {
			for i := from; i < to; i++ {
				weight := float32(sigmoid(float64(floats(gate)[i])))
				p.dev.kernels.addScaled8(floats(x)[i*width:][:width], floats(y)[i*width:][:width], weight)
			}
		})
	})
}

// Copy implements gpu.Pass.
func (p *pass) Copy(dst, src gpu.Buffer, s gpu.Strided) {
	if !p.ok("copy", gpu.CheckCopy(dst, src, s), dst, src) {
		return
	}
	p.record(func() {
		for i := range s.Rows {
			to, from := s.DstOffset+i*s.DstStride, s.SrcOffset+i*s.SrcStride
			if dst.Kind() == gpu.U32 {
				copy(ids(dst)[to:][:s.Width], ids(src)[from:][:s.Width])
			} else {
				copy(floats(dst)[to:][:s.Width], floats(src)[from:][:s.Width])
			}
		}
	})
}

// ArgMax implements gpu.Pass.
func (p *pass) ArgMax(dst, x gpu.Buffer, n, width int) {
	if !p.ok("argmax", gpu.CheckArgMax(dst, x, n, width), dst, x) {
		return
	}
	p.record(func() {
		p.dev.pool.split(n, width, func(from, to int) {
			for i := from; i < to; i++ {
				row := floats(x)[i*width:][:width]
				best, top := 0, row[0]
				for c, v := range row {
					if v > top {
						best, top = c, v
					}
				}
				ids(dst)[i] = uint32(best)
			}
		})
	})
}

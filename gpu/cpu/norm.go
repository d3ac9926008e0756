package cpu

import (
	"math"

	"shoal/gpu"
)

// RMSNorm implements gpu.Pass.
func (p *pass) RMSNorm(dst, x, weight gpu.Buffer, s gpu.Norm) {
	if !p.ok("rmsnorm", gpu.CheckRMSNorm(dst, x, weight, s), dst, x, weight) {
		return
	}
	p.norm(dst, x, s, func(d, row []float32) {
		inv := float32(1 / math.Sqrt(p.dev.kernels.meanSquare(row, 0)+float64(s.Eps)))
		p.dev.kernels.scaleRow(d, row, floats(weight)[:len(d)], inv)
	})
}

// LayerNorm implements gpu.Pass.
func (p *pass) LayerNorm(dst, x, weight, bias gpu.Buffer, s gpu.Norm) {
	if !p.ok("layernorm", gpu.CheckLayerNorm(dst, x, weight, bias, s), dst, x, weight, bias) {
		return
	}
	p.norm(dst, x, s, func(d, row []float32) {
		var sum float64
		for _, v := range row {
			sum += float64(v)
		}
		mean := sum / float64(len(row))
		inv := 1 / math.Sqrt(p.dev.kernels.meanSquare(row, mean)+float64(s.Eps))
		b := floats(bias)
		for c, w := range floats(weight)[:len(d)] {
			d[c] = float32((float64(row[c])-mean)*inv)*w + b[c]
		}
	})
}

// norm records f for every row of dst and x.
func (p *pass) norm(dst, x gpu.Buffer, s gpu.Norm, f func(d, row []float32)) {
	ss, ds := max(s.SrcStride, s.Width), max(s.DstStride, s.Width)
	p.record(func() {
		p.dev.pool.split(s.Rows, 2*s.Width, func(from, to int) {
			for i := from; i < to; i++ {
				f(floats(dst)[s.DstOffset+i*ds:][:s.Width], floats(x)[s.SrcOffset+i*ss:][:s.Width])
			}
		})
	})
}

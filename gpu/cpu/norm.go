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
		inv := float32(1 / math.Sqrt(meanSquare(row, 0)+float64(s.Eps)))
		for c, w := range floats(weight)[:len(d)] {
			d[c] = row[c] * inv * w
		}
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
		inv := 1 / math.Sqrt(meanSquare(row, mean)+float64(s.Eps))
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
		p.dev.pool.split(s.Rows, 4*s.Width, func(from, to int) {
			for i := from; i < to; i++ {
				f(floats(dst)[s.DstOffset+i*ds:][:s.Width], floats(x)[s.SrcOffset+i*ss:][:s.Width])
			}
		})
	})
}

// meanSquare returns the mean of (v - mean)^2. Four sums hide the latency of an addition.
func meanSquare(row []float32, mean float64) float64 {
	n := float64(len(row))
	var a [4]float64
	for len(row) >= 4 {
		for i := range 4 {
			v := float64(row[i]) - mean
			a[i] += float64(v * v)
		}
		row = row[4:]
	}
	for i, v := range row {
		a[i] += float64((float64(v) - mean) * (float64(v) - mean))
	}
	return ((a[0] + a[2]) + (a[1] + a[3])) / n
}

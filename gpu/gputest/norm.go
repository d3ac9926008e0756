package gputest

import (
	"fmt"
	"math"

	"shoal/gpu"
	"shoal/shaders/ref"
)

var normShapes = []gpu.Norm{
	{Rows: 1, Width: 1, Eps: 1e-6},
	{Rows: 2, Width: 31, Eps: 1e-5},
	{Rows: 3, Width: 257, Eps: 1e-6},
	{Rows: 17, Width: 64, Eps: 1e-6},
	{Rows: 5, Width: 2051, Eps: 1e-5},
	// a head of a row, as QK norm and MLA's latents need
	{Rows: 5, Width: 33, SrcOffset: 7, SrcStride: 50, DstOffset: 3, DstStride: 40, Eps: 1e-6},
	{Rows: 3, Width: 128, SrcStride: 192, Eps: 1e-6},
	{Rows: 2, Width: 300, DstOffset: 11, DstStride: 301, Eps: 1e-6},
}

// lengths returns how many elements s reaches in x and dst.
func lengths(s gpu.Norm) (x, dst int) {
	ss, ds := max(s.SrcStride, s.Width), max(s.DstStride, s.Width)
	return s.SrcOffset + (s.Rows-1)*ss + s.Width, s.DstOffset + (s.Rows-1)*ds + s.Width
}

// normRow returns the row of x from which element i of dst is computed and its column, or nil for an element between rows.
func normRow(s gpu.Norm, x []float32, i int) ([]float32, int) {
	ss, ds := max(s.SrcStride, s.Width), max(s.DstStride, s.Width)
	row, c := (i-s.DstOffset)/ds, (i-s.DstOffset)%ds
	if i < s.DstOffset || row >= s.Rows || c >= s.Width {
		return nil, 0
	}
	return x[s.SrcOffset+row*ss:][:s.Width], c
}

// testRMSNorm: the mean of squares is a sum of positive terms, within gamma(Width+2) of the true one; the root halves that; root
// and division add 2.5 ULP each, and two products one rounding each.
func testRMSNorm(s *suite) {
	for _, c := range normShapes {
		for _, size := range []float32{1, 1e-4, 1e4} {
			nx, nd := lengths(c)
			x, weight := s.normal(nx), s.normal(c.Width)
			for i := range x {
				x[i] *= size
			}
			want := filled(nd+3, untouched)
			ref.RMSNorm(want, x, weight, ref.Norm(c))
			dst, in, w := s.output(nd+3), s.floats(x), s.floats(weight)
			got := s.run(dst, func(p gpu.Pass) { p.RMSNorm(dst, in, w, c) })
			s.near(fmt.Sprintf("%+v times %g", c, size), got, want, func(i int) float64 {
				if row, _ := normRow(c, x, i); row == nil {
					return exact(i)
				}
				return (gamma(c.Width+2)/2 + gamma(14)) * math.Abs(float64(want[i]))
			})
			s.normAlone(c, got, x, func(p gpu.Pass, dst, x gpu.Buffer, alone gpu.Norm) { p.RMSNorm(dst, x, w, alone) })
		}
	}
}

func testLayerNorm(s *suite) {
	for _, c := range normShapes {
		for _, mean := range []float32{0, 3, -50} {
			nx, nd := lengths(c)
			x, weight, bias := s.normal(nx), s.normal(c.Width), s.normal(c.Width)
			for i := range x {
				x[i] += mean
			}
			want := filled(nd+3, untouched)
			ref.LayerNorm(want, x, weight, bias, ref.Norm(c))
			dst, in, w, b := s.output(nd+3), s.floats(x), s.floats(weight), s.floats(bias)
			got := s.run(dst, func(p gpu.Pass) { p.LayerNorm(dst, in, w, b, c) })
			s.near(fmt.Sprintf("%+v mean %g", c, mean), got, want, layerNormBound(c, x, weight, bias, want))
			s.normAlone(c, got, x, func(p gpu.Pass, dst, x gpu.Buffer, alone gpu.Norm) { p.LayerNorm(dst, x, w, b, alone) })
		}
	}
}

// layerNormBound: the mean is off by gamma(Width) * mean|x|, which a large mean beside a small deviation makes the greatest
// error; the variance about a mean that is off by d is off by d^2 only. Then as for RMSNorm.
func layerNormBound(c gpu.Norm, x, weight, bias, want []float32) func(int) float64 {
	return func(i int) float64 {
		row, col := normRow(c, x, i)
		if row == nil {
			return exact(i)
		}
		var sum, squares float64
		for _, v := range row {
			sum += float64(v)
		}
		for _, v := range row {
			squares += (float64(v) - sum/float64(c.Width)) * (float64(v) - sum/float64(c.Width))
		}
		inv := 1 / math.Sqrt(squares/float64(c.Width)+float64(c.Eps))
		shift := gamma(c.Width+2) * sumAbs(row) / float64(c.Width)
		scaled := math.Abs(float64(want[i]) - float64(bias[col]))
		return math.Abs(float64(weight[col]))*inv*shift + scaled*(shift*shift*inv*inv+gamma(c.Width+20)) +
			gamma(4)*(scaled+math.Abs(float64(bias[col])))
	}
}

// normAlone repeats the last row alone and dense: the bits must be equal.
func (s *suite) normAlone(c gpu.Norm, got, x []float32, record func(p gpu.Pass, dst, x gpu.Buffer, alone gpu.Norm)) {
	s.Helper()
	at := c.DstOffset + (c.Rows-1)*max(c.DstStride, c.Width)
	row, _ := normRow(c, x, at)
	dst, in := s.output(c.Width), s.floats(row)
	alone := s.run(dst, func(p gpu.Pass) { record(p, dst, in, gpu.Norm{Rows: 1, Width: c.Width, Eps: c.Eps}) })
	s.equal(fmt.Sprintf("%+v: last row alone", c), alone, got[at:][:c.Width])
	s.free()
}

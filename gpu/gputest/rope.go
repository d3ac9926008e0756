package gputest

import (
	"fmt"
	"math"
	"slices"

	"shoal/gpu"
	"shoal/shaders/ref"
)

// testRoPE: a rotated element is a sum of two products, three roundings of each.
func testRoPE(s *suite) {
	for _, c := range []gpu.Rotation{
		{Rows: 1, Heads: 1, HeadDim: 2, Rotary: 2},
		{Rows: 2, Heads: 3, HeadDim: 64, Rotary: 64},
		{Rows: 3, Heads: 5, HeadDim: 50, Rotary: 34},
		{Rows: 5, Heads: 2, HeadDim: 192, Offset: 128, Rotary: 64, Interleaved: true},
		{Rows: 17, Heads: 1, HeadDim: 576, Offset: 512, Rotary: 64, RowStride: 600, Interleaved: true},
		{Rows: 2, Heads: 4, HeadDim: 128, Rotary: 128, RowStride: 1000},
		{Rows: 3, Heads: 1, HeadDim: 7, Offset: 1, Rotary: 6, Interleaved: true},
	} {
		stride := max(c.RowStride, c.Heads*c.HeadDim)
		x, angles := s.normal((c.Rows-1)*stride+c.Heads*c.HeadDim+3), make([]float32, c.Rows*c.Rotary)
		for i := 0; i < len(angles); i += 2 {
			sin, cos := math.Sincos(s.rng.Float64() * 2 * math.Pi)
			angles[i], angles[i+1] = float32(cos), float32(sin)
		}
		want := slices.Clone(x)
		ref.RoPE(want, angles, ref.Rotation(c))
		dst, a := s.floats(x), s.floats(angles)
		got := s.run(dst, func(p gpu.Pass) { p.RoPE(dst, a, c) })
		s.near(fmt.Sprintf("%+v", c), got, want, func(i int) float64 {
			if want[i] == x[i] { // not rotated: to be left alone
				return 0
			}
			// The pair's norm, at most 1.4 times the sum of the products' magnitudes.
			var norm float64
			for _, j := range pairOf(c, i%stride) {
				norm += math.Abs(float64(x[i-i%stride+j]))
			}
			return gamma(3) * norm
		})
		last := s.floats(x[(c.Rows-1)*stride:])
		lastAngles := s.floats(angles[(c.Rows-1)*c.Rotary:])
		alone := c
		alone.Rows = 1
		s.equal(fmt.Sprintf("%+v: last row alone", c), s.run(last, func(p gpu.Pass) { p.RoPE(last, lastAngles, alone) }), got[(c.Rows-1)*stride:])
		s.free()
	}
}

// pairOf returns the columns of the pair that column c of a row belongs to.
func pairOf(s gpu.Rotation, c int) []int {
	base, at := c-c%s.HeadDim+s.Offset, c%s.HeadDim-s.Offset
	if s.Interleaved {
		return []int{base + at - at%2, base + at - at%2 + 1}
	}
	half := s.Rotary / 2
	return []int{base + at%half, base + at%half + half}
}

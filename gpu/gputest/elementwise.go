package gputest

import (
	"fmt"
	"math"
	"slices"

	"shoal/gpu"
	"shoal/shaders/ref"
)

func testCombine(s *suite) {
	for _, c := range []struct{ n, k, width int }{{1, 1, 1}, {1, 8, 300}, {2, 3, 31}, {3, 2, 257}, {5, 4, 64}, {17, 6, 100}} {
		x, y, weights := s.normal(c.n*c.width), s.normal(c.n*c.k*c.width), s.normal(c.n*c.k)
		want := slices.Clone(x)
		ref.Combine(want, y, weights, c.n, c.k, c.width)
		dst, in, w := s.floats(x), s.floats(y), s.floats(weights)
		got := s.run(dst, func(p gpu.Pass) { p.Combine(dst, in, w, c.n, c.k, c.width) })
		s.near(fmt.Sprintf("%+v", c), got, want, func(i int) float64 {
			sum, row := math.Abs(float64(x[i])), i/c.width
			for j := range c.k {
				sum += math.Abs(float64(weights[row*c.k+j]) * float64(y[(row*c.k+j)*c.width+i%c.width]))
			}
			return gamma(c.k+1) * sum
		})
		last := c.n - 1
		dst, in, w = s.floats(x[last*c.width:]), s.floats(y[last*c.k*c.width:]), s.floats(weights[last*c.k:])
		alone := s.run(dst, func(p gpu.Pass) { p.Combine(dst, in, w, 1, c.k, c.width) })
		s.equal(fmt.Sprintf("%+v: last row alone", c), alone, got[last*c.width:])
		s.free()
	}
}

func testAdd(s *suite) {
	for _, n := range []int{1, 31, 257, 5000} {
		x, y := s.normal(n+2), s.normal(n+2)
		want := slices.Clone(x)
		ref.Add(want, y, n)
		dst, in := s.floats(x), s.floats(y)
		s.equal(fmt.Sprint(n), s.run(dst, func(p gpu.Pass) { p.Add(dst, in, n) }), want) // one rounding, IEEE 754's
		s.free()
	}
}

func testAddSigmoid(s *suite) {
	for _, c := range []struct{ n, width int }{{1, 1}, {2, 31}, {3, 257}, {17, 100}} {
		x, y, gate := s.normal(c.n*c.width), s.normal(c.n*c.width), s.normal(c.n)
		gate[0] *= 100
		want := slices.Clone(x)
		ref.AddSigmoid(want, y, gate, c.n, c.width)
		dst, in, g := s.floats(x), s.floats(y), s.floats(gate)
		got := s.run(dst, func(p gpu.Pass) { p.AddSigmoid(dst, in, g, c.n, c.width) })
		s.near(fmt.Sprintf("%+v", c), got, want, func(i int) float64 {
			return sigmoidBound(float64(gate[i/c.width]))*math.Abs(float64(y[i])) + gamma(3)*(math.Abs(float64(x[i]))+math.Abs(float64(y[i])))
		})
		s.free()
	}
}

func testCopy(s *suite) {
	for _, c := range []gpu.Strided{
		{Rows: 1, Width: 1},
		{Rows: 1, Width: 300, SrcOffset: 5, DstOffset: 9},
		{Rows: 17, Width: 31, SrcStride: 40, DstStride: 31},
		{Rows: 5, Width: 64, SrcOffset: 3, SrcStride: 200, DstOffset: 1, DstStride: 65},
		{Rows: 3, Width: 257, SrcStride: 257, DstStride: 1000},
		{Rows: 4, Width: 7, SrcStride: 0, DstStride: 7}, // one row repeated
		{Rows: 3, Width: 5, SrcStride: 2, DstStride: 5}, // rows that overlap in the source
	} {
		nd := c.DstOffset + (c.Rows-1)*c.DstStride + c.Width + 2
		src := s.normal(c.SrcOffset + (c.Rows-1)*c.SrcStride + c.Width)
		want := filled(nd, untouched)
		ref.Copy(want, src, ref.Strided(c))
		dst, in := s.output(nd), s.floats(src)
		s.equal(fmt.Sprintf("%+v", c), s.run(dst, func(p gpu.Pass) { p.Copy(dst, in, c) }), want)

		ids, wantIDs, got := make([]uint32, len(src)), make([]uint32, nd), make([]uint32, nd)
		for i := range ids {
			ids[i] = s.rng.Uint32()
		}
		ref.Copy(wantIDs, ids, ref.Strided(c))
		to, from, p := s.empty(gpu.U32, nd), s.ids(ids), s.dev.Begin()
		p.Copy(to, from, c)
		s.must(p.Submit(gpu.Readback{From: to, IDs: got}))
		s.equalIDs(fmt.Sprintf("%+v", c), got, wantIDs)
		s.free()
	}
}

func testArgMax(s *suite) {
	check := func(what string, x []float32, n, width int) {
		want, got := make([]uint32, n), make([]uint32, n)
		ref.ArgMax(want, x, n, width)
		ids, in, p := s.empty(gpu.U32, n), s.floats(x), s.dev.Begin()
		p.ArgMax(ids, in, n, width)
		s.must(p.Submit(gpu.Readback{From: ids, IDs: got}))
		s.equalIDs(what, got, want)
		s.free()
	}
	for _, c := range []struct{ n, width int }{{1, 1}, {2, 31}, {3, 257}, {5, 1000}, {17, 64}, {1, 70001}, {2, 5003}} {
		x := s.normal(c.n * c.width)
		check(fmt.Sprintf("%+v", c), x, c.n, c.width)
		for i := range x { // many ties, and all below 0
			x[i] = float32(math.Floor(float64(x[i]))) - 10
		}
		check(fmt.Sprintf("%+v with ties", c), x, c.n, c.width)
		check(fmt.Sprintf("%+v all equal", c), filled(c.n*c.width, -3e38), c.n, c.width)
	}
}

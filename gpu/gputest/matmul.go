package gputest

import (
	"fmt"

	"shoal/gpu"
	"shoal/rdrr/quant"
	"shoal/shaders/ref"
)

func testMatMul(s *suite) {
	for _, format := range quant.Types() {
		for i, c := range []struct{ n, rows, cols int }{
			{1, 1, 1}, {2, 7, 33}, {3, 65, 257}, {5, 3, 300}, {17, 130, 520}, {1, 67, 256}, {2, 9, 2051}, {70, 35, 129}, {1, 64, 1024}, {4, 31, 64},
		} {
			w := s.weights(format, 1, c.rows, c.cols, 1)
			var bias []float32
			if i%2 == 1 {
				bias = s.normal(c.rows)
			}
			s.matMul(fmt.Sprintf("%v n=%d [%d, %d]", format, c.n, c.rows, c.cols), w, s.normal(c.n*c.cols), bias, c.n)
		}
	}
}

// matMul compares one product with its twin.
func (s *suite) matMul(what string, w weights, x, bias []float32, n int) {
	s.Helper()
	m := s.load(w)
	want := make([]float32, n*w.rows)
	ref.MatMul(want, x, w.decoded, bias, n, w.rows, w.cols)
	var b gpu.Buffer
	if bias != nil {
		b = s.floats(bias)
	}
	dst, in := s.output(n*w.rows+5), s.floats(x)
	got := s.run(dst, func(p gpu.Pass) { p.MatMul(dst, in, m, b, n) })
	s.near(what, got[:n*w.rows], want, func(i int) float64 {
		var extra float64
		if bias != nil {
			extra = float64(bias[i%w.rows])
		}
		return w.dotBound(0, i%w.rows, x[i/w.rows*w.cols:][:w.cols], extra)
	})
	s.equal(what+": beyond the result", got[n*w.rows:], filled(5, untouched))
	s.free()
}

// testMatMulSubnormalScale has block scales below 2^-14, which are subnormal in f16. Models with small weights have such
// scales, and a decoder that flushes them to zero loses the block.
func testMatMulSubnormalScale(s *suite) {
	for _, format := range quant.Types() {
		scale := map[quant.Type]float64{
			quant.F16: 5e-5, quant.Q8_0: 127 * 3e-5, quant.Q4_0: 8 * 3e-5,
			quant.Q4_K: 63 * 15 * 3e-5, quant.Q5_K: 63 * 31 * 3e-5, quant.Q6_K: 128 * 32 * 1e-5,
		}[format]
		if scale > 0 {
			s.matMul(format.String(), s.weights(format, 1, 9, 520, scale), s.normal(2*520), nil, 2)
		}
	}
}

// testMatMulRowsAlone multiplies rows in batches of several sizes and each alone: the bits must be equal. Whole blocks and a
// part of one may take different paths.
func testMatMulRowsAlone(s *suite) {
	for _, format := range quant.Types() {
		for _, cols := range []int{512, 520} {
			s.matMulRowsAlone(format, cols)
		}
	}
}

func (s *suite) matMulRowsAlone(format quant.Type, cols int) {
	const rows, most = 35, 70
	m := s.load(s.weights(format, 1, rows, cols, 1))
	x := s.normal(most * cols)
	all, dst := s.floats(x), s.output(most*rows)
	p := s.dev.Begin()
	p.MatMul(dst, all, m, nil, most)
	want := make([]float32, most*rows)
	reads := []gpu.Readback{{From: dst, Floats: want}}
	type batch struct{ from, n int }
	batches := []batch{{0, 1}, {1, 1}, {33, 1}, {69, 1}, {2, 2}, {4, 3}, {7, 5}, {12, 8}, {20, 17}, {30, 33}}
	for _, b := range batches {
		d := s.output(b.n * rows)
		p.MatMul(d, s.floats(x[b.from*cols:][:b.n*cols]), m, nil, b.n)
		reads = append(reads, gpu.Readback{From: d, Floats: make([]float32, b.n*rows)})
	}
	s.must(p.Submit(reads...))
	for i, b := range batches {
		s.equal(fmt.Sprintf("%v: rows %d to %d of %d", format, b.from, b.from+b.n, most), reads[i+1].Floats, want[b.from*rows:][:b.n*rows])
	}
	s.free()
}

// testMatMulSplit multiplies matrices that are several times the device's binding limit, with rows that straddle it.
func testMatMulSplit(s *suite) {
	limiter, ok := s.dev.(BindingLimiter)
	if !ok || limiter.BindingLimit() > 1<<20 {
		s.Skip("no small binding limit")
	}
	limit := int(limiter.BindingLimit())
	for _, format := range []quant.Type{quant.F32, quant.Q8_0, quant.Q4_K, quant.Q6_K} {
		const cols = 520
		rows := limit*7/2/format.RowBytes(cols) + 1
		w := s.weights(format, 1, rows, cols, 1)
		for _, n := range []int{1, 9} {
			s.matMul(fmt.Sprintf("%v n=%d [%d, %d]", format, n, rows, cols), w, s.normal(n*cols), s.normal(rows), n)
		}
		const embedded = 5
		table, dst := s.load(w), s.output(embedded*cols)
		ids := []uint32{0, uint32(rows - 1), uint32(rows / 2), uint32(rows / 3), uint32(rows * 2 / 3)}
		want, in := make([]float32, embedded*cols), s.ids(ids)
		ref.Embed(want, w.decoded, ids, embedded, rows, cols, 1)
		got := s.run(dst, func(p gpu.Pass) { p.Embed(dst, table, in, embedded, 1) })
		s.near(fmt.Sprintf("%v embed", format), got, want, w.decodeBound(want, 1))
		s.free()

		const count, perMatrix = 13, 40
		count13 := s.weights(format, count, limit*7/2/count/format.RowBytes(cols)+perMatrix, cols, 1)
		s.matMulExperts(fmt.Sprintf("%v experts", format), count13, nil, []uint32{12, 0, 7, 3, 11, 12}, 2, 3, false)
	}
}

func testMatMulEach(s *suite) {
	for _, c := range []struct {
		format            quant.Type
		count, rows, cols int
		at                gpu.Slices
		xLen, dLen        int
	}{
		{quant.F32, 1, 5, 7, gpu.Slices{Rows: 1}, 7, 5},
		{quant.F16, 3, 17, 33, gpu.Slices{Rows: 5}, 5 * 3 * 33, 5 * 3 * 17},
		{quant.Q8_0, 5, 33, 64, gpu.Slices{Rows: 3, XOffset: 3, XStride: 96, XRow: 501, DOffset: 2, DStride: 40, DRow: 211}, 3 + 3*501, 2 + 3*211},
		// slices outermost: x [count, rows, cols]
		{quant.Q4_K, 4, 16, 256, gpu.Slices{Rows: 2, XStride: 2 * 256, XRow: 256, DStride: 2 * 16, DRow: 16}, 4 * 2 * 256, 4 * 2 * 16},
		{quant.Q6_K, 2, 9, 300, gpu.Slices{Rows: 17, XRow: 700, DStride: 11}, 17 * 700, 17 * 22},
		{quant.BF16, 8, 128, 16, gpu.Slices{Rows: 2, XStride: 24}, 2 * 8 * 24, 2 * 8 * 128},
	} {
		w := s.weights(c.format, c.count, c.rows, c.cols, 1)
		m, x := s.load(w), s.normal(c.xLen)
		dst, in := s.output(c.dLen), s.floats(x)
		want, bounds := filled(c.dLen, untouched), make([]float64, c.dLen)
		ref.MatMulEach(want, x, w.decoded, c.count, c.rows, c.cols, ref.Slices(c.at))
		at := c.at.Packed(c.count, c.rows, c.cols)
		for i := range at.Rows {
			for j := range c.count {
				for r := range c.rows {
					bounds[at.DOffset+i*at.DRow+j*at.DStride+r] = w.dotBound(j, r, x[at.XOffset+i*at.XRow+j*at.XStride:][:c.cols], 0)
				}
			}
		}
		got := s.run(dst, func(p gpu.Pass) { p.MatMulEach(dst, in, m, c.at) })
		s.near(fmt.Sprintf("%v %+v", c.format, c.at), got, want, func(i int) float64 { return bounds[i] })
		for i := range at.Rows { // each row alone
			row, d := at, s.output(c.dLen)
			row.Rows, row.XOffset, row.DOffset = 1, at.XOffset+i*at.XRow, at.DOffset+i*at.DRow
			alone := s.run(d, func(p gpu.Pass) { p.MatMulEach(d, in, m, row) })
			for j := range c.count {
				from := row.DOffset + j*at.DStride
				s.equal(fmt.Sprintf("%v: row %d alone", c.format, i), alone[from:][:c.rows], got[from:][:c.rows])
			}
		}
		s.free()
	}
}

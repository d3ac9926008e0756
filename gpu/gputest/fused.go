package gputest

import (
	"fmt"
	"math"
	"slices"

	"shoal/gpu"
	"shoal/rdrr/quant"
	"shoal/shaders/ref"
)

// testMatMulInto: the bits of MatMul at another place, added to what was there or not.
func testMatMulInto(s *suite) {
	for _, format := range []quant.Type{quant.F32, quant.Q8_0, quant.Q4_K} {
		for _, n := range []int{1, 2, 5, 13, 40} {
			const rows, cols, offset, stride = 35, 520, 7, 50
			w := s.weights(format, 1, rows, cols, 1)
			x, bias, old := s.normal(n*cols), s.normal(rows), s.normal(offset+n*stride)
			m, in, b, plain := s.load(w), s.floats(x), s.floats(bias), s.output(n*rows)
			y := s.run(plain, func(p gpu.Pass) { p.MatMul(plain, in, m, b, n) })
			for _, add := range []bool{false, true} {
				want := slices.Clone(old)
				for i := range n {
					for r := range rows {
						at := offset + i*stride + r
						if !add {
							want[at] = 0
						}
						want[at] += y[i*rows+r]
					}
				}
				dst := s.floats(old)
				got := s.run(dst, func(p gpu.Pass) { p.MatMulInto(dst, in, m, b, n, gpu.Into{Offset: offset, Stride: stride, Add: add}) })
				s.equal(fmt.Sprintf("%v n=%d add %t", format, n, add), got, want)
			}
			s.free()
		}
	}
}

// activated bounds the error of act(g) * u for g and u that are off by eg and eu: the slopes of the activations are below 1.2, of
// SwiGLUOAI below 2, and their own error is that of Activate.
func activated(g, u, eg, eu float64) float64 {
	g, u = math.Abs(g), math.Abs(u)
	return 2*eg*(u+eu+1) + eu*(g+eg) + (sigmoidError(1.702*g)+gamma(12)+2*tanhError)*(g+1)*(u+1)
}

// testMatMulGated: an activation of pairs of rows, for one matrix and for experts; each row alone has the same bits.
func testMatMulGated(s *suite) {
	for f, format := range quant.Types() {
		for i, c := range []struct{ n, k, count, rows, cols int }{
			{1, 1, 1, 2, 33}, {2, 2, 3, 66, 257}, {5, 3, 9, 34, 520}, {37, 2, 5, 70, 96},
		} {
			w := s.weights(format, c.count, c.rows, c.cols, 1)
			a := gpu.Activation((i + f) % 3)
			var bias []float32
			var b gpu.Buffer
			if i%2 == 1 {
				bias = s.normal(c.count * c.rows)
				b = s.floats(bias)
			}
			m, x, ids := s.load(w), s.normal(c.n*c.cols), make([]uint32, c.n*c.k)
			for j := range ids {
				ids[j] = uint32(s.rng.IntN(c.count))
			}
			half, in, chosen := c.rows/2, s.floats(x), s.ids(ids)
			bound := func(e, row, i int) float64 {
				input := x[row*c.cols:][:c.cols]
				at := func(r int) (v, bound float64) {
					var y [1]float32
					var extra float64
					if bias != nil {
						extra = float64(bias[e*c.rows+r])
					}
					ref.MatMul(y[:], input, w.matrix(e)[r*c.cols:], nil, 1, 1, c.cols)
					return float64(y[0]) + extra, w.dotBound(e, r, input, extra)
				}
				g, eg := at(2 * i)
				u, eu := at(2*i + 1)
				return activated(g, u, eg, eu)
			}
			what := fmt.Sprintf("%v %+v activation %d", format, c, a)
			want, dst := make([]float32, c.n*half), s.output(c.n*half+3)
			var bias0 []float32
			if bias != nil {
				bias0 = bias[:c.rows]
			}
			ref.MatMulGated(want, x, w.matrix(0), bias0, c.n, c.rows, c.cols, ref.Activation(a))
			got := s.run(dst, func(p gpu.Pass) { p.MatMulGated(dst, in, m, b, c.n, a) })
			s.near(what, got[:len(want)], want, func(j int) float64 { return bound(0, j/half, j%half) })
			s.equal(what+": beyond the result", got[len(want):], filled(3, untouched))
			last, d := s.floats(x[(c.n-1)*c.cols:]), s.output(half)
			s.equal(what+": last row alone", s.run(d, func(p gpu.Pass) { p.MatMulGated(d, last, m, b, 1, a) }), got[(c.n-1)*half:c.n*half])

			want, dst = make([]float32, c.n*c.k*half), s.output(c.n*c.k*half+3)
			ref.MatMulExpertsGated(want, x, w.decoded, bias, ids, c.n, c.k, c.count, c.rows, c.cols, ref.Activation(a))
			got = s.run(dst, func(p gpu.Pass) { p.MatMulExpertsGated(dst, in, m, b, chosen, c.n, c.k, a) })
			s.near(what+" experts", got[:len(want)], want, func(j int) float64 { return bound(int(ids[j/half]), j/half/c.k, j%half) })
			s.equal(what+" experts: beyond the result", got[len(want):], filled(3, untouched))
			d = s.output(c.k * half)
			lastIDs := s.ids(ids[(c.n-1)*c.k:])
			alone := s.run(d, func(p gpu.Pass) { p.MatMulExpertsGated(d, last, m, b, lastIDs, 1, c.k, a) })
			s.equal(what+" experts: last row alone", alone, got[(c.n-1)*c.k*half:c.n*c.k*half])
			s.free()
		}
	}
}

// testMatMulExpertsAdd: the bits of MatMulExperts and then Combine, which have tests of their own; missing experts add nothing.
func testMatMulExpertsAdd(s *suite) {
	for f, format := range quant.Types() {
		for i, c := range []struct{ n, k, count, rows, cols int }{
			{1, 1, 1, 1, 1}, {1, 8, 11, 33, 257}, {2, 4, 5, 17, 2880}, {4, 16, 9, 9, 512}, {3, 17, 4, 5, 64}, {23, 4, 7, 66, 96},
		} {
			if f > 2 && c.cols > 1000 {
				continue
			}
			w := s.weights(format, c.count, c.rows, c.cols, 1)
			var b gpu.Buffer
			if i%2 == 1 {
				b = s.floats(s.normal(c.count * c.rows))
			}
			ids := make([]uint32, c.n*c.k)
			for j := range ids {
				ids[j] = uint32(s.rng.IntN(c.count))
			}
			if i == 1 {
				ids[3], ids[5] = 11, math.MaxUint32
			}
			old := s.normal(c.n * c.rows)
			m, y, weights, chosen := s.load(w), s.floats(s.normal(c.n*c.k*c.cols)), s.floats(s.normal(c.n*c.k)), s.ids(ids)
			scratch, apart, fused := s.output(c.n*c.k*c.rows), s.floats(old), s.floats(old)
			want := s.run(apart, func(p gpu.Pass) {
				p.MatMulExperts(scratch, y, m, b, chosen, c.n, c.k, true)
				p.Combine(apart, scratch, weights, c.n, c.k, c.rows)
			})
			got := s.run(fused, func(p gpu.Pass) { p.MatMulExpertsAdd(fused, y, m, b, chosen, weights, scratch, c.n, c.k) })
			s.equal(fmt.Sprintf("%v %+v", format, c), got, want)
			s.free()
		}
	}
	// Against the twin, which is the sum of MatMulExperts' and Combine's.
	w := s.weights(quant.F32, 3, 4, 8, 1)
	x, y, weights, ids := s.normal(2*4), s.normal(2*2*8), s.normal(2*2), []uint32{0, 2, 1, 1}
	want := slices.Clone(x)
	ref.MatMulExpertsAdd(want, y, w.decoded, nil, ids, weights, 2, 2, 3, 4, 8)
	dst, scratch := s.floats(x), s.output(2*2*4)
	m, in, chosen, by := s.load(w), s.floats(y), s.ids(ids), s.floats(weights)
	got := s.run(dst, func(p gpu.Pass) { p.MatMulExpertsAdd(dst, in, m, nil, chosen, by, scratch, 2, 2) })
	s.near("twin", got, want, func(int) float64 { return gamma(20) * 100 })
}

func testHeads(s *suite) {
	for i, c := range []gpu.Heads{
		{Rows: 1, Heads: 1, KVHeads: 1, HeadDim: 1},
		{Rows: 1, Start: 5, Heads: 4, KVHeads: 2, HeadDim: 128, Rotary: 128, Eps: 1e-6},
		{Rows: 3, Start: 2, Heads: 6, KVHeads: 3, HeadDim: 33, Rotary: 16, Eps: 1e-5},
		{Rows: 17, Heads: 2, KVHeads: 1, HeadDim: 64, Rotary: 64, Interleaved: true, Eps: 1e-6},
		{Rows: 2, Start: 9, Heads: 3, KVHeads: 3, HeadDim: 256, Rotary: 128, Interleaved: true},
	} {
		width, positions := (c.Heads+2*c.KVHeads)*c.HeadDim, c.Start+c.Rows+2
		x, turns := s.normal(c.Rows*width), s.normal(c.Rows*max(1, c.Rotary))
		var qn, kn []float32
		var qNorm, kNorm gpu.Buffer
		if i%2 == 1 {
			qn, kn = s.normal(c.HeadDim), s.normal(c.HeadDim)
			qNorm, kNorm = s.floats(qn), s.floats(kn)
		}
		cache := positions * c.KVHeads * c.HeadDim
		wants := [][]float32{make([]float32, c.Rows*c.Heads*c.HeadDim), filled(cache, untouched), filled(cache, untouched)}
		ref.SplitHeads(wants[0], wants[1], wants[2], x, qn, kn, turns, ref.Split(c))
		out := []gpu.Buffer{s.output(len(wants[0])), s.output(cache), s.output(cache)}
		in, angles := s.floats(x), s.floats(turns)
		p := s.dev.Begin()
		p.Heads(out[0], out[1], out[2], in, qNorm, kNorm, angles, c)
		var reads []gpu.Readback
		for j, b := range out {
			reads = append(reads, gpu.Readback{From: b, Floats: make([]float32, len(wants[j]))})
		}
		s.must(p.Submit(reads...))
		// A norm's relative error, then a rotation's of values up to the largest of the pair.
		size := maxAbs(wants[0]) + maxAbs(turns)*maxAbs(x)*(1+maxAbs(qn))*(1+maxAbs(kn))*math.Sqrt(float64(c.HeadDim))
		for j, name := range []string{"q", "keys", "values"} {
			s.near(fmt.Sprintf("%+v %s", c, name), reads[j].Floats, wants[j], func(k int) float64 {
				if j == 2 || wants[j][k] == untouched {
					return exact(k)
				}
				return (gamma(c.HeadDim+20) + gamma(3)) * size
			})
		}
		// The last row alone.
		alone := c
		alone.Rows, alone.Start = 1, c.Start+c.Rows-1
		row, turn := s.floats(x[(c.Rows-1)*width:]), s.floats(turns[(c.Rows-1)*c.Rotary:][:max(1, c.Rotary)])
		q := s.output(c.Heads * c.HeadDim)
		got := s.run(q, func(p gpu.Pass) { p.Heads(q, out[1], out[2], row, qNorm, kNorm, turn, alone) })
		s.equal(fmt.Sprintf("%+v: last row alone", c), got, reads[0].Floats[(c.Rows-1)*c.Heads*c.HeadDim:])
		s.free()
	}
}

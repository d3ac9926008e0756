package gputest

import (
	"fmt"
	"math"

	"shoal/gpu"
	"shoal/rdrr/quant"
	"shoal/shaders/ref"
)

func testMatMulExperts(s *suite) {
	for f, format := range quant.Types() {
		for i, c := range []struct{ n, k, count, rows, cols int }{
			{1, 1, 1, 1, 1}, {1, 8, 11, 33, 65}, {2, 2, 3, 17, 257}, {3, 4, 5, 7, 300}, {5, 3, 9, 65, 128}, {17, 2, 4, 9, 520},
		} {
			w := s.weights(format, c.count, c.rows, c.cols, 1)
			var bias []float32
			if i%2 == 1 {
				bias = s.normal(c.count * c.rows)
			}
			ids := make([]uint32, c.n*c.k)
			for j := range ids {
				ids[j] = uint32(s.rng.IntN(c.count))
			}
			if i == 3 { // none of these exist
				ids[0], ids[5], ids[7] = uint32(c.count), math.MaxUint32, 1<<31
			}
			s.matMulExperts(fmt.Sprintf("%v %+v", format, c), w, bias, ids, c.n, c.k, (i+f)%2 == 0)
		}
	}
	ids := make([]uint32, 3*8)
	for j := range ids {
		ids[j] = uint32(s.rng.IntN(384))
	}
	ids[0], ids[23] = 383, 0
	s.matMulExperts("384 experts", s.weights(quant.Q8_0, 384, 5, 64, 1), s.normal(384*5), ids, 3, 8, false)
}

// matMulExperts compares one call with its twin.
func (s *suite) matMulExperts(what string, w weights, bias []float32, ids []uint32, n, k int, perSlot bool) {
	s.Helper()
	m := s.load(w)
	inputs := n
	if perSlot {
		inputs = n * k
	}
	x, want := s.normal(inputs*w.cols), make([]float32, n*k*w.rows)
	ref.MatMulExperts(want, x, w.decoded, bias, ids, n, k, w.count, w.rows, w.cols, perSlot)
	var b gpu.Buffer
	if bias != nil {
		b = s.floats(bias)
	}
	dst, in, chosen := s.output(n*k*w.rows+3), s.floats(x), s.ids(ids)
	got := s.run(dst, func(p gpu.Pass) { p.MatMulExperts(dst, in, m, b, chosen, n, k, perSlot) })
	s.near(fmt.Sprintf("%s, per slot %t", what, perSlot), got[:len(want)], want, func(i int) float64 {
		slot, r := i/w.rows, i%w.rows
		from, e := slot*inputs/(n*k), int(ids[slot])
		if e >= w.count {
			return exact(i)
		}
		var extra float64
		if bias != nil {
			extra = float64(bias[e*w.rows+r])
		}
		return w.dotBound(e, r, x[from*w.cols:][:w.cols], extra)
	})
	s.equal(what+": beyond the result", got[len(want):], filled(3, untouched))
	s.free()
}

// testMatMulExpertsAlone runs the rows of a batch alone, in another batch, and with one expert a call: the bits must be equal.
func testMatMulExpertsAlone(s *suite) {
	const n, k, count, rows = 37, 4, 6, 19
	for _, format := range quant.Types() {
		for i, perSlot := range []bool{false, true, false} {
			cols := []int{288, 288, 512}[i]
			each := 1 // inputs a row
			if perSlot {
				each = k
			}
			m, x, ids := s.load(s.weights(format, count, rows, cols, 1)), s.normal(n*each*cols), make([]uint32, n*k)
			for i := range ids {
				ids[i] = uint32(s.rng.IntN(count))
			}
			dst, want := s.output(n*k*rows), make([]float32, n*k*rows)
			p := s.dev.Begin()
			p.MatMulExperts(dst, s.floats(x), m, nil, s.ids(ids), n, k, perSlot)
			reads := []gpu.Readback{{From: dst, Floats: want}}
			type batch struct{ from, n int }
			batches := []batch{{0, 1}, {17, 1}, {36, 1}, {1, 2}, {3, 5}, {10, 20}}
			for _, b := range batches {
				d := s.output(b.n * k * rows)
				p.MatMulExperts(d, s.floats(x[b.from*each*cols:][:b.n*each*cols]), m, nil, s.ids(ids[b.from*k:][:b.n*k]), b.n, k, perSlot)
				reads = append(reads, gpu.Readback{From: d, Floats: make([]float32, b.n*k*rows)})
			}
			// The last slot of row 8 as a batch of its own.
			single, input := s.output(rows), x[8*cols:][:cols]
			if perSlot {
				input = x[(8*k+k-1)*cols:][:cols]
			}
			p.MatMulExperts(single, s.floats(input), m, nil, s.ids(ids[8*k+k-1:][:1]), 1, 1, false)
			reads = append(reads, gpu.Readback{From: single, Floats: make([]float32, rows)})
			s.must(p.Submit(reads...))
			for i, b := range batches {
				s.equal(fmt.Sprintf("%v: rows %d to %d", format, b.from, b.from+b.n), reads[i+1].Floats, want[b.from*k*rows:][:b.n*k*rows])
			}
			s.equal(fmt.Sprintf("%v: one slot", format), reads[len(reads)-1].Floats, want[(8*k+k-1)*rows:][:rows])
			s.free()
		}
	}
}

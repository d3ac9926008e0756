package gputest

import (
	"fmt"
	"math"

	"shoal/gpu"
	"shoal/rdrr/quant"
	"shoal/shaders/ref"
)

func testEmbed(s *suite) {
	for _, format := range quant.Types() {
		for i, c := range []struct{ n, rows, cols int }{{1, 1, 1}, {2, 9, 31}, {3, 70, 257}, {5, 6, 256}, {17, 131, 300}} {
			w := s.weights(format, 1, c.rows, c.cols, 1)
			ids := make([]uint32, c.n)
			for j := range ids {
				ids[j] = uint32(s.rng.IntN(c.rows))
			}
			ids[c.n-1] = uint32(c.rows - 1)
			if i == 3 {
				ids[0], ids[1] = uint32(c.rows), math.MaxUint32 // beyond the table
			}
			scale := []float32{1, 16.970562}[i%2]
			want := make([]float32, c.n*c.cols)
			ref.Embed(want, w.decoded, ids, c.n, c.rows, c.cols, scale)
			table, in, dst := s.load(w), s.ids(ids), s.output(c.n*c.cols+3)
			got := s.run(dst, func(p gpu.Pass) { p.Embed(dst, table, in, c.n, scale) })
			what := fmt.Sprintf("%v %+v", format, c)
			s.near(what, got[:len(want)], want, w.decodeBound(want, float64(scale)))
			s.equal(what+": beyond the result", got[len(want):], filled(3, untouched))
			s.free()
		}
	}
}

// decodeBound bounds the error of scale * weight: at most four roundings of the scaled code and of the offset, and one of the
// product.
func (w weights) decodeBound(want []float32, scale float64) func(int) float64 {
	return func(i int) float64 { return gamma(6) * (math.Abs(float64(want[i])) + 2*w.offset*scale) }
}

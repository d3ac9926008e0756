package ref

import "math"

// LayerNorm writes (x - mean) / sqrt(var + eps) * weight + bias per row, var being the mean of (x - mean)^2 (Ba, Kiros and
// Hinton 2016). weight and bias [s.Width].
func LayerNorm(dst, x, weight, bias []float32, s Norm) {
	for i := range s.Rows {
		d, row := s.row(dst, x, i)
		var sum, squares float64
		for _, v := range row {
			sum += float64(v)
		}
		mean := sum / float64(s.Width)
		for _, v := range row {
			squares += (float64(v) - mean) * (float64(v) - mean)
		}
		inv := 1 / math.Sqrt(squares/float64(s.Width)+float64(s.Eps))
		for c, v := range row {
			d[c] = float32((float64(v)-mean)*inv*float64(weight[c]) + float64(bias[c]))
		}
	}
}

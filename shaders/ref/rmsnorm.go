package ref

import "math"

// RMSNorm writes x / sqrt(mean(x^2) + eps) * weight per row (Zhang and Sennrich 2019, equation 4, with eps added to the mean
// as Hugging Face's LlamaRMSNorm does). weight [s.Width].
func RMSNorm(dst, x, weight []float32, s Norm) {
	for i := range s.Rows {
		d, row := s.row(dst, x, i)
		var sum float64
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		inv := 1 / math.Sqrt(sum/float64(s.Width)+float64(s.Eps))
		for c, v := range row {
			d[c] = float32(float64(v) * inv * float64(weight[c]))
		}
	}
}

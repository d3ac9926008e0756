package ref

// MatMul writes dst[i, r] = sum over c of w[r, c] * x[i, c], plus bias[r]. x [n, cols], w [rows, cols], bias [rows] or nil,
// dst [n, rows].
func MatMul(dst, x, w, bias []float32, n, rows, cols int) {
	for i := range n {
		for r := range rows {
			sum := dot(w[r*cols:][:cols], x[i*cols:][:cols])
			if bias != nil {
				sum += float64(bias[r])
			}
			dst[i*rows+r] = float32(sum)
		}
	}
}

func dot(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

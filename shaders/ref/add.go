package ref

// Add writes x[i] += y[i] for i < n.
func Add(x, y []float32, n int) {
	for i := range n {
		x[i] += y[i]
	}
}

package ref

// Combine adds weighted expert outputs to the residual, in slot order: x[i, :] += sum over j of weights[i, j] * y[i, j, :].
// x [n, width], y [n, k, width], weights [n, k].
func Combine(x, y, weights []float32, n, k, width int) {
	for i := range n {
		for c := range width {
			sum := float64(x[i*width+c])
			for j := range k {
				sum += float64(weights[i*k+j]) * float64(y[(i*k+j)*width+c])
			}
			x[i*width+c] = float32(sum)
		}
	}
}

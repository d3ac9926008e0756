package ref

// AddSigmoid adds a gated shared expert (Qwen2-MoE): x[i, :] += sigmoid(gate[i]) * y[i, :]. x and y [n, width], gate [n].
func AddSigmoid(x, y, gate []float32, n, width int) {
	for i := range n {
		g := sigmoid(float64(gate[i]))
		for c := range width {
			x[i*width+c] = float32(float64(x[i*width+c]) + g*float64(y[i*width+c]))
		}
	}
}

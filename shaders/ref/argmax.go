package ref

// ArgMax writes the index of the largest of each of n rows of x [n, width]; the lowest index wins a tie. ids [n].
func ArgMax(ids []uint32, x []float32, n, width int) {
	for i := range n {
		row, top := x[i*width:][:width], 0
		for c, v := range row {
			if v > row[top] {
				top = c
			}
		}
		ids[i] = uint32(top)
	}
}

package ref

// MatMulEach multiplies slice j of every row with matrix j: dst[i, j, :] = w[j] * x[i, j, :]. w [count, rows, cols]; s places
// slices of cols elements in x and of rows elements in dst.
func MatMulEach(dst, x, w []float32, count, rows, cols int, s Slices) {
	xs, ds := or(s.XStride, cols), or(s.DStride, rows)
	xr, dr := or(s.XRow, count*xs), or(s.DRow, count*ds)
	for i := range s.Rows {
		for j := range count {
			MatMul(dst[s.DOffset+i*dr+j*ds:][:rows], x[s.XOffset+i*xr+j*xs:][:cols], w[j*rows*cols:][:rows*cols], nil, 1, rows, cols)
		}
	}
}

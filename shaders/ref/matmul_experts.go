package ref

// MatMulExperts multiplies row i with the k matrices that ids[i, :] names: dst[i, j, :] = w[ids[i, j]] * x_ij +
// bias[ids[i, j], :], where x_ij is x[i, :], or x[i, j, :] with perSlot. w [count, rows, cols], bias [count, rows] or nil,
// ids [n, k], dst [n, k, rows]. An id >= count gives zeros.
func MatMulExperts(dst, x, w, bias []float32, ids []uint32, n, k, count, rows, cols int, perSlot bool) {
	for slot := range n * k {
		from := slot / k
		if perSlot {
			from = slot
		}
		d, e := dst[slot*rows:][:rows], int(ids[slot])
		if e >= count {
			clear(d)
			continue
		}
		var b []float32
		if bias != nil {
			b = bias[e*rows:][:rows]
		}
		MatMul(d, x[from*cols:][:cols], w[e*rows*cols:][:rows*cols], b, 1, rows, cols)
	}
}

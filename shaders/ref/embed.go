package ref

// Embed looks up rows of table [rows, cols]: dst[i, :] = scale * table[ids[i], :] for i < n. An id >= rows gives zeros.
func Embed(dst, table []float32, ids []uint32, n, rows, cols int, scale float32) {
	for i := range n {
		for c := range cols {
			dst[i*cols+c] = 0
			if int(ids[i]) < rows {
				dst[i*cols+c] = scale * table[int(ids[i])*cols+c]
			}
		}
	}
}

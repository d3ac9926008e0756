package rdrr

// Interleave returns the rows of two matrices of one shape and format in turn: row 0 of a, row 0 of b, row 1 of a and so on.
func Interleave(a, b []byte, rows int) []byte {
	stride := len(a) / max(rows, 1)
	out := make([]byte, 0, len(a)+len(b))
	for r := range rows {
		out = append(append(out, a[r*stride:(r+1)*stride]...), b[r*stride:(r+1)*stride]...)
	}
	return out
}

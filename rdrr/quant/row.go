package quant

import "fmt"

// Decode writes the row that src stores in format t to dst. The row has len(dst) weights and src its t.RowBytes(len(dst))
// bytes; padding in the last block is not written. Any bytes decode to something: a scale that is infinite or NaN gives
// infinite or NaN weights. It allocates nothing, and every product and sum is rounded to float32 in a fixed order, so that
// the result is the same on every machine.
//
// Decode panics if t is not a format or if src is shorter than the row: sizes are checked where bytes enter the program.
func Decode(t Type, dst []float32, src []byte) {
	n := mustHold(t, len(dst), len(src))
	block, blockBytes := t.BlockSize(), t.BlockBytes()
	whole := len(dst) / block
	decodeBlocks(t, dst[:whole*block], src[:whole*blockBytes])
	if whole*block < len(dst) {
		var tail [maxBlock]float32
		decodeBlocks(t, tail[:block], src[whole*blockBytes:n])
		copy(dst[whole*block:], tail[:])
	}
}

// Encode writes the weights of src to dst in format t, as one row: the first t.RowBytes(len(src)) bytes of dst, the last
// block padded with zeros. It is deterministic: the same weights give the same bytes on every machine.
//
// F32 and BF16 keep NaN and the infinities, and so does F16, where a value of 65520 or more becomes infinite as IEEE 754
// rounds it. The block formats have no such values: NaN is stored as 0, and what lies beyond the largest scale is stored as
// the largest weight of its sign.
//
// Encode panics if t is not a format or if dst is shorter than the row.
func Encode(t Type, dst []byte, src []float32) {
	n := mustHold(t, len(src), len(dst))
	block, blockBytes := t.BlockSize(), t.BlockBytes()
	whole := len(src) / block
	encodeBlocks(t, dst[:whole*blockBytes], src[:whole*block])
	if whole*block < len(src) {
		var tail [maxBlock]float32
		copy(tail[:], src[whole*block:])
		encodeBlocks(t, dst[whole*blockBytes:n], tail[:block])
	}
}

// DecodeRows decodes the matrix src, rows of cols weights each stored as t.RowBytes(cols) bytes, to dst [rows, cols].
// The number of rows is len(dst)/cols. Lengths that do not agree are an error.
func DecodeRows(t Type, dst []float32, src []byte, cols int) error {
	rows, err := countRows(t, len(dst), len(src), cols)
	if err != nil {
		return fmt.Errorf("decode rows: %w", err)
	}
	stride := t.RowBytes(cols)
	for r := range rows {
		Decode(t, dst[r*cols:(r+1)*cols], src[r*stride:(r+1)*stride])
	}
	return nil
}

// EncodeRows encodes src [rows, cols] to dst, which has t.RowBytes(cols) bytes for each of the len(src)/cols rows. Lengths
// that do not agree are an error.
func EncodeRows(t Type, dst []byte, src []float32, cols int) error {
	rows, err := countRows(t, len(src), len(dst), cols)
	if err != nil {
		return fmt.Errorf("encode rows: %w", err)
	}
	stride := t.RowBytes(cols)
	for r := range rows {
		Encode(t, dst[r*stride:(r+1)*stride], src[r*cols:(r+1)*cols])
	}
	return nil
}

// Size returns the stored size in bytes of a tensor of the given shape, outermost dimension first, whose rows lie along the
// last dimension. Shapes with a dimension under 1, and sizes that do not fit an int, are errors; no dimension is one weight.
func (t Type) Size(shape []int) (int, error) {
	if !t.Valid() {
		return 0, fmt.Errorf("size of %v: not a number format", t)
	}
	rows, cols := 1, 1
	for i, d := range shape {
		if d < 1 {
			return 0, fmt.Errorf("shape %v: dimension %d is %d", shape, i, d)
		}
		if i == len(shape)-1 {
			cols = d
		} else if rows > maxInt/d {
			return 0, fmt.Errorf("shape %v is too large", shape)
		} else {
			rows *= d
		}
	}
	// A row's size is less than maxInt if its padded length times the widest weight, 4 bytes and a bit, is.
	if cols > maxInt/8-maxBlock {
		return 0, fmt.Errorf("shape %v is too large", shape)
	}
	row := t.RowBytes(cols)
	if rows > maxInt/row {
		return 0, fmt.Errorf("shape %v is too large", shape)
	}
	return rows * row, nil
}

const (
	maxBlock = 256
	maxInt   = int(^uint(0) >> 1)
)

func countRows(t Type, weights, bytes, cols int) (int, error) {
	if !t.Valid() {
		return 0, fmt.Errorf("%v is not a number format", t)
	}
	if cols < 1 || cols > maxInt/8-maxBlock {
		return 0, fmt.Errorf("a row of %d weights", cols)
	}
	if weights%cols != 0 {
		return 0, fmt.Errorf("%d weights are no whole number of rows of %d", weights, cols)
	}
	// Compared by division: the product of a row's size and a count from elsewhere may overflow.
	rows, row := weights/cols, t.RowBytes(cols)
	if bytes%row != 0 || bytes/row != rows {
		return 0, fmt.Errorf("%v: %d rows of %d weights take %d bytes each, not %d in all", t, rows, cols, row, bytes)
	}
	return rows, nil
}

func mustHold(t Type, weights, bytes int) int {
	if !t.Valid() {
		panic(fmt.Sprintf("quant: %v is not a number format", t))
	}
	n := t.RowBytes(weights)
	if bytes < n {
		panic(fmt.Sprintf("quant: %v: a row of %d weights takes %d bytes, not %d", t, weights, n, bytes))
	}
	return n
}

// decodeBlocks and encodeBlocks take whole blocks only. They are switches rather than tables of functions, so that the
// compiler sees that the tail buffers of their callers stay on the stack.
func decodeBlocks(t Type, dst []float32, src []byte) {
	switch t {
	case F32:
		decodeF32(dst, src)
	case F16:
		decodeF16(dst, src)
	case BF16:
		decodeBF16(dst, src)
	case Q8_0:
		decodeQ8(dst, src)
	case Q4_0:
		decodeQ4(dst, src)
	case Q4_K:
		decodeQ4K(dst, src)
	case Q5_K:
		decodeQ5K(dst, src)
	case Q6_K:
		decodeQ6K(dst, src)
	case MXFP4:
		decodeMXFP4(dst, src)
	case F8E4M3:
		decodeF8(dst, src)
	}
}

func encodeBlocks(t Type, dst []byte, src []float32) {
	switch t {
	case F32:
		encodeF32(dst, src)
	case F16:
		encodeF16(dst, src)
	case BF16:
		encodeBF16(dst, src)
	case Q8_0:
		encodeQ8(dst, src)
	case Q4_0:
		encodeQ4(dst, src)
	case Q4_K:
		encodeQ4K(dst, src)
	case Q5_K:
		encodeQ5K(dst, src)
	case Q6_K:
		encodeQ6K(dst, src)
	case MXFP4:
		encodeMXFP4(dst, src)
	case F8E4M3:
		encodeF8(dst, src)
	}
}

// clean copies src to dst with NaN replaced by 0 and magnitudes clamped to limit, so that no sum of squares overflows and
// no code is computed from a NaN.
func clean(dst, src []float32, limit float32) {
	for i, v := range src {
		switch {
		case v > limit:
			v = limit
		case v < -limit:
			v = -limit
		case v != v:
			v = 0
		}
		dst[i] = v
	}
}

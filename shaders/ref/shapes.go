package ref

// Norm is Rows rows of Width elements, SrcOffset and DstOffset into the slices, SrcStride and DstStride apart (0: Width).
type Norm struct {
	Rows, Width          int
	SrcOffset, SrcStride int
	DstOffset, DstStride int
	Eps                  float32
}

// row returns row i of src and of dst.
func (s Norm) row(dst, src []float32, i int) (d, x []float32) {
	ss, ds := or(s.SrcStride, s.Width), or(s.DstStride, s.Width)
	return dst[s.DstOffset+i*ds:][:s.Width], src[s.SrcOffset+i*ss:][:s.Width]
}

// Slices is the placement of [MatMulEach]: slice j of row i starts at XOffset + i*XRow + j*XStride, likewise in dst. A stride
// of 0 is the slice's width, a row of 0 is count slices.
type Slices struct {
	Rows                   int
	XOffset, XStride, XRow int
	DOffset, DStride, DRow int
}

// Rotation is Rows rows, RowStride apart (0: Heads*HeadDim), of Heads heads of HeadDim elements, of which Rotary from Offset on
// are rotated: pairs (i, i+Rotary/2), or (2i, 2i+1) if Interleaved.
type Rotation struct {
	Rows, Heads, HeadDim int
	Offset, Rotary       int
	RowStride            int
	Interleaved          bool
}

// Heads is the shape of [Attention].
type Heads struct {
	Rows, Start            int
	Heads, KVHeads         int
	KeyDim, ValueDim       int
	KeyStride, ValueStride int
	Scale                  float32
	Window                 int
	SoftCap                float32
}

// Strided is Rows rows of Width elements at an offset and a stride on either side.
type Strided struct {
	Rows, Width          int
	SrcOffset, SrcStride int
	DstOffset, DstStride int
}

func or(stride, dense int) int {
	if stride == 0 {
		return dense
	}
	return stride
}

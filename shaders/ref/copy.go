package ref

// Copy copies rows between strided places: dst[DstOffset + i*DstStride + c] = src[SrcOffset + i*SrcStride + c].
func Copy[T float32 | uint32](dst, src []T, s Strided) {
	for i := range s.Rows {
		copy(dst[s.DstOffset+i*s.DstStride:][:s.Width], src[s.SrcOffset+i*s.SrcStride:][:s.Width])
	}
}

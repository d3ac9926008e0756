package ref

// RoPE rotates pairs (a, b) of x in place to (a cos - b sin, a sin + b cos) (Su et al. 2021, equation 34). angles
// [s.Rows, s.Rotary/2, 2] holds cos, sin; any scaling of either (YaRN's attention factor) is already in them.
func RoPE(x, angles []float32, s Rotation) {
	half := s.Rotary / 2
	for i := range s.Rows {
		for h := range s.Heads {
			v := x[i*or(s.RowStride, s.Heads*s.HeadDim)+h*s.HeadDim+s.Offset:][:s.Rotary]
			for p := range half {
				first, second := p, p+half
				if s.Interleaved {
					first, second = 2*p, 2*p+1
				}
				cos, sin := float64(angles[(i*half+p)*2]), float64(angles[(i*half+p)*2+1])
				a, b := float64(v[first]), float64(v[second])
				v[first], v[second] = float32(a*cos-b*sin), float32(a*sin+b*cos)
			}
		}
	}
}

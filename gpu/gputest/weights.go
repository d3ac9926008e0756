package gputest

import (
	"encoding/binary"
	"math"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// weights are random weights in a format, stored and decoded. Every bit of the stored blocks is random, the padding's too
// (what lies beyond cols may never count), except the scales, which keep the weights within about 1.
type weights struct {
	format            quant.Type
	count, rows, cols int
	data              [][]byte  // of each matrix
	decoded           []float32 // [count, rows, cols]
	// offset is the largest constant that the format subtracts from a scaled code. A kernel may sum the codes and the
	// constants apart, and its error is then relative to |weight| + 2 * offset.
	offset float64
}

// weights makes count matrices. Block scales are at most scale times those that give weights within 1.
func (s *suite) weights(format quant.Type, count, rows, cols int, scale float64) weights {
	w := weights{format: format, count: count, rows: rows, cols: cols, decoded: make([]float32, count*rows*cols)}
	stride := format.RowBytes(cols)
	for i := range count {
		data := make([]byte, rows*stride)
		for j := range data {
			data[j] = byte(s.rng.Uint32())
		}
		for at := 0; at < len(data); at += format.BlockBytes() {
			w.offset = s.tame(format, data[at:at+format.BlockBytes()], scale)
		}
		if err := quant.DecodeRows(format, w.decoded[i*rows*cols:(i+1)*rows*cols], data, cols); err != nil {
			s.Fatal(err)
		}
		w.data = append(w.data, data)
	}
	return w
}

// tame overwrites the scales of a block of random bytes and returns the format's offset.
func (s *suite) tame(format quant.Type, b []byte, scale float64) (offset float64) {
	half := func(b []byte, limit float64) {
		limit *= scale
		binary.LittleEndian.PutUint16(b, quant.F32ToF16(float32(limit*(0.5+0.5*s.rng.Float64()))))
	}
	switch format {
	case quant.F32:
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(scale*(2*s.rng.Float64()-1))))
	case quant.F16:
		binary.LittleEndian.PutUint16(b, quant.F32ToF16(float32(scale*(2*s.rng.Float64()-1))))
	case quant.BF16:
		binary.LittleEndian.PutUint16(b, quant.F32ToBF16(float32(scale*(2*s.rng.Float64()-1))))
	case quant.Q8_0:
		half(b, 1./127)
	case quant.Q4_0:
		half(b, 1./8)
		return scale
	case quant.Q4_K:
		half(b, 1./(63*15))
		half(b[2:], 0.5/63)
		return 0.5 * scale
	case quant.Q5_K:
		half(b, 1./(63*31))
		half(b[2:], 0.5/63)
		return 0.5 * scale
	case quant.Q6_K:
		half(b[208:], 1./(128*32))
		return scale
	case quant.MXFP4:
		b[0] = byte(125 - s.rng.IntN(4)) // 6 * 2^-2 at most
	case quant.F8E4M3:
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(scale/448*(0.5+0.5*s.rng.Float64()))))
		for i, v := range b[4:] {
			if v&0x7f == 0x7f { // NaN
				b[4+i] = v &^ 1
			}
		}
	}
	return 0
}

// load puts the weights on the device.
func (s *suite) load(w weights) gpu.Matrix {
	s.Helper()
	m, err := s.dev.NewMatrix("test", w.format, w.count, w.rows, w.cols)
	s.must(err)
	s.made = append(s.made, m)
	for i, data := range w.data {
		s.must(m.Load(i, data))
	}
	return m
}

// dotBound bounds the error of row r of matrix i times x, plus bias: at most four roundings decode a weight, one multiplies,
// cols - 1 sum, one adds the bias, and a format's separate scales and offsets may take a few more.
func (w weights) dotBound(i, r int, x []float32, bias float64) float64 {
	var sum float64
	for c, v := range w.decoded[(i*w.rows+r)*w.cols:][:w.cols] {
		sum += (math.Abs(float64(v)) + 2*w.offset) * math.Abs(float64(x[c]))
	}
	return gamma(w.cols+10) * (sum + math.Abs(bias))
}

// matrix returns decoded matrix i, [rows, cols].
func (w weights) matrix(i int) []float32 { return w.decoded[i*w.rows*w.cols:][:w.rows*w.cols] }

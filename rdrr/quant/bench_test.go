package quant

import (
	"math/rand/v2"
	"testing"
)

func normalRow(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64()) * 0.02
	}
	return x
}

// Bytes per second are bytes of float32, decoded or encoded.
func BenchmarkDecode(b *testing.B) {
	for _, t := range Types() {
		b.Run(t.String(), func(b *testing.B) {
			row := normalRow(1, 2048)
			data := make([]byte, t.RowBytes(len(row)))
			Encode(t, data, row)
			b.SetBytes(int64(4 * len(row)))
			b.ReportAllocs()
			for b.Loop() {
				Decode(t, row, data)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, t := range Types() {
		b.Run(t.String(), func(b *testing.B) {
			row := normalRow(1, 2048)
			data := make([]byte, t.RowBytes(len(row)))
			b.SetBytes(int64(4 * len(row)))
			b.ReportAllocs()
			for b.Loop() {
				Encode(t, data, row)
			}
		})
	}
}

package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"shoal/rdrr/quant"
)

// TestDots compares the products of stored rows with decoding first, bit for bit, over random bytes: infinite and NaN weights,
// subnormals and negative zeros among them.
func TestDots(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for format, direct := range dots {
		for _, blocks := range []int{1, 2, 3, 7, 8, 9, 23} {
			cols := blocks * format.BlockSize()
			row, x, w := make([]byte, format.RowBytes(cols)+1)[1:], make([]float32, cols), make([]float32, cols)
			for round := range 20 {
				for i := range row {
					row[i] = byte(rng.Uint32())
				}
				if round%2 == 0 && format.BlockSize() == 1 {
					for i := 1; i < len(row); i += 2 {
						row[i] &= 0x83 // F16 subnormals
					}
				}
				for i := range x {
					x[i] = float32(rng.NormFloat64())
				}
				quant.Decode(format, w, row)
				got, want := direct(row, x), dot(w, x)
				if math.Float32bits(got) != math.Float32bits(want) && !(got != got && want != want) {
					t.Fatalf("%v, %d weights: %v, want %v", format, cols, got, want)
				}
			}
		}
	}
}

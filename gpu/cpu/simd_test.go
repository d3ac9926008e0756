package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"shoal/gpu"
	"shoal/gpu/gputest"
	"shoal/rdrr/quant"
)

// TestKernelsDevice runs the devices' suite on every set of kernels, Go's included.
func TestKernelsDevice(t *testing.T) {
	for _, k := range append(available, nil) {
		t.Run(k.String(), func(t *testing.T) {
			dev := New(2)
			dev.kernels = k
			defer dev.Close()
			gputest.Run(t, dev)
		})
	}
}

// TestKernelsBits multiplies matrices of random bytes (infinities, NaN, subnormals and negative zeros among them) with every set of
// kernels: the bits must be those of Go.
func TestKernelsBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, format := range quant.Types() {
		for _, c := range []struct{ n, rows, cols int }{
			{1, 1, 256}, {1, 9, 512}, {1, 16, 8}, {1, 5, 1024 + 256}, {1, 3, 33}, {2, 8, 256}, {3, 7, 513}, {4, 17, 768}, {5, 9, 1031},
			{6, 2, 520}, {7, 8, 7}, {9, 24, 1024}, {67, 11, 600}, {130, 8, 2304},
		} {
			for _, tame := range []bool{false, true} {
				data := make([]byte, c.rows*format.RowBytes(c.cols))
				for i := range data {
					data[i] = byte(rng.Uint32())
				}
				if tame {
					row := make([]float32, c.cols)
					for r := range c.rows {
						for i := range row {
							row[i] = float32(rng.NormFloat64())
						}
						quant.Encode(format, data[r*format.RowBytes(c.cols):], row)
					}
				}
				x := make([]float32, c.n*c.cols)
				for i := range x {
					x[i] = float32(rng.NormFloat64())
				}
				want := product3(t, nil, format, data, x, c.n, c.rows, c.cols)
				for _, k := range available {
					got := product3(t, k, format, data, x, c.n, c.rows, c.cols)
					sameBits(t, fmt.Sprintf("%v %s %+v tame=%t", format, k, c, tame), got, want)
				}
			}
		}
	}
}

func product3(t *testing.T, k *kernels, format quant.Type, data []byte, x []float32, n, rows, cols int) []float32 {
	t.Helper()
	d := New(1)
	d.kernels = k
	defer d.Close()
	m, err := d.NewMatrix("test", format, 1, rows, cols)
	if err == nil {
		err = m.Load(0, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	in, _ := d.NewBuffer("x", gpu.F32, n*cols)
	out, _ := d.NewBuffer("y", gpu.F32, n*rows)
	if err := d.WriteFloats(in, 0, x); err != nil {
		t.Fatal(err)
	}
	y := make([]float32, n*rows)
	p := d.Begin()
	p.MatMul(out, in, m, nil, n)
	if err := p.Submit(gpu.Readback{From: out, Floats: y}); err != nil {
		t.Fatal(err)
	}
	return y
}

// TestDecodeBits compares decoding to a panel with quant.Decode.
func TestDecodeBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, k := range available {
		for _, format := range quant.Types() {
			f := k.of(format)
			const cols = panelCols
			src, want := make([]byte, format.RowBytes(cols)), make([]float32, cols)
			for range 200 {
				for i := range src {
					src[i] = byte(rng.Uint32())
				}
				quant.Decode(format, want, src)
				panel, got := make([]float32, cols*panelRows), make([]float32, 0, cols)
				f.decode(&panel[0], &src[0], cols/f.weights)
				for at := 0; at < len(panel); at += 8 * panelRows {
					got = append(got, panel[at:at+8]...)
				}
				sameBits(t, fmt.Sprintf("%v %s", format, k), got, want)
			}
		}
	}
}

// sameBits fails the test unless both hold the same bits; one NaN is as good as another.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: element %d is %v (%#x), want %v (%#x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

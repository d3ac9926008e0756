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

// TestKernelsDevice runs the devices' suite on the simplest kernels and on Go's. TestDevice has the best, and the tests below hold
// all to the same bits.
func TestKernelsDevice(t *testing.T) {
	for _, k := range append(available[min(1, len(available)):], nil) {
		if k != nil && k != available[len(available)-1] {
			continue
		}
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
				want := productOn(t, nil, false, format, data, x, c.n, c.rows, c.cols)
				for _, k := range available {
					got := productOn(t, k, false, format, data, x, c.n, c.rows, c.cols)
					sameBits(t, fmt.Sprintf("%v %s %+v tame=%t", format, k, c, tame), got, want)
				}
			}
		}
	}
}

// productOn multiplies on a device of its own.
func productOn(t *testing.T, k *kernels, int8 bool, format quant.Type, data []byte, x []float32, n, rows, cols int) []float32 {
	t.Helper()
	d := Open(Options{Threads: 1, Int8: int8})
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

// TestVectorBits compares attention, norms, activations and sums with those of the Go code.
func TestVectorBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	normal := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * 4)
		}
		return x
	}
	// results runs everything on one device.
	results := func(k *kernels, x [][]float32, s gpu.Attention, n int) []float32 {
		d := New(1)
		d.kernels = k
		defer d.Close()
		var b []gpu.Buffer
		for _, data := range x {
			buffer, _ := d.NewBuffer("x", gpu.F32, len(data))
			if err := d.WriteFloats(buffer, 0, data); err != nil {
				t.Fatal(err)
			}
			b = append(b, buffer)
		}
		p := d.Begin()
		var reads []gpu.Readback
		var all [][]float32
		output := func(n int) gpu.Buffer {
			buffer, _ := d.NewBuffer("y", gpu.F32, n)
			all = append(all, make([]float32, n))
			reads = append(reads, gpu.Readback{From: buffer, Floats: all[len(all)-1]})
			return buffer
		}
		p.Attention(output(s.Rows*s.Heads*s.ValueDim), b[0], b[1], b[2], nil, s)
		s.Window = 9
		p.Attention(output(s.Rows*s.Heads*s.ValueDim), b[0], b[1], b[2], b[3], s)
		p.RMSNorm(output(2*n), b[4], b[5], gpu.Norm{Rows: 2, Width: n, Eps: 1e-6})
		p.LayerNorm(output(2*n), b[4], b[5], b[6], gpu.Norm{Rows: 2, Width: n, Eps: 1e-6})
		for _, a := range []gpu.Activation{gpu.SiLU, gpu.GELUTanh, gpu.SwiGLUOAI} {
			p.Activate(output(n), b[5], b[6], n, a)
		}
		sum := output(n)
		p.Add(sum, b[5], n)
		p.Combine(sum, b[4], b[3], 1, 2, n)
		if err := p.Submit(reads...); err != nil {
			t.Fatal(err)
		}
		var flat []float32
		for _, y := range all {
			flat = append(flat, y...)
		}
		return flat
	}
	for range 200 {
		kv := 1 + rng.IntN(2)
		s := gpu.Attention{Rows: 1 + rng.IntN(4), Start: rng.IntN(90), KVHeads: kv, Heads: kv * (1 + rng.IntN(5)), KeyDim: 8 * (1 + rng.IntN(9)), ValueDim: 1 + rng.IntN(99), Scale: 0.1}
		if rng.IntN(4) == 0 {
			s.KeyDim++
		}
		s.KeyStride, s.ValueStride = kv*s.KeyDim+rng.IntN(3), kv*s.ValueDim+rng.IntN(3)
		n := 1 + rng.IntN(70)
		positions := s.Start + s.Rows
		x := [][]float32{normal(s.Rows * s.Heads * s.KeyDim), normal(positions * s.KeyStride), normal(positions * s.ValueStride), normal(s.Heads + 1), normal(2 * n), normal(n), normal(n)}
		for i, v := range []float32{0, 88, -88, 104, -104, 1e5, -1e5, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())} {
			if i < n {
				x[5+rng.IntN(2)][rng.IntN(n)] = v
			}
		}
		want := results(nil, x, s, n)
		for _, k := range available {
			sameBits(t, fmt.Sprintf("%s %+v n=%d", k, s, n), results(k, x, s, n), want)
		}
	}
}

func TestExp(t *testing.T) {
	for x := float32(-110); x < 88.7; x += 0.00137 {
		want := math.Exp(float64(x))
		if got := float64(exp32(x)); math.Abs(got-want) > 2.5*0x1p-23*want+0x1p-149 {
			t.Fatalf("exp(%v) = %v, want %v: %.2g ULP", x, got, want, (got-want)/want*0x1p23)
		}
	}
	if got := exp32(float32(math.NaN())); got == got {
		t.Fatal("exp(NaN) is", got)
	}
}

package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// TestChunk holds the layout that kernels assume.
func TestChunk(t *testing.T) {
	var c chunk
	if unsafe.Sizeof(c) != 384 || unsafe.Offsetof(c.d) != 256 || unsafe.Offsetof(c.sums32) != 288 || unsafe.Offsetof(c.sums16) != 320 {
		t.Fatal("the layout of a chunk has changed")
	}
}

// TestQuantiseBits compares the rounding of vectors with Go's.
func TestQuantiseBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, k := range available {
		for round := range 500 {
			x := make([]float32, 32*(1+rng.IntN(20)))
			for i := range x {
				x[i] = float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(250)-140)))
				if round%10 == 0 {
					x[i] = float32(rng.IntN(255)-127) / 2 // ties
				}
				if round%11 == 0 {
					x[i] = 0
				}
			}
			got, want := make([]chunk, (len(x)+255)/256), make([]chunk, (len(x)+255)/256)
			k.quantise(got, x)
			(*kernels)(nil).quantise(want, x)
			for i := range want {
				if got[i].q != want[i].q {
					t.Fatalf("%s: q %v, want %v", k, got[i].q, want[i].q)
				}
				sameBits(t, k.String()+" d", got[i].d[:], want[i].d[:])
				sameBits(t, k.String()+" sums of 32", got[i].sums32[:], want[i].sums32[:])
				sameBits(t, k.String()+" sums of 16", got[i].sums16[:], want[i].sums16[:])
			}
		}
		for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			x, c := make([]float32, 32), make([]chunk, 1)
			x[0], x[7] = 1, v
			if k.quantise(c, x); c[0].d[0] <= math.MaxFloat32 {
				t.Errorf("%s: %v gives the scale %v", k, v, c[0].d[0])
			}
		}
	}
}

var int8Formats = []quant.Type{quant.Q8_0, quant.Q4_0, quant.MXFP4, quant.Q4_K, quant.Q5_K, quant.Q6_K}

// TestInt8 compares products of random blocks with rounded vectors: kernels with Go bit for bit, rows alone with rows in batches,
// and all with exact products within the bound of int8.go.
func TestInt8(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, format := range int8Formats {
		for _, c := range []struct{ n, rows, cols int }{{1, 1, 256}, {1, 9, 512}, {2, 8, 2816}, {3, 17, 256}, {4, 5, 768}, {5, 9, 1024}, {11, 10, 512}, {1, 7, 2880}, {4, 3, 32}, {6, 2, 96}} {
			if c.cols%format.BlockSize() != 0 {
				continue
			}
			stride := format.RowBytes(c.cols)
			data, w := make([]byte, c.rows*stride), make([]float32, c.rows*c.cols)
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			for i := 0; i < len(data); i += format.BlockBytes() {
				tame(rng, format, data[i:])
			}
			if err := quant.DecodeRows(format, w, data, c.cols); err != nil {
				t.Fatal(err)
			}
			x := make([]float32, c.n*c.cols)
			for i := range x {
				x[i] = float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(8))))
			}
			what := fmt.Sprintf("%v %+v", format, c)
			want := productOn(t, nil, true, format, data, x, c.n, c.rows, c.cols)
			for _, k := range available {
				got := productOn(t, k, true, format, data, x, c.n, c.rows, c.cols)
				sameBits(t, what+" "+k.String(), got, want)
				for i := range c.n {
					alone := productOn(t, k, true, format, data, x[i*c.cols:(i+1)*c.cols], 1, c.rows, c.cols)
					sameBits(t, what+" alone "+k.String(), got[i*c.rows:(i+1)*c.rows], alone)
				}
			}
			for i := range want {
				xi, wi := x[i/c.rows*c.cols:][:c.cols], w[i%c.rows*c.cols:][:c.cols]
				exact, bound := 0.0, 0.0
				for b := 0; b < c.cols; b += 32 {
					top, sum := 0.0, 0.0
					for j := b; j < b+32; j++ {
						exact += float64(xi[j]) * float64(wi[j])
						top, sum = max(top, math.Abs(float64(xi[j]))), sum+math.Abs(float64(wi[j]))
						// Codes and offsets are summed apart: as gputest's weights.offset, of at most 1 here.
						bound += float64(c.cols+10) * 0x1p-24 * (math.Abs(float64(wi[j])) + 2) * top
					}
					bound += top / 254 * sum
				}
				if d := math.Abs(float64(want[i]) - exact); !(d <= bound*1.001) {
					t.Fatalf("%s: element %d is %v, want %v: error %.3g exceeds %.3g", what, i, want[i], exact, d, bound)
				}
			}
		}
	}
}

// tame overwrites a random block's scales, so that weights are within 1.
func tame(rng *rand.Rand, format quant.Type, b []byte) {
	put := func(b []byte, limit float64) {
		h := quant.F32ToF16(float32(limit * (0.5 + 0.5*rng.Float64())))
		b[0], b[1] = byte(h), byte(h>>8)
	}
	switch format {
	case quant.Q8_0:
		put(b, 1./128)
	case quant.Q4_0:
		put(b, 1./8)
	case quant.Q4_K:
		put(b, 1./(63*15))
		put(b[2:], 0.5/63)
	case quant.Q5_K:
		put(b, 1./(63*31))
		put(b[2:], 0.5/63)
	case quant.Q6_K:
		put(b[208:], 1./(128*32))
	case quant.MXFP4:
		b[0] = byte(122 + rng.IntN(3))
	}
}

// TestInt8Experts shares rounded vectors among experts.
func TestInt8Experts(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	const count, rows, cols, n, k = 4, 6, 64, 3, 2
	x, chosen := make([]float32, n*cols), []uint32{3, 0, 0, 1, 9, 3}
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	d := Open(Options{Threads: 2, Int8: true})
	defer d.Close()
	m, err := d.NewMatrix("experts", quant.Q8_0, count, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	data := make([][]byte, count)
	for e := range data {
		data[e] = make([]byte, rows*quant.Q8_0.RowBytes(cols))
		for i := range data[e] {
			data[e][i] = byte(rng.Uint32())
		}
		for i := 0; i < len(data[e]); i += 34 {
			tame(rng, quant.Q8_0, data[e][i:])
		}
		if err := m.Load(e, data[e]); err != nil {
			t.Fatal(err)
		}
	}
	in, _ := d.NewBuffer("x", gpu.F32, n*cols)
	ids, _ := d.NewBuffer("ids", gpu.U32, n*k)
	out, _ := d.NewBuffer("y", gpu.F32, n*k*rows)
	if err := d.WriteFloats(in, 0, x); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteIDs(ids, 0, chosen); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, n*k*rows)
	p := d.Begin()
	p.MatMulExperts(out, in, m, nil, ids, n, k, false)
	if err := p.Submit(gpu.Readback{From: out, Floats: got}); err != nil {
		t.Fatal(err)
	}
	for slot, e := range chosen {
		want := make([]float32, rows)
		if e < count {
			want = productOn(t, d.kernels, true, quant.Q8_0, data[e], x[slot/k*cols:][:cols], 1, rows, cols)
		}
		sameBits(t, fmt.Sprint("slot ", slot), got[slot*rows:][:rows], want)
	}
}

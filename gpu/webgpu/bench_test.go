//go:build cgo

package webgpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// These benchmarks need a graphics card to mean anything. To run them on a machine without Go: go test -c, then
// webgpu.test -test.run - -test.bench . -test.benchtime 20x

// A matrix in a benchmark is one of as many as it takes to be out of the card's cache when its turn comes again.
const benchBytes = 256 << 20

// steps is how many operations a benchmark's pass has; figures are per operation, with submission and read-back shared.
const steps = 200

type bench struct {
	*testing.B
	dev *Device
}

func newBench(b *testing.B) *bench { return &bench{b, open(b, Options{})} }

func (b *bench) floats(n int) gpu.Buffer {
	b.Helper()
	buffer, err := b.dev.NewBuffer("bench", gpu.F32, n)
	if err == nil {
		data := make([]float32, n)
		for i := range data {
			data[i] = rand.Float32() - 0.5
		}
		err = b.dev.WriteFloats(buffer, 0, data)
	}
	if err != nil {
		b.Fatal(err)
	}
	return buffer
}

func (b *bench) ids(data ...uint32) gpu.Buffer {
	b.Helper()
	buffer, err := b.dev.NewBuffer("bench", gpu.U32, len(data))
	if err == nil {
		err = b.dev.WriteIDs(buffer, 0, data)
	}
	if err != nil {
		b.Fatal(err)
	}
	return buffer
}

// matrices returns stacks of random weights that fill benchBytes together, and at least one.
func (b *bench) matrices(t quant.Type, count, rows, cols int) []gpu.Matrix {
	b.Helper()
	data := make([]byte, rows*t.RowBytes(cols))
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	n := max(1, min(steps, benchBytes/(count*len(data))))
	if b.dev.info.Software {
		n = 1
	}
	var list []gpu.Matrix
	for range n {
		m, err := b.dev.NewMatrix("bench", t, count, rows, cols)
		for i := 0; err == nil && i < count; i++ {
			err = m.Load(i, data)
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(m.Free)
		list = append(list, m)
	}
	return list
}

// run times passes of n operations that read bytes each.
func (b *bench) run(n int, bytes int64, out gpu.Buffer, op func(p gpu.Pass, i int)) {
	b.Helper()
	if b.dev.info.Software {
		n = min(n, 2)
	}
	read := make([]float32, 1)
	pass := func() {
		p := b.dev.Begin()
		for i := range n {
			op(p, i)
		}
		if err := p.Submit(gpu.Readback{From: out, Floats: read}); err != nil {
			b.Fatal(err)
		}
	}
	pass()
	b.ResetTimer()
	for b.Loop() {
		pass()
	}
	seconds := b.Elapsed().Seconds() / float64(b.N) / float64(n)
	b.ReportMetric(seconds*1e6, "us/op")
	b.ReportMetric(float64(bytes)/seconds/1e9, "GB/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkMatVec(b *testing.B) {
	shapes := []struct{ rows, cols int }{{4096, 2048}}
	for _, t := range quant.Types() {
		list := shapes
		if t == quant.Q4_K {
			list = append(list, []struct{ rows, cols int }{{128, 2048}, {512, 2048}, {2048, 4096}, {2048, 768}, {12288, 2048}, {151936, 2048}}...)
		}
		for _, s := range list {
			b.Run(fmt.Sprintf("%v/%dx%d", t, s.rows, s.cols), func(tb *testing.B) {
				b := newBench(tb)
				w, x, dst := b.matrices(t, 1, s.rows, s.cols), b.floats(s.cols), b.floats(s.rows)
				b.run(steps, w[0].Bytes(), dst, func(p gpu.Pass, i int) { p.MatMul(dst, x, w[i%len(w)], nil, 1) })
			})
		}
	}
}

// BenchmarkExperts is the gate and the down projection of 8 of 128 experts for one row: Qwen3-30B-A3B.
func BenchmarkExperts(b *testing.B) {
	for _, s := range []struct{ rows, cols int }{{768, 2048}, {2048, 768}} {
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("Q4_K/%dx%d/n=%d", s.rows, s.cols, n), func(tb *testing.B) {
				b := newBench(tb)
				const k = 8
				w, x, dst := b.matrices(quant.Q4_K, 128, s.rows, s.cols), b.floats(n*k*s.cols), b.floats(n*k*s.rows)
				var ids [16]gpu.Buffer
				for i := range ids {
					chosen := make([]uint32, n*k)
					for j := range chosen {
						chosen[j] = rand.Uint32N(128)
					}
					ids[i] = b.ids(chosen...)
				}
				b.run(steps/10, w[0].Bytes()/128*int64(min(128, n*k)), dst, func(p gpu.Pass, i int) {
					p.MatMulExperts(dst, x, w[i%len(w)], nil, ids[i%len(ids)], n, k, true)
				})
			})
		}
	}
}

// BenchmarkMatMul is prefill: many rows of activations, 2*n*rows*cols operations each.
func BenchmarkMatMul(b *testing.B) {
	const n, rows, cols = 512, 4096, 2048
	for _, t := range quant.Types() {
		b.Run(fmt.Sprintf("%v/%dx%d/n=%d", t, rows, cols, n), func(tb *testing.B) {
			b := newBench(tb)
			w, x, dst := b.matrices(t, 1, rows, cols), b.floats(n*cols), b.floats(n*rows)
			b.run(steps/10, w[0].Bytes(), dst, func(p gpu.Pass, i int) { p.MatMul(dst, x, w[i%len(w)], nil, n) })
			seconds := b.Elapsed().Seconds() / float64(b.N) / (steps / 10)
			b.ReportMetric(2*n*rows*cols/seconds/1e12, "TFLOP/s")
		})
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct{ rows, start int }{{1, 100}, {1, 1000}, {1, 4000}, {512, 0}} {
		b.Run(fmt.Sprintf("rows=%d/start=%d", c.rows, c.start), func(tb *testing.B) {
			b := newBench(tb)
			s := gpu.Attention{Rows: c.rows, Start: c.start, Heads: 32, KVHeads: 4, KeyDim: 128, ValueDim: 128, KeyStride: 512, ValueStride: 512, Scale: 0.1}
			positions := c.start + c.rows
			q, dst := b.floats(c.rows*32*128), b.floats(c.rows*32*128)
			keys, values := b.floats(positions*512), b.floats(positions*512)
			b.run(steps/10, int64(positions)*4096, dst, func(p gpu.Pass, i int) { p.Attention(dst, q, keys, values, nil, s) })
		})
	}
}

// BenchmarkSmall is what an operation costs whose work is next to nothing.
func BenchmarkSmall(b *testing.B) {
	const width = 2048
	for _, c := range []struct {
		name string
		op   func(p gpu.Pass, x, y, w, z, ids gpu.Buffer)
	}{
		{"Add", func(p gpu.Pass, x, y, w, z, ids gpu.Buffer) { p.Add(x, y, width) }},
		{"RMSNorm", func(p gpu.Pass, x, y, w, z, ids gpu.Buffer) { p.RMSNorm(x, y, w, gpu.Norm{Rows: 1, Width: width}) }},
		{"QKNorm", func(p gpu.Pass, x, y, w, z, ids gpu.Buffer) { p.RMSNorm(x, y, w, gpu.Norm{Rows: 16, Width: 128}) }},
		{"TopK128", func(p gpu.Pass, x, y, w, z, ids gpu.Buffer) {
			p.TopK(ids, z, x, nil, 1, gpu.Gate{Experts: 128, K: 8, Renormalise: true})
		}},
		{"Combine8", func(p gpu.Pass, x, y, w, z, ids gpu.Buffer) { p.Combine(x, w, z, 1, 8, 256) }},
	} {
		b.Run(c.name, func(tb *testing.B) {
			b := newBench(tb)
			x, y, w, z, ids := b.floats(width), b.floats(width), b.floats(width), b.floats(8), b.ids(make([]uint32, 8)...)
			b.run(steps, width*8, x, func(p gpu.Pass, _ int) { c.op(p, x, y, w, z, ids) })
		})
	}
}

// BenchmarkReadBack is a submission of one small operation and the reading of one row.
func BenchmarkReadBack(b *testing.B) {
	for _, n := range []int{1, 4096} {
		b.Run(fmt.Sprintf("%d_floats", n), func(tb *testing.B) {
			b := newBench(tb)
			x, y, out := b.floats(4096), b.floats(4096), make([]float32, n)
			once := func() {
				if err := b.dev.WriteFloats(y, 0, out); err != nil {
					b.Fatal(err)
				}
				p := b.dev.Begin()
				p.Add(x, y, 4096)
				if err := p.Submit(gpu.Readback{From: x, Floats: out}); err != nil {
					b.Fatal(err)
				}
			}
			once()
			for b.Loop() {
				once()
			}
		})
	}
}

// BenchmarkLoad is the upload of weights.
func BenchmarkLoad(b *testing.B) {
	for _, t := range []quant.Type{quant.Q4_K, quant.Q6_K, quant.Q8_0} {
		b.Run(t.String(), func(tb *testing.B) {
			b := newBench(tb)
			const rows, cols = 16384, 2048
			w := b.matrices(t, 1, rows, cols)[0]
			data := make([]byte, rows*t.RowBytes(cols))
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := w.Load(0, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// Benchmarks on the shapes of Qwen3-30B-A3B (hidden 2048, 128 experts of 768, top-8, 32 heads of 128). B/s is the rate at which
// stored weights are read, to be compared with BenchmarkMemory's; MAC/s counts multiply-adds.

var benchFormats = []quant.Type{quant.F32, quant.F16, quant.BF16, quant.Q8_0, quant.Q4_0, quant.Q4_K, quant.Q5_K, quant.Q6_K, quant.MXFP4, quant.F8E4M3}

// benchMatrix is random weights of finite blocks.
func benchMatrix(b *testing.B, d *Device, t quant.Type, count, rows, cols int) gpu.Matrix {
	m, err := d.NewMatrix("bench", t, count, rows, cols)
	if err != nil {
		b.Fatal(err)
	}
	rng, row := rand.New(rand.NewPCG(1, 2)), make([]float32, cols)
	data := make([]byte, rows*t.RowBytes(cols))
	for r := range min(rows, 16) {
		for c := range row {
			row[c] = float32(rng.NormFloat64())
		}
		quant.Encode(t, data[r*t.RowBytes(cols):], row)
	}
	for at := 16 * t.RowBytes(cols); at < len(data); at *= 2 {
		copy(data[at:], data[:at])
	}
	for i := range count {
		if err := m.Load(i, data); err != nil {
			b.Fatal(err)
		}
	}
	return m
}

func benchBuffer(b *testing.B, d *Device, n int) gpu.Buffer {
	buf, err := d.NewBuffer("bench", gpu.F32, n)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = (float32(i%17) - 8) / 8
	}
	if err := d.WriteFloats(buf, 0, data); err != nil {
		b.Fatal(err)
	}
	return buf
}

func BenchmarkMatMul(b *testing.B) { benchMatMul(b, benchFormats, Options{}) }

// BenchmarkMatMulInt8 is BenchmarkMatMul with 8-bit activations.
func BenchmarkMatMulInt8(b *testing.B) { benchMatMul(b, int8Formats, Options{Int8: true}) }

func benchMatMul(b *testing.B, formats []quant.Type, o Options) {
	for _, shape := range []struct {
		name       string
		n          int
		rows, cols int
	}{{"decode/q_proj", 1, 4096, 2048}, {"decode/o_proj", 1, 2048, 4096}, {"prefill32/q_proj", 32, 4096, 2048}, {"prefill512/o_proj", 512, 2048, 4096}} {
		for _, t := range formats {
			b.Run(fmt.Sprintf("%s/%v", shape.name, t), func(b *testing.B) {
				d := Open(o)
				defer d.Close()
				w := benchMatrix(b, d, t, 1, shape.rows, shape.cols)
				x, y := benchBuffer(b, d, shape.n*shape.cols), benchBuffer(b, d, shape.n*shape.rows)
				var best fastest
				for b.Loop() {
					best.start()
					p := d.Begin()
					p.MatMul(y, x, w, nil, shape.n)
					if err := p.Submit(); err != nil {
						b.Fatal(err)
					}
					best.stop()
				}
				best.report(b, w.Bytes(), int64(shape.n*shape.rows*shape.cols))
			})
		}
	}
}

func BenchmarkMatMulExperts(b *testing.B) {
	const experts, k, rows, cols = 128, 8, 768, 2048
	for _, n := range []int{1, 32} {
		for _, t := range []quant.Type{quant.Q8_0, quant.Q4_K, quant.Q6_K} {
			b.Run(fmt.Sprintf("gate_proj/n=%d/%v", n, t), func(b *testing.B) {
				d := New(0)
				defer d.Close()
				w := benchMatrix(b, d, t, experts, rows, cols)
				x, y := benchBuffer(b, d, n*cols), benchBuffer(b, d, n*k*rows)
				chosen, _ := d.NewBuffer("bench", gpu.U32, n*k)
				ids, rng, used := make([]uint32, n*k), rand.New(rand.NewPCG(1, 2)), map[uint32]bool{}
				for i := range n {
					for j, e := range rng.Perm(experts)[:k] {
						ids[i*k+j] = uint32(e)
						used[uint32(e)] = true
					}
				}
				if err := d.WriteIDs(chosen, 0, ids); err != nil {
					b.Fatal(err)
				}
				var best fastest
				for b.Loop() {
					best.start()
					p := d.Begin()
					p.MatMulExperts(y, x, w, nil, chosen, n, k, false)
					if err := p.Submit(); err != nil {
						b.Fatal(err)
					}
					best.stop()
				}
				best.report(b, w.Bytes()/experts*int64(len(used)), int64(n*k*rows*cols))
			})
		}
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct{ rows, start int }{{1, 512}, {1, 4096}, {32, 512}} {
		b.Run(fmt.Sprintf("rows=%d/start=%d", c.rows, c.start), func(b *testing.B) {
			d := New(0)
			defer d.Close()
			s := gpu.Attention{Rows: c.rows, Start: c.start, Heads: 32, KVHeads: 4, KeyDim: 128, ValueDim: 128, KeyStride: 512, ValueStride: 512, Scale: 0.088}
			q, y := benchBuffer(b, d, c.rows*4096), benchBuffer(b, d, c.rows*4096)
			k, v := benchBuffer(b, d, (c.start+c.rows)*512), benchBuffer(b, d, (c.start+c.rows)*512)
			var best fastest
			for b.Loop() {
				best.start()
				p := d.Begin()
				p.Attention(y, q, k, v, nil, s)
				if err := p.Submit(); err != nil {
					b.Fatal(err)
				}
				best.stop()
			}
			best.report(b, int64(c.start+c.rows)*4096, int64(c.rows*32*256)*int64(c.start+c.rows/2))
		})
	}
}

func BenchmarkTopK(b *testing.B) {
	d := New(0)
	defer d.Close()
	scores, weights := benchBuffer(b, d, 128), benchBuffer(b, d, 8)
	ids, _ := d.NewBuffer("bench", gpu.U32, 8)
	for b.Loop() {
		p := d.Begin()
		p.TopK(ids, weights, scores, nil, 1, gpu.Gate{Experts: 128, K: 8, Renormalise: true})
		if err := p.Submit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory reads memory on all threads, eight bytes at a time, as the rate that decoding could reach at best here.
func BenchmarkMemory(b *testing.B) {
	d := New(0)
	defer d.Close()
	words := make([]uint64, 1<<25) // 256 MiB, beyond the caches
	for i := range words {
		words[i] = uint64(i)
	}
	sums := make([]uint64, 64)
	var best fastest
	for b.Loop() {
		best.start()
		d.pool.run(len(sums), func(task int) {
			var s0, s1, s2, s3 uint64
			for part := words[len(words)/64*task:][:len(words)/64]; len(part) >= 4; part = part[4:] {
				s0, s1, s2, s3 = s0+part[0], s1^part[1], s2+part[2], s3^part[3]
			}
			sums[task] = s0 + s1 + s2 + s3
		})
		best.stop()
	}
	best.report(b, int64(len(words))*8, 0)
}

// fastest is the shortest of a benchmark's rounds: on a machine that others use too, means say little.
type fastest struct {
	since time.Time
	least time.Duration
}

func (f *fastest) start() { f.since = time.Now() }

func (f *fastest) stop() {
	if d := time.Since(f.since); f.least == 0 || d < f.least {
		f.least = d
	}
}

func (f *fastest) report(b *testing.B, bytes, macs int64) {
	seconds := f.least.Seconds()
	b.ReportMetric(float64(bytes)/seconds/1e9, "GB/s")
	if macs > 0 {
		b.ReportMetric(float64(macs)/seconds/1e9, "GMAC/s")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(seconds*1e6, "us/best")
}

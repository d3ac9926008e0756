package gputest

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"shoal/gpu"
	"shoal/rdrr/quant"
	"shoal/shaders/ref"
)

// testManyRows runs every operation with more rows, heads or outputs than the 65,535 workgroups that WebGPU allows in a
// dimension.
func testManyRows(s *suite) {
	const many = 66001
	x3, weight := s.normal(many*3), s.normal(3)
	big, w3 := s.floats(x3), s.floats(weight)
	want := make([]float32, many*3)

	norm := gpu.Norm{Rows: many, Width: 3, Eps: 1e-6}
	ref.RMSNorm(want, x3, weight, ref.Norm(norm))
	dst := s.output(many * 3)
	got := s.run(dst, func(p gpu.Pass) { p.RMSNorm(dst, big, w3, norm) })
	s.near("rmsnorm", got, want, rel(want, gamma(20)))
	ref.LayerNorm(want, x3, weight, weight, ref.Norm(norm))
	got = s.run(dst, func(p gpu.Pass) { p.LayerNorm(dst, big, w3, w3, norm) })
	s.near("layernorm", got, want, layerNormBound(norm, x3, weight, weight, want))

	outputs := s.weights(quant.Q8_0, 1, many, 32, 1)
	s.matMul("matmul, many outputs", outputs, s.normal(32), nil, 1)
	s.matMul("matmul, many rows", s.weights(quant.F32, 1, 3, 2, 1), s.normal(many*2), nil, many)
	s.matMul("matmul, many of both", s.weights(quant.F16, 1, 311, 3, 1), s.normal(701*3), nil, 701)
	ids := make([]uint32, many)
	for i := range ids {
		ids[i] = uint32(s.rng.IntN(5))
	}
	s.matMulExperts("matmul_experts", s.weights(quant.F32, 5, 3, 2, 1), nil, ids, many/7, 7, true)

	w := s.weights(quant.F32, 1, 5, 3, 1)
	table, in, dst := s.load(w), s.ids(ids), s.output(many*3)
	ref.Embed(want, w.decoded, ids, many, 5, 3, 1)
	s.equal("embed", s.run(dst, func(p gpu.Pass) { p.Embed(dst, table, in, many, 1) }), want)
	s.free()

	attention := gpu.Attention{Rows: 1101, Heads: 60, KVHeads: 1, KeyDim: 2, ValueDim: 1, KeyStride: 2, ValueStride: 1, Scale: 1, Window: 3}
	kv := s.cache(attention, false, false)
	want = make([]float32, attention.Rows*attention.Heads)
	ref.Attention(want, kv.q, kv.keys, kv.values, nil, ref.Heads(attention))
	bounds := attentionBounds(attention, kv)
	s.near("attention", s.attend(attention, kv, false)[:len(want)], want, func(i int) float64 { return bounds[i] })

	rotation := gpu.Rotation{Rows: many, Heads: 1, HeadDim: 2, Rotary: 2}
	x2, angles := s.normal(many*2), s.normal(many*2)
	want = slices.Clone(x2)
	ref.RoPE(want, angles, ref.Rotation(rotation))
	dst, a := s.floats(x2), s.floats(angles)
	s.near("rope", s.run(dst, func(p gpu.Pass) { p.RoPE(dst, a, rotation) }), want, func(int) float64 { return gamma(3) * 50 })

	gate := gpu.Gate{Kind: gpu.TopKSoftmax, Experts: 3, K: 1}
	top, _ := s.topK(gate, x3, nil, many)
	wantIDs := make([]uint32, many)
	ref.ArgMax(wantIDs, x3, many, 3)
	s.equalIDs("topk", top, wantIDs)
	argmax, rows, p := s.empty(gpu.U32, many), s.floats(x3), s.dev.Begin()
	p.ArgMax(argmax, rows, many, 3)
	s.must(p.Submit(gpu.Readback{From: argmax, IDs: top}))
	s.equalIDs("argmax", top, wantIDs)

	// Ones and twos in every element: 65,536 workgroups of 256 and a few more.
	const elements = 65536*256 + 77
	x, y := s.floats(filled(elements, 1)), s.floats(filled(elements, 2))
	p = s.dev.Begin()
	p.Add(x, y, elements)
	p.AddSigmoid(x, y, s.floats(filled(elements/11, 200)), elements/11, 11)
	p.Combine(x, y, s.floats(filled(elements/11, 2)), elements/11, 1, 11)
	sum := make([]float32, elements)
	s.must(p.Submit(gpu.Readback{From: x, Floats: sum}))
	for i, v := range sum {
		if want := float32(1 + 2 + 2 + 4); i < elements/11*11 && v != want {
			s.Fatalf("add, add_sigmoid, combine: element %d of %d is %v, want %v", i, elements, v, want)
		}
	}
	p = s.dev.Begin()
	p.Activate(x, y, s.floats(filled(elements, 3)), elements, gpu.SwiGLUOAI)
	p.Copy(y, x, gpu.Strided{Rows: elements / 3, Width: 2, SrcStride: 3, DstStride: 3})
	s.must(p.Submit(gpu.Readback{From: y, Floats: sum}))
	activated := 8 / (1 + math.Exp(-2*1.702))
	for i, v := range sum[:elements/3*3] {
		if want := []float64{activated, activated, 2}[i%3]; math.Abs(float64(v)-want) > 1e-5 {
			s.Fatalf("activate, copy: element %d of %d is %v, want %v", i, elements, v, want)
		}
	}
}

// testNoRows: operations on nothing do nothing.
func testNoRows(s *suite) {
	x, y, ids := s.output(8), s.floats(s.normal(8)), s.ids(make([]uint32, 8))
	m := s.load(s.weights(quant.Q8_0, 2, 2, 4, 1))
	got := s.run(x, func(p gpu.Pass) {
		p.Embed(x, m, ids, 0, 1)
		p.RMSNorm(x, y, y, gpu.Norm{Width: 4})
		p.MatMul(x, y, m, nil, 0)
		p.MatMulEach(x, y, m, gpu.Slices{})
		p.MatMulExperts(x, y, m, nil, ids, 0, 2, false)
		p.Activate(x, y, y, 0, gpu.SiLU)
		p.Combine(x, y, y, 0, 2, 4)
		p.Add(x, y, 0)
		p.Copy(x, y, gpu.Strided{Width: 4, DstStride: 4})
		p.Attention(x, y, y, y, nil, gpu.Attention{Heads: 1, KVHeads: 1, KeyDim: 1, ValueDim: 1, KeyStride: 1, ValueStride: 1})
	})
	s.equal("untouched", got, filled(8, untouched))
	s.must(s.dev.Begin().Submit())
}

// testMatrix: loading, replacing and what is refused.
func testMatrix(s *suite) {
	w := s.weights(quant.Q8_0, 3, 5, 70, 1)
	m, err := s.dev.NewMatrix("test", w.format, 3, 5, 70)
	s.must(err)
	s.made = append(s.made, m)
	if m.Type() != w.format || m.Count() != 3 || m.Rows() != 5 || m.Cols() != 70 {
		s.Errorf("matrix is %v [%d, %d, %d]", m.Type(), m.Count(), m.Rows(), m.Cols())
	}
	if least := int64(3 * 5 * w.format.RowBytes(70)); m.Bytes() < least {
		s.Errorf("Bytes is %d, want %d at least", m.Bytes(), least)
	}
	x, ids := s.normal(70), []uint32{0, 1, 2}
	dst, in, chosen := s.output(15), s.floats(x), s.ids(ids)
	product := func() []float32 {
		return s.run(dst, func(p gpu.Pass) { p.MatMulExperts(dst, in, m, nil, chosen, 1, 3, false) })
	}
	s.equal("not loaded", product(), make([]float32, 15))
	check := func(what string, order ...int) {
		want := make([]float32, 15)
		for slot, from := range order {
			if from >= 0 {
				ref.MatMul(want[slot*5:][:5], x, w.matrix(from), nil, 1, 5, 70)
			}
		}
		s.near(what, product(), want, func(i int) float64 { return w.dotBound(max(order[i/5], 0), i%5, x, 0) })
	}
	data := slices.Clone(w.data[1])
	s.must(m.Load(1, data))
	clear(data) // ours again
	check("one loaded", -1, 1, -1)
	s.must(m.Load(0, w.data[0]))
	s.must(m.Load(2, w.data[2]))
	check("all loaded", 0, 1, 2)
	s.must(m.Load(1, w.data[2]))
	check("one replaced", 0, 2, 2)
	if a, ok := m.(gpu.Aliaser); ok {
		s.must(a.Alias(0, w.data[1]))
		check("one aliased", 1, 2, 2)
		if a.Alias(3, w.data[0]) == nil || a.Alias(0, w.data[0][1:]) == nil {
			s.Error("Alias of a matrix out of range, or of too few bytes, is no error")
		}
		s.must(m.Load(0, w.data[0]))
		check("an alias replaced", 0, 2, 2)
	}
	for what, err := range map[string]error{
		"a matrix beyond the stack": m.Load(3, w.data[0]), "a negative matrix": m.Load(-1, w.data[0]),
		"too few bytes": m.Load(0, w.data[0][1:]), "too many bytes": m.Load(0, append(slices.Clone(w.data[0]), 0)),
	} {
		if err == nil {
			s.Errorf("loading %s is no error", what)
		}
	}
	for _, bad := range []struct {
		t                 quant.Type
		count, rows, cols int
	}{{quant.Invalid, 1, 1, 1}, {200, 1, 1, 1}, {quant.F32, 0, 1, 1}, {quant.F32, 1, -1, 1}, {quant.F32, 1, 1, 0}, {quant.F32, 1 << 30, 1 << 30, 1 << 30}} {
		if m, err := s.dev.NewMatrix("test", bad.t, bad.count, bad.rows, bad.cols); err == nil {
			s.Errorf("a matrix of %+v is no error", bad)
			m.Free()
		}
	}
}

// testMemory: what is allocated is counted, and freed memory is counted no more.
func testMemory(s *suite) {
	before := s.dev.Allocated()
	b, err := s.dev.NewBuffer("test", gpu.F32, 100_000)
	s.must(err)
	ids, err := s.dev.NewBuffer("test", gpu.U32, 50_000)
	s.must(err)
	m, err := s.dev.NewMatrix("test", quant.Q4_K, 3, 100, 1024)
	s.must(err)
	if b.Kind() != gpu.F32 || b.Len() != 100_000 || ids.Kind() != gpu.U32 || ids.Len() != 50_000 {
		s.Error("a buffer's kind or length is not what was asked for")
	}
	if got, least := s.dev.Allocated()-before, 600_000+m.Bytes(); got < least || got > least+least/4+1<<20 {
		s.Errorf("allocated %d bytes, want about %d", got, least)
	}
	zeros := make([]float32, 100_000)
	zeros[7] = 1
	s.must(s.dev.Begin().Submit(gpu.Readback{From: b, Floats: zeros}))
	s.equal("a new buffer", zeros, make([]float32, 100_000))
	after := s.dev.Allocated()
	b.Free()
	if got := after - s.dev.Allocated(); got < 400_000 {
		s.Errorf("freeing 400000 bytes returned %d", got)
	}
	ids.Free()
	m.Free()
	b.Free() // harmless
	m.Free()
	if s.dev.Allocated() > before+1<<20 {
		s.Errorf("%d bytes are allocated after all was freed, %d before", s.dev.Allocated(), before)
	}
	if _, err := s.dev.NewBuffer("test", gpu.F32, 0); err == nil {
		s.Error("a buffer of no elements is no error")
	}
	if _, err := s.dev.NewBuffer("test", gpu.F32, -1); err == nil {
		s.Error("a buffer of -1 elements is no error")
	}
	if _, err := s.dev.NewBuffer("test", gpu.F32, 1<<60); err == nil {
		s.Error("a buffer of 2^60 elements is no error")
	}
}

// testOrder: operations of a pass run in order, writes come between passes, and readbacks see the end of their pass.
func testOrder(s *suite) {
	x, y, z := s.floats(filled(300, 1)), s.floats(filled(300, 10)), s.empty(gpu.F32, 300)
	p := s.dev.Begin()
	for range 20 { // x, y = x + y, x + 2y
		p.Add(x, y, 300)
		p.Add(y, x, 300)
	}
	a, b := float32(1), float32(10)
	for range 20 {
		a += b
		b += a
	}
	part, whole := make([]float32, 13), make([]float32, 300)
	s.must(p.Submit(gpu.Readback{From: x, Offset: 287, Floats: part}, gpu.Readback{From: y, Floats: whole}))
	s.equal("x", part, filled(13, a))
	s.equal("y", whole, filled(300, b))

	s.must(s.dev.WriteFloats(x, 0, filled(300, 5)))
	p = s.dev.Begin()
	p.Copy(z, x, gpu.Strided{Rows: 1, Width: 150})
	s.must(p.Submit())
	s.must(s.dev.WriteFloats(x, 100, filled(200, 6)))
	p = s.dev.Begin()
	p.Copy(z, x, gpu.Strided{Rows: 1, Width: 150, SrcOffset: 150, DstOffset: 150})
	s.must(p.Submit(gpu.Readback{From: z, Floats: whole}, gpu.Readback{From: x, Offset: 90, Floats: part}))
	s.equal("z", whole, append(filled(150, 5), filled(150, 6)...))
	s.equal("x", part, append(filled(10, 5), filled(3, 6)...))
}

// testErrors: wrong arguments are errors that stick, of Submit and of nothing else, and nothing of such a pass runs.
func testErrors(s *suite) {
	f, big, ids, sentinel := s.output(16), s.floats(s.normal(64)), s.ids(make([]uint32, 16)), s.output(4)
	small := s.floats(s.normal(3))
	m := s.load(s.weights(quant.Q8_0, 2, 4, 8, 1))
	four := s.floats(filled(4, 1))
	for what, record := range map[string]func(p gpu.Pass){
		"embed ids are floats":        func(p gpu.Pass) { p.Embed(f, m, big, 1, 1) },
		"embed dst too small":         func(p gpu.Pass) { p.Embed(small, m, ids, 1, 1) },
		"embed without table":         func(p gpu.Pass) { p.Embed(f, nil, ids, 1, 1) },
		"rmsnorm too many rows":       func(p gpu.Pass) { p.RMSNorm(f, big, four, gpu.Norm{Rows: 5, Width: 4}) },
		"rmsnorm weight too small":    func(p gpu.Pass) { p.RMSNorm(f, big, small, gpu.Norm{Rows: 1, Width: 4}) },
		"rmsnorm in place":            func(p gpu.Pass) { p.RMSNorm(f, f, four, gpu.Norm{Rows: 1, Width: 4}) },
		"rmsnorm offset":              func(p gpu.Pass) { p.RMSNorm(f, big, four, gpu.Norm{Rows: 1, Width: 4, SrcOffset: 61}) },
		"rmsnorm negative offset":     func(p gpu.Pass) { p.RMSNorm(f, big, four, gpu.Norm{Rows: 1, Width: 4, DstOffset: -1}) },
		"layernorm without bias":      func(p gpu.Pass) { p.LayerNorm(f, big, four, nil, gpu.Norm{Rows: 1, Width: 4}) },
		"matmul negative rows":        func(p gpu.Pass) { p.MatMul(f, big, m, nil, -1) },
		"matmul too many rows":        func(p gpu.Pass) { p.MatMul(f, big, m, nil, 5) },
		"matmul absurd rows":          func(p gpu.Pass) { p.MatMul(f, big, m, nil, math.MaxInt) },
		"matmul bias too small":       func(p gpu.Pass) { p.MatMul(f, big, m, small, 1) },
		"matmul without x":            func(p gpu.Pass) { p.MatMul(f, nil, m, nil, 1) },
		"matmul_each too far":         func(p gpu.Pass) { p.MatMulEach(f, big, m, gpu.Slices{Rows: 1, XOffset: 49}) },
		"matmul_each overlapping dst": func(p gpu.Pass) { p.MatMulEach(f, big, m, gpu.Slices{Rows: 1, DStride: 3}) },
		"matmul_experts no slots":     func(p gpu.Pass) { p.MatMulExperts(f, big, m, nil, ids, 1, 0, false) },
		"matmul_experts too many":     func(p gpu.Pass) { p.MatMulExperts(f, big, m, nil, ids, 2, 3, false) },
		"rope odd rotary":             func(p gpu.Pass) { p.RoPE(f, big, gpu.Rotation{Rows: 1, Heads: 1, HeadDim: 8, Rotary: 3}) },
		"rope beyond the head":        func(p gpu.Pass) { p.RoPE(f, big, gpu.Rotation{Rows: 1, Heads: 1, HeadDim: 8, Rotary: 8, Offset: 1}) },
		"rope without angles":         func(p gpu.Pass) { p.RoPE(f, small, gpu.Rotation{Rows: 1, Heads: 1, HeadDim: 8, Rotary: 8}) },
		"attention heads": func(p gpu.Pass) {
			p.Attention(f, big, big, big, nil, gpu.Attention{Rows: 1, Heads: 3, KVHeads: 2, KeyDim: 2, ValueDim: 2, KeyStride: 4, ValueStride: 4})
		},
		"attention cache too small": func(p gpu.Pass) {
			p.Attention(f, big, big, big, nil, gpu.Attention{Rows: 1, Start: 16, Heads: 2, KVHeads: 2, KeyDim: 2, ValueDim: 2, KeyStride: 4, ValueStride: 4})
		},
		"attention stride too small": func(p gpu.Pass) {
			p.Attention(f, big, big, big, nil, gpu.Attention{Rows: 1, Heads: 2, KVHeads: 2, KeyDim: 2, ValueDim: 2, KeyStride: 3, ValueStride: 4})
		},
		"unknown activation":   func(p gpu.Pass) { p.Activate(f, big, big, 1, 77) },
		"activate in place":    func(p gpu.Pass) { p.Activate(f, f, big, 1, gpu.SiLU) },
		"topk more than all":   func(p gpu.Pass) { p.TopK(ids, f, big, nil, 1, gpu.Gate{Experts: 2, K: 3}) },
		"topk of best groups":  func(p gpu.Pass) { p.TopK(ids, f, big, nil, 1, gpu.Gate{Experts: 8, K: 3, Groups: 4, TopGroups: 1}) },
		"topk uneven groups":   func(p gpu.Pass) { p.TopK(ids, f, big, nil, 1, gpu.Gate{Experts: 9, K: 1, Groups: 2, TopGroups: 1}) },
		"topk ids are floats":  func(p gpu.Pass) { p.TopK(small, f, big, nil, 1, gpu.Gate{Experts: 9, K: 1}) },
		"sparse mixer k":       func(p gpu.Pass) { p.TopK(ids, f, big, nil, 1, gpu.Gate{Kind: gpu.SparseMixer, Experts: 9, K: 3}) },
		"unknown gate":         func(p gpu.Pass) { p.TopK(ids, f, big, nil, 1, gpu.Gate{Kind: 9, Experts: 9, K: 3}) },
		"combine y too small":  func(p gpu.Pass) { p.Combine(f, small, four, 1, 1, 4) },
		"add too many":         func(p gpu.Pass) { p.Add(f, big, 17) },
		"add to itself":        func(p gpu.Pass) { p.Add(f, f, 4) },
		"add_sigmoid gate":     func(p gpu.Pass) { p.AddSigmoid(f, big, small, 4, 4) },
		"copy between kinds":   func(p gpu.Pass) { p.Copy(ids, big, gpu.Strided{Rows: 1, Width: 1}) },
		"copy too far":         func(p gpu.Pass) { p.Copy(f, big, gpu.Strided{Rows: 2, Width: 8, DstStride: 9, SrcStride: 8}) },
		"copy rows overlap":    func(p gpu.Pass) { p.Copy(f, big, gpu.Strided{Rows: 2, Width: 8, DstStride: 7, SrcStride: 8}) },
		"argmax without width": func(p gpu.Pass) { p.ArgMax(ids, big, 1, 0) },
		"argmax ids too few":   func(p gpu.Pass) { p.ArgMax(ids, big, 17, 1) },
	} {
		p := s.dev.Begin()
		p.Add(sentinel, four, 4)
		record(p)
		p.Add(sentinel, four, 4)
		read := []float32{-1}
		if err := p.Submit(gpu.Readback{From: four, Floats: read}); err == nil {
			s.Errorf("%s: no error", what)
		}
	}
	for what, r := range map[string]gpu.Readback{
		"nothing": {From: f}, "both": {From: f, Floats: make([]float32, 1), IDs: make([]uint32, 1)}, "from nowhere": {Floats: make([]float32, 1)},
		"floats of ids": {From: ids, Floats: make([]float32, 1)}, "too much": {From: f, Floats: make([]float32, 17)},
		"beyond": {From: f, Offset: 16, Floats: make([]float32, 1)}, "before": {From: f, Offset: -1, Floats: make([]float32, 1)},
	} {
		if s.dev.Begin().Submit(r) == nil {
			s.Errorf("reading %s: no error", what)
		}
	}
	s.equal("an operation of a refused pass", s.run(sentinel, func(gpu.Pass) {}), filled(4, untouched))
	p := s.dev.Begin()
	s.must(p.Submit())
	if p.Submit() == nil {
		s.Error("submitting a pass twice: no error")
	}
	if s.dev.WriteFloats(f, 10, make([]float32, 7)) == nil || s.dev.WriteFloats(ids, 0, make([]float32, 1)) == nil ||
		s.dev.WriteIDs(f, 0, make([]uint32, 1)) == nil || s.dev.WriteFloats(f, -1, make([]float32, 1)) == nil {
		s.Error("a write beyond a buffer or of another kind: no error")
	}
}

// testConcurrent: passes of several goroutines over the same weights give what each gives alone.
func testConcurrent(s *suite) {
	const workers, rounds, n, width = 4, 8, 3, 96
	w := s.weights(quant.Q8_0, 4, width, width, 1)
	m := s.load(w)
	inputs, results := make([][]float32, workers), make([][]float32, workers)
	chain := func(x []float32) ([]float32, error) {
		var made []gpu.Buffer
		defer func() {
			for _, b := range made {
				b.Free()
			}
		}()
		buffer := func(k gpu.Kind, n int) gpu.Buffer {
			b, err := s.dev.NewBuffer("concurrent", k, n)
			if err != nil {
				s.Error(err)
				return nil
			}
			made = append(made, b)
			return b
		}
		in, h, y, ids, weights := buffer(gpu.F32, n*width), buffer(gpu.F32, n*width), buffer(gpu.F32, n*2*width), buffer(gpu.U32, n*2), buffer(gpu.F32, n*2)
		if err := s.dev.WriteFloats(in, 0, x); err != nil {
			return nil, err
		}
		out := make([]float32, n*width)
		p := s.dev.Begin()
		p.MatMul(h, in, m, nil, n)
		p.TopK(ids, weights, h, nil, n, gpu.Gate{Kind: gpu.TopKSoftmax, Experts: 4, K: 2})
		p.MatMulExperts(y, h, m, nil, ids, n, 2, false)
		p.Combine(in, y, weights, n, 2, width)
		return out, p.Submit(gpu.Readback{From: in, Floats: out})
	}
	for i := range inputs {
		inputs[i] = s.normal(n * width)
		var err error
		results[i], err = chain(inputs[i])
		s.must(err)
	}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for round := range rounds {
				got, err := chain(inputs[i])
				if err != nil || !slices.Equal(got, results[i]) {
					s.Error(fmt.Errorf("worker %d, round %d: another result than alone (error %v)", i, round, err))
					return
				}
			}
		})
	}
	wg.Wait()
}

package ref

import (
	"math"
	"slices"
	"testing"
)

// The twins are the yardstick of every device, so their own test is numbers worked out by hand.

func near(t *testing.T, what string, got []float32, want ...float64) {
	t.Helper()
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > 1e-6*max(1, math.Abs(want[i])) {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

func TestNorms(t *testing.T) {
	got := make([]float32, 2)
	RMSNorm(got, []float32{3, 4}, []float32{1, 2}, Norm{Rows: 1, Width: 2, Eps: 12.5}) // mean of squares 12.5: root 5
	near(t, "RMSNorm", got, 0.6, 1.6)
	LayerNorm(got, []float32{10, 16}, []float32{1, 2}, []float32{0, 1}, Norm{Rows: 1, Width: 2, Eps: 16}) // deviation 3: root 5
	near(t, "LayerNorm", got, -0.6, 2.2)
}

func TestProducts(t *testing.T) {
	w := []float32{1, 2, 3, 4 /**/, 5, 6, 7, 8} // two matrices of 2 by 2
	got := make([]float32, 4)
	MatMul(got, []float32{10, 1}, w[:4], []float32{0.5, 0}, 1, 2, 2)
	near(t, "MatMul", got, 12.5, 34)
	MatMulEach(got, []float32{10, 1, 1, 10}, w, 2, 2, 2, Slices{Rows: 1})
	near(t, "MatMulEach", got, 12, 34, 65, 87)
	MatMulExperts(got, []float32{10, 1}, w, []float32{0, 0, 1, 1}, []uint32{1, 2}, 1, 2, 2, 2, 2, false)
	near(t, "MatMulExperts", got, 57, 79, 0, 0)
}

func TestRoPE(t *testing.T) {
	quarter := []float32{0, 1, 0, 1} // cos, sin of a right angle
	x := []float32{9, 1, 2, 3, 4}
	RoPE(x, quarter, Rotation{Rows: 1, Heads: 1, HeadDim: 5, Offset: 1, Rotary: 4})
	near(t, "halves", x, 9, -3, -4, 1, 2)
	x = []float32{1, 2, 3, 4}
	RoPE(x, quarter, Rotation{Rows: 1, Heads: 1, HeadDim: 4, Rotary: 4, Interleaved: true})
	near(t, "interleaved", x, -2, 1, -4, 3)
}

func TestAttention(t *testing.T) {
	ln := func(v float64) float32 { return float32(math.Log(v)) }
	keys, values := []float32{ln(1), ln(2), ln(5)}, []float32{8, 16, 32}
	got, s := make([]float32, 1), Heads{Rows: 1, Start: 2, Heads: 1, KVHeads: 1, KeyDim: 1, ValueDim: 1, KeyStride: 1, ValueStride: 1, Scale: 1}
	Attention(got, []float32{1}, keys, values, nil, s)
	near(t, "full", got, (8+2*16+5*32)/8.)
	s.Window = 2
	Attention(got, []float32{1}, keys, values, nil, s)
	near(t, "window", got, (2*16+5*32)/7.)
	Attention(got, []float32{1}, keys, values, []float32{ln(3)}, s)
	near(t, "sink", got, (2*16+5*32)/10.)
	s.Start = 0
	Attention(got, []float32{1}, keys, values, nil, s)
	near(t, "causal", got, 8)
}

func TestActivate(t *testing.T) {
	got := make([]float32, 1)
	Activate(got, []float32{float32(math.Log(3))}, []float32{2}, 1, SiLU) // sigmoid(ln 3) = 3/4
	near(t, "SiLU", got, 1.5*math.Log(3))
	Activate(got, []float32{1}, []float32{2}, 1, GELUTanh) // 0.841192 is the approximation's published value at 1
	near(t, "GELUTanh", got, 2*0.8411920)
	Activate(got, []float32{100}, []float32{-100}, 1, SwiGLUOAI)
	near(t, "SwiGLUOAI", got, -6*7/(1+math.Exp(-1.702*7)))
}

func TestGates(t *testing.T) {
	ln := func(v ...float64) []float32 {
		out := make([]float32, len(v))
		for i := range v {
			out[i] = float32(math.Log(v[i]))
		}
		return out
	}
	logit := func(v ...float64) []float32 {
		out := make([]float32, len(v))
		for i := range v {
			out[i] = float32(math.Log(v[i] / (1 - v[i])))
		}
		return out
	}
	for _, c := range []struct {
		name         string
		gate         Gate
		scores, bias []float32
		ids          []uint32
		weights      []float64
	}{
		{"softmax, then top-k", Gate{Kind: SoftmaxTopK, Experts: 4, K: 2}, ln(1, 4, 2, 3), nil, []uint32{1, 3}, []float64{0.4, 0.3}},
		{"renormalised", Gate{Kind: SoftmaxTopK, Experts: 4, K: 2, Renormalise: true, Scale: 7}, ln(1, 4, 2, 3), nil, []uint32{1, 3}, []float64{4, 3}},
		{"top-k, then softmax", Gate{Kind: TopKSoftmax, Experts: 4, K: 2}, ln(1, 4, 2, 1), nil, []uint32{1, 2}, []float64{2. / 3, 1. / 3}},
		{"best groups by one", Gate{Kind: SoftmaxTopK, Experts: 4, K: 2, Groups: 2, TopGroups: 1}, ln(1, 4, 2, 3), nil, []uint32{1, 0}, []float64{0.4, 0.1}},
		{"biased sigmoid", Gate{Kind: SigmoidTopK, Experts: 3, K: 2, Renormalise: true, Scale: 3}, logit(0.5, 0.25, 0.125), []float32{0, 0, 0.5},
			[]uint32{2, 0}, []float64{0.6, 2.4}},
		// Groups: 0.9+0.1 and 0.6+0.5, and so 0.9 is out of the choice.
		{"best groups by two", Gate{Kind: SigmoidTopK, Experts: 4, K: 1, Groups: 2, TopGroups: 1}, logit(0.9, 0.1, 0.6, 0.5), nil, []uint32{2}, []float64{0.6}},
		// First 1 against 1 and 0.985 (0.97 is 0.03 away, beyond 0.02); then 0.985 against 0.985 and 0.97.
		{"sparse mixer", Gate{Kind: SparseMixer, Experts: 4, K: 2, Jitter: 0.01}, []float32{0.97, 1, -5, 0.985}, nil, []uint32{1, 3},
			[]float64{1 / (1 + math.Exp(-0.015)), 1 / (1 + math.Exp(-0.015))}},
		// All negative: -1 and -1.5 are 0.5 apart, within 2 * 0.2 * 1.5.
		{"sparse mixer below 0", Gate{Kind: SparseMixer, Experts: 3, K: 2, Jitter: 0.2}, []float32{-1.5, -1, -4}, nil, []uint32{1, 0},
			[]float64{1 / (1 + math.Exp(-0.5)), 1}},
	} {
		ids, weights := make([]uint32, c.gate.K), make([]float32, c.gate.K)
		TopK(ids, weights, c.scores, c.bias, 1, c.gate)
		if !slices.Equal(ids, c.ids) {
			t.Errorf("%s: experts %v, want %v", c.name, ids, c.ids)
		}
		near(t, c.name, weights, c.weights...)
	}
}

func TestElementwise(t *testing.T) {
	x := []float32{1, 2}
	Combine(x, []float32{10, 20, 100, 200}, []float32{0.5, 2}, 1, 2, 2)
	near(t, "Combine", x, 206, 412)
	Add(x, []float32{1, 1}, 1)
	near(t, "Add", x, 207, 412)
	AddSigmoid(x, []float32{4, 8}, []float32{float32(math.Log(3))}, 1, 2)
	near(t, "AddSigmoid", x, 210, 418)
	Embed(x, []float32{1, 2, 3, 4}, []uint32{1}, 1, 2, 2, 10)
	near(t, "Embed", x, 30, 40)
	Embed(x, []float32{1, 2, 3, 4}, []uint32{2}, 1, 2, 2, 10)
	near(t, "Embed beyond the table", x, 0, 0)
	ids := make([]uint32, 2)
	ArgMax(ids, []float32{1, 3, 3, -2, -5, -2}, 2, 3)
	if !slices.Equal(ids, []uint32{1, 0}) {
		t.Errorf("ArgMax: %v", ids)
	}
	dst := make([]uint32, 6)
	Copy(dst, []uint32{1, 2, 3, 4}, Strided{Rows: 2, Width: 2, SrcStride: 2, DstOffset: 1, DstStride: 3})
	if !slices.Equal(dst, []uint32{0, 1, 2, 0, 3, 4}) {
		t.Errorf("Copy: %v", dst)
	}
}

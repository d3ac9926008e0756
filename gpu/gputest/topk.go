package gputest

import (
	"fmt"
	"math"

	"shoal/gpu"
	"shoal/shaders/ref"
)

var gates = []struct {
	gpu.Gate
	biased bool
}{
	{Gate: gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 1, K: 1}},
	{Gate: gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 128, K: 8, Renormalise: true}},
	{Gate: gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 60, K: 4}},
	{Gate: gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 7, K: 7, Renormalise: true, Scale: 0.5}},
	{Gate: gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 160, K: 6, Groups: 8, TopGroups: 3, Scale: 16}},
	{Gate: gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 13, K: 3, Renormalise: true}, biased: true},
	{Gate: gpu.Gate{Kind: gpu.TopKSoftmax, Experts: 8, K: 2}},
	{Gate: gpu.Gate{Kind: gpu.TopKSoftmax, Experts: 33, K: 4}},
	{Gate: gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 384, K: 8, Renormalise: true, Groups: 1, TopGroups: 1, Scale: 2.827}, biased: true},
	{Gate: gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 256, K: 8, Renormalise: true, Groups: 8, TopGroups: 4, Scale: 2.5}, biased: true},
	{Gate: gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 30, K: 5, Groups: 6, TopGroups: 2}},
	{Gate: gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 5, K: 2, Groups: 5, TopGroups: 3}},
	{Gate: gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 20, K: 3, Renormalise: true}},
	{Gate: gpu.Gate{Kind: gpu.SparseMixer, Experts: 16, K: 2, Jitter: 0.01}},
	{Gate: gpu.Gate{Kind: gpu.SparseMixer, Experts: 3, K: 2, Jitter: 0.3}},
}

func refGate(g gpu.Gate) ref.Gate {
	return ref.Gate{Kind: ref.GateKind(g.Kind), Experts: g.Experts, K: g.K, Renormalise: g.Renormalise,
		Groups: g.Groups, TopGroups: g.TopGroups, Scale: g.Scale, Jitter: g.Jitter}
}

func testTopK(s *suite) {
	for _, c := range gates {
		for _, n := range []int{1, 2, 3, 5, 17} {
			var bias []float32
			if c.biased {
				bias = s.normal(c.Experts)
				for e := range bias {
					bias[e] *= 0.05
				}
			}
			scores := make([]float32, n*c.Experts)
			for i := range n {
				copy(scores[i*c.Experts:], s.scores(c.Gate, bias, i))
			}
			ids, weights := s.topK(c.Gate, scores, bias, n)
			wantIDs, want := make([]uint32, n*c.K), make([]float32, n*c.K)
			ref.TopK(wantIDs, want, scores, bias, n, refGate(c.Gate))
			what := fmt.Sprintf("%+v biased %t n=%d", c.Gate, c.biased, n)
			s.equalIDs(what, ids, wantIDs)
			s.near(what, weights, want, func(i int) float64 {
				return gateBound(c.Gate, scores[i/c.K*c.Experts:][:c.Experts]) * math.Abs(float64(want[i]))
			})
			aloneIDs, alone := s.topK(c.Gate, scores[(n-1)*c.Experts:], bias, 1)
			s.equalIDs(what+": last row alone", aloneIDs, ids[(n-1)*c.K:])
			s.equal(what+": last row alone", alone, weights[(n-1)*c.K:])
		}
	}
}

func (s *suite) topK(g gpu.Gate, scores, bias []float32, n int) ([]uint32, []float32) {
	s.Helper()
	var b gpu.Buffer
	if bias != nil {
		b = s.floats(bias)
	}
	ids, weights, in := s.ids(make([]uint32, n*g.K)), s.output(n*g.K), s.floats(scores)
	gotIDs, got := make([]uint32, n*g.K), make([]float32, n*g.K)
	p := s.dev.Begin()
	p.TopK(ids, weights, in, b, n, g)
	s.must(p.Submit(gpu.Readback{From: ids, IDs: gotIDs}, gpu.Readback{From: weights, Floats: got}))
	s.free()
	return gotIDs, got
}

// scores returns a row whose choice is clear of rounding: sigmoid gates with a bias or groups get candidate values on an uneven
// grid in random order, whose distances, and those of sums of two, are far above float32's error.
func (s *suite) scores(g gpu.Gate, bias []float32, row int) []float32 {
	out := s.normal(g.Experts)
	switch {
	case g.Kind == gpu.SigmoidTopK:
		for e, at := range s.rng.Perm(g.Experts) {
			v := 0.15 + 0.7*math.Pow((float64(at)+0.5)/float64(g.Experts), 1.37)
			if bias != nil {
				v = max(0.01, min(v-float64(bias[e]), 0.99))
			}
			out[e] = float32(math.Log(v / (1 - v)))
		}
	case g.Kind == gpu.SparseMixer:
		for e := range out {
			switch row % 4 {
			case 0: // close to each other: several stay in the softmax
				out[e] = 1 + 0.02*out[e]
			case 1:
				out[e] = -1 + 0.02*out[e]
			case 2:
				out[e] *= 0.01
			}
		}
	default:
		for e := range out {
			out[e] *= 3
		}
	}
	return out
}

// gateBound bounds the relative error of a weight: an exponential over the range of scores (both functions have one) in
// numerator and denominator, the sums, divisions and the scale.
func gateBound(g gpu.Gate, scores []float32) float64 {
	top := 2 * maxAbs(scores)
	return 2*(expError(top)+top*gamma(1)) + gamma(2*g.Experts+2*g.K+20)
}

// testTopKTies: equal candidates go in the order of their numbers.
func testTopKTies(s *suite) {
	for _, c := range []struct {
		gpu.Gate
		scores []float32
		want   []uint32
	}{
		{gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 200, K: 4}, filled(200, 1.5), []uint32{0, 1, 2, 3}},
		{gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 5, K: 3}, []float32{1, 2, 3, 3, 2}, []uint32{2, 3, 1}},
		{gpu.Gate{Kind: gpu.TopKSoftmax, Experts: 6, K: 3}, []float32{-1, 0, -2, 0, 0, -3}, []uint32{1, 3, 4}},
		{gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 384, K: 3}, filled(384, 0), []uint32{0, 1, 2}},
		{gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 6, K: 2, Groups: 3, TopGroups: 1}, filled(6, -4), []uint32{0, 1}},
		{gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 6, K: 2, Groups: 3, TopGroups: 2}, []float32{0, 0, 1, 0, 0, 1}, []uint32{2, 5}},
		{gpu.Gate{Kind: gpu.SparseMixer, Experts: 4, K: 2, Jitter: 0.01}, []float32{1, 2, 2, 2}, []uint32{1, 2}},
		{gpu.Gate{Kind: gpu.SparseMixer, Experts: 4, K: 2, Jitter: 0.01}, filled(4, 0), []uint32{0, 1}},
		// Both sigmoids round to 1 in float32, and the choice is by score.
		{gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 3, K: 2}, []float32{30, 10, 40}, []uint32{2, 0}},
		// Likewise two softmax values that round to 0.
		{gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: 4, K: 3}, []float32{0, -300, -200, -250}, []uint32{0, 2, 3}},
	} {
		ids, weights := s.topK(c.Gate, c.scores, nil, 1)
		s.equalIDs(fmt.Sprintf("%+v", c.Gate), ids, c.want)
		want := make([]float32, c.K)
		ref.TopK(make([]uint32, c.K), want, c.scores, nil, 1, refGate(c.Gate))
		s.near(fmt.Sprintf("%+v", c.Gate), weights, want, rel(want, gateBound(c.Gate, c.scores)))
	}
}

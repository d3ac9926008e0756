package cpu

import (
	"math"

	"shoal/gpu"
)

// TopK implements gpu.Pass.
func (p *pass) TopK(chosen, weights, scores, bias gpu.Buffer, n int, s gpu.Gate) {
	if !p.ok("topk", gpu.CheckTopK(chosen, weights, scores, bias, n, s), chosen, weights, scores, bias) {
		return
	}
	p.record(func() {
		p.dev.pool.split(n, (s.K+20)*s.Experts, func(from, to int) {
			g := newGate(s, floats(bias))
			for i := from; i < to; i++ {
				g.row(ids(chosen)[i*s.K:][:s.K], floats(weights)[i*s.K:][:s.K], floats(scores)[i*s.Experts:][:s.Experts])
			}
		})
	})
}

// gate is the memory for one row's choice. Values are float64, so that they differ where the true ones do.
type gate struct {
	gpu.Gate
	bias   []float32
	values []float64 // what an expert weighs: its softmax or sigmoid
	rank   []float64 // what experts are compared by
	taken  []bool    // not to be chosen
	groups []float64 // what groups are compared by
	closed []bool    // groups that were ranked already
	out    []float64
}

func newGate(s gpu.Gate, bias []float32) *gate {
	g := &gate{Gate: s, bias: bias, values: make([]float64, s.Experts), rank: make([]float64, s.Experts), taken: make([]bool, s.Experts), out: make([]float64, s.K)}
	if s.Groups > 1 {
		g.groups, g.closed = make([]float64, s.Groups), make([]bool, s.Groups)
	}
	return g
}

// row chooses the experts of one token and weighs them; the meaning of each kind is in shaders/ref's TopK.
func (g *gate) row(ids []uint32, weights, scores []float32) {
	clear(g.taken)
	if g.Kind == gpu.SparseMixer {
		g.sparseMixer(ids, scores)
	} else {
		g.valuesOf(scores)
		if g.Groups > 1 {
			g.closeGroups()
		}
		for j := range ids {
			e := g.best(g.rank, g.taken)
			g.taken[e] = true
			ids[j], g.out[j] = uint32(e), g.values[e]
		}
		if g.Kind == gpu.TopKSoftmax {
			softmax(g.out, g.out)
		}
	}
	scale := float64(g.Scale)
	if scale == 0 {
		scale = 1
	}
	if g.Renormalise {
		var sum float64
		for _, v := range g.out {
			sum += v
		}
		scale /= sum
	}
	for j, v := range g.out {
		weights[j] = float32(v * scale)
	}
}

// valuesOf fills values and rank: the raw scores rank where no bias is added.
func (g *gate) valuesOf(scores []float32) {
	for e, v := range scores {
		g.rank[e], g.values[e] = float64(v), float64(v)
	}
	switch g.Kind {
	case gpu.SoftmaxTopK:
		softmax(g.values, g.values)
	case gpu.SigmoidTopK:
		for e, v := range g.values {
			g.values[e] = sigmoid(v)
		}
	}
	for e, b := range g.bias {
		if e < len(g.rank) {
			g.rank[e] = g.values[e] + float64(b)
		}
	}
}

// closeGroups marks the experts of all but the best TopGroups groups as taken.
func (g *gate) closeGroups() {
	size := g.Experts / g.Groups
	for i := range g.groups {
		members := g.rank[i*size:][:size]
		first := g.best(members, nil)
		g.groups[i] = members[first]
		if g.Kind == gpu.SigmoidTopK {
			g.groups[i] = g.biased(i*size + first)
			if size > 1 {
				g.taken[i*size+first] = true
				g.groups[i] += g.biased(i*size + g.best(members, g.taken[i*size:][:size]))
			}
		}
	}
	for e := range g.taken {
		g.taken[e] = true
	}
	clear(g.closed)
	for range g.TopGroups {
		i := g.best(g.groups, g.closed)
		g.closed[i] = true
		clear(g.taken[i*size:][:size])
	}
}

func (g *gate) biased(e int) float64 {
	if g.bias == nil {
		return g.values[e]
	}
	return g.values[e] + float64(g.bias[e])
}

// best returns the lowest index of the largest value that is not taken; NaN is below every number.
func (g *gate) best(values []float64, taken []bool) int {
	best, top := -1, math.Inf(-1)
	for i, v := range values {
		if (taken == nil || !taken[i]) && (best < 0 || v > top) {
			if best = i; v == v {
				top = v
			}
		}
	}
	return best
}

func (g *gate) sparseMixer(ids []uint32, scores []float32) {
	for e, v := range scores {
		g.rank[e] = float64(v)
	}
	for j := range ids {
		e := g.best(g.rank, g.taken)
		m, sum := g.rank[e], 0.0
		for i, v := range g.rank {
			if !g.taken[i] && !(m-v > 2*float64(g.Jitter)*max(math.Abs(v), m)) {
				sum += math.Exp(v - m)
			}
		}
		g.taken[e] = true
		ids[j], g.out[j] = uint32(e), 1/sum
	}
}

// softmax may work in place.
func softmax(dst, x []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, v)
	}
	for i, v := range x {
		dst[i] = math.Exp(v - top)
		sum += dst[i]
	}
	for i := range dst {
		dst[i] /= sum
	}
}

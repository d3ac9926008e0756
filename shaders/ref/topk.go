package ref

import (
	"cmp"
	"math"
	"slices"
)

// GateKind is how router scores become experts and weights. The numbers are those of gpu.GateKind.
type GateKind uint8

// Gate kinds.
const (
	SoftmaxTopK GateKind = iota
	TopKSoftmax
	SigmoidTopK
	SparseMixer
)

// Gate is the shape of [TopK].
type Gate struct {
	Kind        GateKind
	Experts, K  int
	Renormalise bool
	Groups      int
	TopGroups   int
	Scale       float32
	Jitter      float32
}

// TopK chooses s.K of s.Experts experts for each of n rows of scores, best first, and gives each its weight. bias [s.Experts]
// or nil is added for the choice only. ids and weights [n, s.K]. Of equal candidates the lower number is better.
//
//   - SoftmaxTopK: weight = softmax(scores)[e] (Qwen2/3-MoE, OLMoE, DeepSeek-V2 "greedy" and "group_limited_greedy").
//   - TopKSoftmax: weight = softmax over the chosen scores (Mixtral, GPT-OSS).
//   - SigmoidTopK: weight = sigmoid(scores)[e] (DeepSeek-V3 "noaux_tc").
//   - SparseMixer: see [sparseMixer] (Phi-MoE).
//
// The choice is made on softmax or sigmoid plus bias where there is a bias, and on the raw scores where there is none: both
// functions are monotonic, and so no rounding of theirs can change a choice or make a tie.
//
// With Groups > 1 only experts of the best TopGroups of Groups equal ranges are candidates. A range ranks by the sum of its two
// best candidates' sigmoid plus bias (SigmoidTopK) or by its best candidate (SoftmaxTopK). Renormalise divides the weights by
// their sum; then they are multiplied by Scale (0: 1).
func TopK(ids []uint32, weights, scores, bias []float32, n int, s Gate) {
	for i := range n {
		row, w := scores[i*s.Experts:][:s.Experts], weights[i*s.K:][:s.K]
		var chosen []int
		var gates []float64
		switch s.Kind {
		case SparseMixer:
			chosen, gates = sparseMixer(row, float64(s.Jitter))
		default:
			chosen, gates = choose(row, bias, s)
		}
		scale := 1.0
		if s.Scale != 0 {
			scale = float64(s.Scale)
		}
		if s.Renormalise {
			var sum float64
			for _, g := range gates {
				sum += g
			}
			scale /= sum
		}
		for j, e := range chosen {
			ids[i*s.K+j], w[j] = uint32(e), float32(gates[j]*scale)
		}
	}
}

// choose returns the experts and their weights before renormalisation, for all kinds but SparseMixer.
func choose(row, bias []float32, s Gate) ([]int, []float64) {
	all := make([]int, s.Experts)
	scores := make([]float64, s.Experts)
	for e := range all {
		all[e], scores[e] = e, float64(row[e])
	}
	gates := scores
	switch s.Kind {
	case SoftmaxTopK:
		gates = softmax(scores)
	case SigmoidTopK:
		gates = make([]float64, s.Experts)
		for e, v := range scores {
			gates[e] = sigmoid(v)
		}
	}
	rank := slices.Clone(scores)
	if bias != nil {
		for e := range rank {
			rank[e] = gates[e] + float64(bias[e])
		}
	}
	if s.Groups > 1 {
		all = inBestGroups(rank, gates, bias, s)
	}
	chosen := best(all, rank, s.K)
	out := make([]float64, s.K)
	for j, e := range chosen {
		out[j] = gates[e]
	}
	if s.Kind == TopKSoftmax {
		out = softmax(out)
	}
	return chosen, out
}

// inBestGroups returns the experts of the best s.TopGroups of s.Groups ranges, in order of their number.
func inBestGroups(rank, gates []float64, bias []float32, s Gate) []int {
	size := s.Experts / s.Groups
	groups, value := make([]int, s.Groups), make([]float64, s.Groups)
	for g := range groups {
		groups[g] = g
		members := make([]int, size)
		for m := range members {
			members[m] = g*size + m
		}
		top := best(members, rank, min(2, size))
		value[g] = rank[top[0]]
		if s.Kind == SigmoidTopK {
			value[g] = 0
			for _, e := range top {
				value[g] += gates[e]
				if bias != nil {
					value[g] += float64(bias[e])
				}
			}
		}
	}
	var experts []int
	for _, g := range best(groups, value, s.TopGroups) {
		for m := range size {
			experts = append(experts, g*size+m)
		}
	}
	slices.Sort(experts)
	return experts
}

// best returns the k of candidates with the largest value, best first; the earlier candidate wins a tie.
func best(candidates []int, value []float64, k int) []int {
	sorted := slices.Clone(candidates)
	slices.SortStableFunc(sorted, func(a, b int) int { return cmp.Compare(value[b], value[a]) })
	return sorted[:k]
}

func softmax(x []float64) []float64 {
	out, top, sum := make([]float64, len(x)), slices.Max(x), 0.0
	for i, v := range x {
		out[i] = math.Exp(v - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// sparseMixer is Phi-MoE's top-2 gate at inference (Liu et al. 2023, "Sparse Backpropagation for MoE Training"; transformers'
// modeling_phimoe.py). Twice: take the largest score m among the experts left, with its expert e; leave out of a softmax over
// the experts left every i with m - s_i > 2 * jitter * max(|s_i|, m); e's weight is its probability. The second round has e of
// the first left out. The weights do not sum to 1.
//
// The condition is written as a product where the source divides by max(|s_i|, m): the two differ only in rounding, and the
// product is false, as the division's NaN is, where all scores are 0.
func sparseMixer(row []float32, jitter float64) ([]int, []float64) {
	chosen, gates := make([]int, 0, 2), make([]float64, 0, 2)
	for range 2 {
		top := -1
		for e, v := range row {
			if !slices.Contains(chosen, e) && (top < 0 || v > row[top]) {
				top = e
			}
		}
		m, sum := float64(row[top]), 0.0
		for e, v := range row {
			s := float64(v)
			if slices.Contains(chosen, e) || m-s > 2*jitter*max(math.Abs(s), m) {
				continue
			}
			sum += math.Exp(s - m)
		}
		chosen, gates = append(chosen, top), append(gates, 1/sum)
	}
	return chosen, gates
}

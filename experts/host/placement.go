package host

import (
	"cmp"
	"slices"

	"shoal/experts"
)

// Placement is what the choice of experts for a joining node depends on.
type Placement struct {
	Layers   []int // the layers that have routed experts
	Experts  int   // experts per layer
	Capacity int   // how many experts the node has memory for: its budget divided by [Host.ExpertBytes]
	// Others says what each of the other nodes holds.
	Others []experts.Holdings
	// Only restricts the choice; nil allows everything.
	Only experts.Holdings
}

// Choose returns the experts that a joining node should hold.
//
// The least replicated come first: no expert is held n+1 times while memory is left and another is held n times, because one
// missing expert stops every token. Among equally replicated experts whole layers come first, because a layer on one peer
// costs a coordinator one message; then the gaps of other layers, the smallest gap first, so that layers get complete.
// Ties go to the lower layer and expert number.
func Choose(p Placement) experts.Holdings {
	replicas := p.replicas()
	chosen := experts.Holdings{}
	left := p.Capacity
	take := func(layer int, group []int) {
		for _, e := range group[:min(len(group), left)] {
			chosen[layer] = chosen[layer].With(e)
			delete(replicas[layer], e)
			left--
		}
	}
	for left > 0 {
		groups := rarest(replicas)
		if len(groups) == 0 {
			break
		}
		for i, g := range groups {
			if g.whole && len(g.experts) <= left {
				take(g.layer, g.experts)
				groups[i].experts = nil
			}
		}
		slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(len(a.experts), len(b.experts)) })
		for _, g := range groups {
			take(g.layer, g.experts)
		}
	}
	return chosen
}

// group is the experts of one layer that share a number of replicas.
type group struct {
	layer   int
	experts []int // ascending
	whole   bool  // they are all that may be chosen of the layer
}

// rarest returns the experts with the fewest replicas, by layer.
func rarest(replicas map[int]map[int]int) []group {
	fewest := -1
	for _, layer := range replicas {
		for _, n := range layer {
			if fewest < 0 || n < fewest {
				fewest = n
			}
		}
	}
	var out []group
	for layer, counts := range replicas {
		g := group{layer: layer}
		for e, n := range counts {
			if n == fewest {
				g.experts = append(g.experts, e)
			}
		}
		if len(g.experts) > 0 {
			slices.Sort(g.experts)
			g.whole = len(g.experts) == len(counts)
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b group) int { return cmp.Compare(a.layer, b.layer) })
	return out
}

// replicas counts how often others hold each expert that may be chosen: layer -> expert -> count.
func (p Placement) replicas() map[int]map[int]int {
	out := map[int]map[int]int{}
	for _, layer := range p.Layers {
		out[layer] = map[int]int{}
		for e := range p.Experts {
			if p.Only != nil && !p.Only[layer].Has(e) {
				continue
			}
			n := 0
			for _, o := range p.Others {
				if o[layer].Has(e) {
					n++
				}
			}
			out[layer][e] = n
		}
	}
	return out
}

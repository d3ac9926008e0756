package experts

import (
	"math/bits"
	"slices"

	"shoal/rdrr"
)

// Set is a set of expert numbers of one layer, as a bitmap: expert e is bit e%64 of word e/64.
type Set []uint64

// SetOf returns the set of the given experts.
func SetOf(experts ...int) Set {
	var s Set
	for _, e := range experts {
		s = s.With(e)
	}
	return s
}

// With returns the set with expert e added; it may share memory with s.
func (s Set) With(e int) Set {
	for len(s) <= e/64 {
		s = append(s, 0)
	}
	s[e/64] |= 1 << (e % 64)
	return s
}

// Has reports whether e is in the set.
func (s Set) Has(e int) bool { return e >= 0 && e/64 < len(s) && s[e/64]&(1<<(e%64)) != 0 }

// Len is the number of experts in the set.
func (s Set) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Experts lists the set in ascending order.
func (s Set) Experts() []int {
	out := make([]int, 0, s.Len())
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			out = append(out, i*64+bits.TrailingZeros64(w))
		}
	}
	return out
}

// Holdings says which experts of which layers somebody holds.
type Holdings map[int]Set // layer -> experts

// Layers lists the layers with at least one expert, ascending.
func (h Holdings) Layers() []int {
	out := make([]int, 0, len(h))
	for l, s := range h {
		if s.Len() > 0 {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// Count is the number of experts over all layers.
func (h Holdings) Count() int {
	n := 0
	for _, s := range h {
		n += s.Len()
	}
	return n
}

// Holder is somebody who can run experts of a model: a peer of the swarm or this process.
type Holder struct {
	Peer   string // peer id, "" for this process
	Holds  Holdings
	Runner Runner
}

// Uncovered lists the experts of a model that none of the holders has; empty if there is a holder for each.
func Uncovered(moe rdrr.MoE, holders []Holder) Holdings {
	missing := Holdings{}
	for _, layer := range moe.Layers {
		for e := range moe.Experts {
			if !slices.ContainsFunc(holders, func(h Holder) bool { return h.Holds[layer].Has(e) }) {
				missing[layer] = missing[layer].With(e)
			}
		}
	}
	return missing
}

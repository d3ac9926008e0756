package model

import (
	"fmt"
	"math"

	"shoal/gpu"
)

func inverseSqrt(x float64) float32 { return float32(1 / math.Sqrt(x)) }

// check reports what does not fit together in a spec whose single fields are in bounds.
func (s *Spec) check() []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	bank := 0
	for l, layer := range s.Layers {
		if a := layer.GQA; a != nil {
			if a.Heads%a.KVHeads != 0 {
				fail("layer %d: %d attention heads cannot share %d key-value heads evenly", l, a.Heads, a.KVHeads)
			}
			if s.Ropes[a.Rope].Dim > a.HeadDim {
				fail("layer %d: %d rotated elements in a head of %d", l, s.Ropes[a.Rope].Dim, a.HeadDim)
			}
		}
		if a := layer.MLA; a != nil && a.RopeDim%2 != 0 {
			fail("layer %d: qk_rope_head_dim %d is odd", l, a.RopeDim)
		}
		if m := layer.MoE; m != nil {
			bank += m.Experts
			errs = append(errs, m.check(l)...)
			if layer.Sandwich {
				fail("layer %d: routed experts between norms are not supported", l)
			}
		}
		if len(errs) > 0 {
			return errs // the layers of a model are alike: one complaint says it
		}
	}
	if bank > maxBank {
		fail("%d experts over all layers: the bound is %d", bank, maxBank)
	}
	return errs
}

func (m *MoE) check(layer int) []error {
	var errs []error
	fail := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("layer %d: "+format, append([]any{layer}, args...)...))
	}
	if m.TopK > m.Experts {
		fail("%d experts per token of %d experts", m.TopK, m.Experts)
	}
	g := m.Gate
	if g.Kind == gpu.SparseMixer && g.K != 2 {
		fail("the sparse mixer gate chooses 2 experts per token, not %d", g.K)
	}
	if g.Groups > 1 {
		switch {
		case m.Experts%g.Groups != 0:
			fail("%d experts do not form %d equal groups", m.Experts, g.Groups)
		case g.TopGroups < 1 || g.TopGroups > g.Groups:
			fail("topk_group is %d of %d groups", g.TopGroups, g.Groups)
		case g.TopGroups*(m.Experts/g.Groups) < m.TopK:
			fail("%d experts per token of %d groups with %d experts each", m.TopK, g.TopGroups, m.Experts/g.Groups)
		case g.Kind == gpu.SigmoidTopK && m.Experts/g.Groups < 2:
			fail("groups of %d experts: a group is ranked by its two best", m.Experts/g.Groups)
		}
	}
	return errs
}

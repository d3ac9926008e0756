package model

import (
	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// Figures are sizes computed from a spec.
type Figures struct {
	Parameters int64 // weights of the whole model
	// Active are the weights that one token passes through: all but the routed experts that are not chosen.
	Active int64
	// Experts are the weights of all routed experts, Trunk those of everything else.
	Experts, Trunk int64
	// CacheBytes is what one position of one sequence takes in the KV cache, as [Sequence] keeps it (float32).
	CacheBytes int64
}

// Figures counts the model's weights and its cache.
func (s *Spec) Figures() Figures {
	var f Figures
	for _, t := range s.Tensors() {
		n := elements(t)
		f.Parameters += n
		if t.Expert < 0 {
			f.Trunk += n
			f.Active += n
			continue
		}
		f.Experts += n
		if t.Expert < s.Layers[t.Layer].MoE.TopK { // all experts of a layer are of one size: count the first K
			f.Active += n
		}
	}
	f.CacheBytes = s.CacheBytes(1)
	return f
}

func elements(t rdrr.TensorSpec) int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// CacheBytes is what a sequence of that many positions takes in the KV cache, over all layers.
func (s *Spec) CacheBytes(positions int) int64 {
	width := 0
	for l := range s.Layers {
		keys, values := s.Layers[l].cacheWidths()
		width += keys + values
	}
	return 4 * int64(width) * int64(positions)
}

// cacheWidths are the elements per position of a layer's key and value caches. Latent attention reads both from one.
func (l *Layer) cacheWidths() (keys, values int) {
	if l.MLA != nil {
		return l.MLA.CacheWidth(), 0
	}
	w := l.GQA.KVHeads * l.GQA.HeadDim
	return w, w
}

// WeightBytes is the stored size of the model's weights, and of those that one token passes through, when each tensor has
// the format that typeOf gives it. The embedding counts as active with one row, unless it is also the head.
func (s *Spec) WeightBytes(typeOf func(rdrr.TensorSpec) quant.Type) (total, active int64) {
	for _, t := range s.Tensors() {
		cols := t.Shape[len(t.Shape)-1]
		row := int64(typeOf(t).RowBytes(cols))
		n := elements(t) / int64(cols) * row
		total += n
		switch {
		case t.Name == embedName && !s.TiedHead:
			active += row
		case t.Expert < 0 || t.Expert < s.Layers[t.Layer].MoE.TopK:
			active += n
		}
	}
	return total, active
}

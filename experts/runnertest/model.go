package runnertest

import (
	"fmt"

	"shoal/experts"
	"shoal/rdrr"
)

// FromModel returns a reference that decodes an artifact's experts as it needs them.
func FromModel(m *rdrr.Model, holds experts.Holdings) (*Reference, error) {
	moe := m.MoE()
	if moe == nil {
		return nil, fmt.Errorf("model %s has no routed experts", m.Digest().Short())
	}
	return &Reference{Digest: m.Digest(), MoE: *moe, Holds: holds, Weights: func(layer, expert int) (Weights, error) {
		e, err := m.Expert(layer, expert)
		if err != nil {
			return Weights{}, err
		}
		var w Weights
		for _, part := range []struct {
			dst *[]float32
			src *rdrr.Tensor
		}{{&w.Gate, e.Gate}, {&w.Up, e.Up}, {&w.Down, e.Down}, {&w.GateBias, e.GateBias}, {&w.UpBias, e.UpBias}, {&w.DownBias, e.DownBias}} {
			if part.src == nil {
				continue
			}
			if *part.dst, err = part.src.Floats(); err != nil {
				return Weights{}, err
			}
		}
		return w, nil
	}}, nil
}

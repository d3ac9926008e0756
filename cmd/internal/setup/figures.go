package setup

import (
	"shoal/model"
	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// WeightBytes is the stored size of an artifact's weights, and of those that one token passes through.
func WeightBytes(m *rdrr.Model, spec *model.Spec) (total, active int64) {
	return spec.WeightBytes(func(t rdrr.TensorSpec) quant.Type {
		if entry, ok := m.Manifest().Tensor(t.Name); ok {
			return entry.Type
		}
		return quant.F32
	})
}

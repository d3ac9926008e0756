package convert

import (
	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// Uniform returns the format for a tensor of a model whose matrices are all to be stored as t: by the padding rule, and for what
// stays a plain float as otherwise.
func Uniform(spec rdrr.TensorSpec, t, otherwise quant.Type) quant.Type {
	if !quantisable(spec) {
		return otherwise
	}
	return fit(t, spec.Shape[len(spec.Shape)-1])
}

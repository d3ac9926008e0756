package convert

import (
	"fmt"
	"strings"

	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// Scheme says in which formats the weights are stored. docs/rdrr-format.md states the rules below.
type Scheme string

// The schemes.
const (
	None Scheme = "none"   // as the checkpoint stores them
	F16  Scheme = "f16"    // matrices in F16
	Q8_0 Scheme = "q8_0"   // matrices in Q8_0
	Q4KM Scheme = "q4_k_m" // matrices in Q4_K, the most sensitive ones in Q6_K
)

// ParseScheme reads the name of a scheme.
func ParseScheme(s string) (Scheme, error) {
	for _, k := range []Scheme{None, F16, Q8_0, Q4KM} {
		if Scheme(strings.ToLower(s)) == k {
			return k, nil
		}
	}
	return "", fmt.Errorf("unknown quantisation %q, want q4_k_m, q8_0, f16 or none", s)
}

// Plan assigns a format to every tensor of a model.
type Plan struct {
	Scheme Scheme
	Layers int  // number of layers
	Tied   bool // the embedding is the head too
}

// NewPlan returns the plan of a scheme for a model of these tensors.
func NewPlan(s Scheme, specs []rdrr.TensorSpec) Plan {
	p := Plan{Scheme: s, Tied: true}
	for _, t := range specs {
		p.Layers = max(p.Layers, t.Layer+1)
		if t.Role == rdrr.RoleHead {
			p.Tied = false
		}
	}
	return p
}

// Type returns the format for a tensor that the checkpoint stores as stored. Norms, routers, vectors and everything that is no
// matrix stay plain floats.
func (p Plan) Type(spec rdrr.TensorSpec, stored quant.Type) quant.Type {
	if !quantisable(spec) {
		if stored.BlockSize() > 1 {
			return quant.F32
		}
		return stored
	}
	cols := spec.Shape[len(spec.Shape)-1]
	switch p.Scheme {
	case F16:
		return quant.F16
	case Q8_0:
		return fit(quant.Q8_0, cols)
	case Q4KM:
		if p.sensitive(spec) {
			return fit(quant.Q6_K, cols)
		}
		return fit(quant.Q4_K, cols)
	}
	return stored
}

func quantisable(spec rdrr.TensorSpec) bool {
	switch spec.Role {
	case rdrr.RoleMatrix, rdrr.RoleExpert, rdrr.RoleEmbedding, rdrr.RoleHead:
		return len(spec.Shape) >= 2 && rdrr.RoleOf(spec.Name) != rdrr.RoleRouter
	}
	return false
}

// sensitive tells which matrices of the q4_k_m mix get Q6_K: the head (or the embedding that serves as one), and, in half of
// the layers, the down projections and what makes the attention's values.
func (p Plan) sensitive(spec rdrr.TensorSpec) bool {
	switch spec.Role {
	case rdrr.RoleHead:
		return true
	case rdrr.RoleEmbedding:
		return p.Tied
	}
	for _, name := range []string{".down_proj.weight", ".v_proj.weight", ".kv_b_proj.weight"} {
		if strings.HasSuffix(spec.Name, name) {
			return p.sensitiveLayer(spec.Layer)
		}
	}
	return false
}

// sensitiveLayer picks the first and last eighth of the layers and every third between: errors made early pass through every
// later layer, errors made late are corrected by none. llama.cpp's mix of the same name chooses the same layers.
func (p Plan) sensitiveLayer(layer int) bool {
	eighth := p.Layers / 8
	return layer < eighth || layer >= 7*p.Layers/8 || (layer-eighth)%3 == 2
}

// fit returns t where rows of cols weights suit its blocks, and the next format down in block size where padding the last
// block would make the row over an eighth longer.
func fit(t quant.Type, cols int) quant.Type {
	if pads(t, cols) {
		return t
	}
	if pads(quant.Q8_0, cols) {
		return quant.Q8_0
	}
	return quant.F16
}

func pads(t quant.Type, cols int) bool {
	block := t.BlockSize()
	padded := (cols + block - 1) / block * block
	return padded-cols <= cols/8
}

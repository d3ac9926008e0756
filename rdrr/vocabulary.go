package rdrr

import (
	"encoding/hex"
	"fmt"
)

// Digest identifies an artifact: the SHA-256 of what its manifest says of configuration, shards and tensors. Two artifacts
// with the same digest hold the same weights in the same formats, so a digest is the model's name on the network.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short is the first 12 hex digits, for people.
func (d Digest) Short() string { return d.String()[:12] }

// ParseDigest reads the 64 hex digits that [Digest.String] writes.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, fmt.Errorf("model digest %q: want 64 hex digits", s)
	}
	copy(d[:], b)
	return d, nil
}

// Role is what a tensor is for. It decides how the tensor may be stored: see docs/rdrr-format.md.
type Role string

// Roles. Only Matrix, Expert, Embedding and Head tensors are ever quantised.
const (
	RoleEmbedding Role = "embedding"
	RoleHead      Role = "lm_head"
	RoleNorm      Role = "norm"
	RoleRouter    Role = "router"
	RoleMatrix    Role = "matmul" // attention, dense FFN and shared-expert projections
	RoleExpert    Role = "expert"
	RoleVector    Role = "vector" // biases, attention sinks
)

// TensorSpec is what an architecture expects of one tensor, under its canonical name (docs/rdrr-format.md, section on names).
type TensorSpec struct {
	Name     string
	Shape    []int // outermost first; a weight matrix is [rows, cols] = [outputs, inputs]
	Role     Role
	Layer    int // -1 outside the layers
	Expert   int // -1 where the tensor belongs to no routed expert
	Optional bool
}

// MoE is what a node needs to know to run a model's routed experts without knowing the architecture.
// It is the manifest's moeConfig.
type MoE struct {
	Layers       []int  `json:"layers"` // the layers that have routed experts, ascending
	Experts      int    `json:"numExperts"`
	TopK         int    `json:"numExpertsPerToken"`
	Hidden       int    `json:"hiddenSize"`
	Intermediate int    `json:"expertIntermediateSize"`
	Activation   string `json:"activation"` // "silu", "gelu_tanh" or "swiglu_oai"
	Bias         bool   `json:"bias"`       // gate, up and down have biases
}

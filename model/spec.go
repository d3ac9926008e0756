package model

import (
	"shoal/gpu"
	"shoal/rdrr"
)

// Spec is an architecture described by data: what [Parse] makes of a config.json.
type Spec struct {
	Family       string // model_type, e.g. "qwen3_moe"
	Hidden       int    // width of the residual stream
	Vocab        int
	MaxPositions int
	Layers       []Layer
	FinalNorm    Norm
	// EmbeddingScale multiplies the embedding rows.
	EmbeddingScale float32
	TiedHead       bool    // the head is the embedding table
	HeadBias       bool    // the head has a bias
	LogitCap       float32 // > 0: logits become cap * tanh(logit / cap)
	Ropes          []Rope  // position encodings; layers refer to them by index
	BOS            int     // -1 if the config names none
	EOS            []int   // tokens that end a text, as config.json has them; generation_config.json may name more
	// Warnings are fields of the config that were not understood and cannot change the result.
	Warnings []string
}

// Layer is one transformer block: x += attention(norm(x)), x += ffn(norm(x)).
type Layer struct {
	Norm Norm
	// Sandwich adds a norm after attention and after the FFN, before their results join the residual stream (Gemma).
	Sandwich bool
	GQA      *GQA // exactly one of GQA and MLA is set
	MLA      *MLA
	Dense    *Dense // exactly one of Dense and MoE is set
	MoE      *MoE
}

// Norm is a normalisation over the width of its weight.
type Norm struct {
	Eps     float32
	Centred bool // LayerNorm with bias; otherwise RMSNorm
	PlusOne bool // the stored weight is w - 1 (Gemma); folded when weights are loaded
}

// QKNorm says over what queries and keys are normalised before the rotation.
type QKNorm uint8

// QKNorm values.
const (
	NoQKNorm    QKNorm = iota
	PerHead            // RMSNorm over each head, weight [head dim]
	AcrossHeads        // RMSNorm over all heads together, weight [heads * head dim] (OLMoE)
)

// GQA is grouped-query attention (Ainslie et al. 2023): Heads / KVHeads query heads share a key and a value head.
type GQA struct {
	Heads, KVHeads, HeadDim int
	QKNorm                  QKNorm
	QKNormEps               float32
	QKNormPlusOne           bool
	QKVBias, OutBias        bool
	Sinks                   bool // a learned logit per head joins the softmax's denominator
	Window                  int  // > 0: a position sees itself and Window-1 before it
	Rope                    int  // index into Spec.Ropes
	Scale                   float32
	SoftCap                 float32
}

// MLA is multi-head latent attention (DeepSeek-V2, 2024): keys and values of all heads are projections of one latent vector
// of KVRank elements per position, and RopeDim more elements, shared by the heads, carry the position.
type MLA struct {
	Heads            int
	QRank            int // 0: queries are projected from the hidden state directly
	KVRank           int
	NopeDim, RopeDim int // elements of a query or key head without and with rotation
	ValueDim         int
	LatentEps        float32 // of the norms of the latents
	Bias             bool    // on q_a_proj, kv_a_proj_with_mqa and o_proj
	Rope             int
	Scale            float32
}

// CacheWidth is the number of elements cached per position.
func (a MLA) CacheWidth() int { return a.KVRank + a.RopeDim }

// Dense is a gated FFN.
type Dense struct {
	Intermediate int
	Activation   gpu.Activation
}

// MoE is a layer's bank of routed experts with its gate.
type MoE struct {
	Experts, TopK int
	Intermediate  int
	Activation    gpu.Activation
	Gate          gpu.Gate
	RouterBias    bool // the router's linear map has a bias
	SelectionBias bool // a bias that decides the choice, not the weights (e_score_correction_bias)
	ExpertBias    bool // the experts' gate, up and down have biases
	Shared        *Shared
}

// Shared is the expert that every token passes through, computed with the trunk.
type Shared struct {
	Dense
	Gated bool // its output is multiplied by sigmoid(shared_expert_gate . h) (Qwen2-MoE)
}

// MoE describes the routed experts for a node, nil for a dense model.
func (s *Spec) MoE() *rdrr.MoE {
	var out *rdrr.MoE
	for l, layer := range s.Layers {
		m := layer.MoE
		if m == nil {
			continue
		}
		if out == nil {
			out = &rdrr.MoE{
				Experts: m.Experts, TopK: m.TopK, Hidden: s.Hidden, Intermediate: m.Intermediate,
				Activation: activationNames[m.Activation], Bias: m.ExpertBias,
			}
		}
		out.Layers = append(out.Layers, l)
	}
	return out
}

// activationNames are the names that a manifest uses.
var activationNames = map[gpu.Activation]string{
	gpu.SiLU: "silu", gpu.GELUTanh: "gelu_tanh", gpu.SwiGLUOAI: "swiglu_oai",
}

package model

import (
	"fmt"

	"shoal/rdrr"
)

// Canonical tensor names, see docs/rdrr-format.md.
const (
	embedName = "model.embed_tokens.weight"
	finalName = "model.norm"
	headName  = "lm_head"
)

func layerName(layer int, rest string) string { return fmt.Sprintf("model.layers.%d.%s", layer, rest) }

// Tensors lists every tensor that the architecture has, in the order in which a token meets them, routed experts included.
func (s *Spec) Tensors() []rdrr.TensorSpec {
	var t tensorList
	t.add(embedName, s.Vocab, s.Hidden)
	for l := range s.Layers {
		t.layer(l, &s.Layers[l], s.Hidden)
	}
	t.norm(finalName, s.FinalNorm, s.Hidden)
	if !s.TiedHead {
		t.add(headName+".weight", s.Vocab, s.Hidden)
	}
	if s.HeadBias {
		t.add(headName+".bias", s.Vocab)
	}
	return t
}

type tensorList []rdrr.TensorSpec

func (t *tensorList) add(name string, shape ...int) {
	spec := rdrr.TensorSpec{Name: name, Shape: shape, Role: rdrr.RoleOf(name), Layer: rdrr.LayerOf(name), Expert: -1}
	if _, expert, _, ok := rdrr.SplitExpertName(name); ok {
		spec.Expert = expert
	}
	*t = append(*t, spec)
}

func (t *tensorList) norm(name string, n Norm, width int) {
	t.add(name+".weight", width)
	if n.Centred {
		t.add(name+".bias", width)
	}
}

// linear adds a weight matrix [rows, cols] and, if the layer has one, its bias [rows].
func (t *tensorList) linear(name string, rows, cols int, bias bool) {
	t.add(name+".weight", rows, cols)
	if bias {
		t.add(name+".bias", rows)
	}
}

func (t *tensorList) layer(l int, layer *Layer, hidden int) {
	at := func(rest string) string { return layerName(l, rest) }
	t.norm(at("input_layernorm"), layer.Norm, hidden)
	if layer.GQA != nil {
		t.gqa(at, layer.GQA, hidden)
	} else {
		t.mla(at, layer.MLA, hidden)
	}
	t.norm(at("post_attention_layernorm"), layer.Norm, hidden)
	if layer.Sandwich {
		t.norm(at("pre_feedforward_layernorm"), layer.Norm, hidden)
		t.norm(at("post_feedforward_layernorm"), layer.Norm, hidden)
	}
	if layer.Dense != nil {
		t.dense(at("mlp."), *layer.Dense, hidden)
	} else {
		t.moe(l, layer.MoE, hidden)
	}
}

func (t *tensorList) gqa(at func(string) string, a *GQA, hidden int) {
	q, kv := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	t.linear(at("self_attn.q_proj"), q, hidden, a.QKVBias)
	t.linear(at("self_attn.k_proj"), kv, hidden, a.QKVBias)
	t.linear(at("self_attn.v_proj"), kv, hidden, a.QKVBias)
	t.linear(at("self_attn.o_proj"), hidden, q, a.OutBias)
	switch a.QKNorm {
	case PerHead:
		t.add(at("self_attn.q_norm.weight"), a.HeadDim)
		t.add(at("self_attn.k_norm.weight"), a.HeadDim)
	case AcrossHeads:
		t.add(at("self_attn.q_norm.weight"), q)
		t.add(at("self_attn.k_norm.weight"), kv)
	}
	if a.Sinks {
		t.add(at("self_attn.sinks"), a.Heads)
	}
}

func (t *tensorList) mla(at func(string) string, a *MLA, hidden int) {
	q := a.Heads * (a.NopeDim + a.RopeDim)
	if a.QRank == 0 {
		t.linear(at("self_attn.q_proj"), q, hidden, false)
	} else {
		t.linear(at("self_attn.q_a_proj"), a.QRank, hidden, a.Bias)
		t.add(at("self_attn.q_a_layernorm.weight"), a.QRank)
		t.linear(at("self_attn.q_b_proj"), q, a.QRank, false)
	}
	t.linear(at("self_attn.kv_a_proj_with_mqa"), a.CacheWidth(), hidden, a.Bias)
	t.add(at("self_attn.kv_a_layernorm.weight"), a.KVRank)
	t.linear(at("self_attn.kv_b_proj"), a.Heads*(a.NopeDim+a.ValueDim), a.KVRank, false)
	t.linear(at("self_attn.o_proj"), hidden, a.Heads*a.ValueDim, a.Bias)
}

func (t *tensorList) dense(prefix string, d Dense, hidden int) {
	t.linear(prefix+"gate_proj", d.Intermediate, hidden, false)
	t.linear(prefix+"up_proj", d.Intermediate, hidden, false)
	t.linear(prefix+"down_proj", hidden, d.Intermediate, false)
}

func (t *tensorList) moe(l int, m *MoE, hidden int) {
	t.linear(layerName(l, "mlp.gate"), m.Experts, hidden, m.RouterBias)
	if m.SelectionBias {
		t.add(layerName(l, "mlp.gate.e_score_correction_bias"), m.Experts)
	}
	if m.Shared != nil {
		t.dense(layerName(l, "mlp.shared_expert."), m.Shared.Dense, hidden)
		if m.Shared.Gated {
			t.add(layerName(l, "mlp.shared_expert_gate.weight"), 1, hidden)
		}
	}
	for e := range m.Experts {
		t.add(rdrr.ExpertTensor(l, e, rdrr.GateWeight), m.Intermediate, hidden)
		t.add(rdrr.ExpertTensor(l, e, rdrr.UpWeight), m.Intermediate, hidden)
		t.add(rdrr.ExpertTensor(l, e, rdrr.DownWeight), hidden, m.Intermediate)
		if m.ExpertBias {
			t.add(rdrr.ExpertTensor(l, e, rdrr.GateBias), m.Intermediate)
			t.add(rdrr.ExpertTensor(l, e, rdrr.UpBias), m.Intermediate)
			t.add(rdrr.ExpertTensor(l, e, rdrr.DownBias), hidden)
		}
	}
}

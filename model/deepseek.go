package model

import "shoal/gpu"

// deepseekV3 is DeepSeek-V3, R1 and Kimi K2: latent attention, dense layers first, then routed experts behind a sigmoid gate
// whose choice, but not its weights, is shifted by a learned bias, and a shared expert.
func deepseekV3(f *fields) *Spec {
	s := f.decoder(false)
	f.only("scoring_func", "sigmoid")
	f.only("topk_method", "noaux_tc")
	moe := f.deepseekExperts()
	moe.SelectionBias = true
	moe.Gate.Kind = gpu.SigmoidTopK
	moe.Gate.Renormalise = f.bool("norm_topk_prob", true)
	return f.deepseek(s, moe, f.bool("rope_interleave", true))
}

// deepseekV2 is DeepSeek-V2 and V2-Lite: latent attention, and experts behind a softmax gate, within the best groups if
// topk_method says so. Its rotation is always of neighbouring pairs.
func deepseekV2(f *fields) *Spec {
	s := f.decoder(false)
	f.only("scoring_func", "softmax")
	f.only("topk_method", "greedy", "group_limited_greedy")
	f.absent("norm_topk_prob", "mlp_bias")
	moe := f.deepseekExperts()
	moe.Gate.Kind = gpu.SoftmaxTopK
	if f.string("topk_method", "greedy") == "greedy" {
		moe.Gate.Groups, moe.Gate.TopGroups = 0, 0
	}
	return f.deepseek(s, moe, true)
}

func (f *fields) deepseek(s *Spec, moe *MoE, interleaved bool) *Spec {
	norm, attention := f.rms(1e-6), f.mla(s, interleaved)
	ffn := f.dense()
	dense := f.whole("first_k_dense_replace", 0, maxLayers)
	f.only("moe_layer_freq", 1)
	for l := range s.Layers {
		s.Layers[l] = Layer{Norm: norm, MLA: attention}
		if l < dense {
			s.Layers[l].Dense = ffn
		} else {
			s.Layers[l].MoE = moe
		}
	}
	s.FinalNorm = norm
	return s
}

func (f *fields) mla(s *Spec, interleaved bool) *MLA {
	a := &MLA{
		Heads:     f.size("num_attention_heads", 0, maxHeads),
		QRank:     f.whole("q_lora_rank", 0, maxHidden),
		KVRank:    f.size("kv_lora_rank", 0, maxHidden),
		NopeDim:   f.size("qk_nope_head_dim", 0, maxHeadDim),
		RopeDim:   f.size("qk_rope_head_dim", 0, maxHeadDim),
		ValueDim:  f.size("v_head_dim", 0, maxHeadDim),
		LatentEps: 1e-6, // the programs that define these models do not take it from rms_norm_eps
		Bias:      f.bool("attention_bias", false),
	}
	if kv := f.size("num_key_value_heads", a.Heads, maxHeads); kv != a.Heads {
		f.fail("num_key_value_heads is %d: latent attention wants as many as num_attention_heads, %d", kv, a.Heads)
	}
	f.whole("head_dim", 0, maxHeadDim)
	f.whole("qk_head_dim", 0, maxHeadDim)
	rope := f.rope(10000, a.RopeDim, interleaved)
	s.Ropes = []Rope{rope}
	a.Scale = inverseSqrt(float64(a.NopeDim + a.RopeDim))
	if rope.MScaleAllDim != 0 && rope.Kind == "yarn" {
		temperature := yarnScale(rope.Factor, rope.MScaleAllDim)
		a.Scale *= float32(temperature * temperature)
	}
	return a
}

// deepseekExperts reads the expert bank of the DeepSeek line and of GLM-4, without the kind of its gate. The shared experts
// are stored and run as one of their summed width.
func (f *fields) deepseekExperts() *MoE {
	f.only("hidden_act", "silu")
	m := &MoE{
		Experts:      f.size("n_routed_experts", 0, maxExperts),
		TopK:         f.size("num_experts_per_tok", 0, maxTopK),
		Intermediate: f.size("moe_intermediate_size", 0, maxIntermediate),
		Activation:   gpu.SiLU,
	}
	m.Gate = gpu.Gate{
		Experts: m.Experts, K: m.TopK,
		Groups:    f.whole("n_group", 1, maxExperts),
		TopGroups: f.whole("topk_group", 1, maxExperts),
		Scale:     float32(f.positive("routed_scaling_factor", 1)),
	}
	if shared := f.whole("n_shared_experts", 0, maxTopK); shared > 0 {
		m.Shared = &Shared{Dense: Dense{Intermediate: shared * m.Intermediate, Activation: gpu.SiLU}}
	}
	return m
}

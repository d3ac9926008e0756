package model

import "shoal/gpu"

// olmoe is OLMoE: queries and keys normalised across all heads together, routed experts in every layer behind a softmax gate.
func olmoe(f *fields) *Spec {
	s := f.decoder(false)
	norm, a := f.rms(1e-5), f.gqa(s)
	a.QKNorm, a.QKNormEps = AcrossHeads, norm.Eps
	a.QKVBias = f.bool("attention_bias", false)
	a.OutBias = a.QKVBias
	f.absent("clip_qkv")
	s.Ropes = []Rope{f.rope(10000, a.HeadDim, false)}
	f.only("hidden_act", "silu")
	moe := &MoE{
		Experts:      f.size("num_experts", 0, maxExperts),
		TopK:         f.size("num_experts_per_tok", 8, maxTopK),
		Intermediate: f.size("intermediate_size", 0, maxIntermediate),
		Activation:   gpu.SiLU,
	}
	moe.Gate = gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: moe.Experts, K: moe.TopK, Renormalise: f.bool("norm_topk_prob", false)}
	for l := range s.Layers {
		s.Layers[l] = Layer{Norm: norm, GQA: &a, MoE: moe}
	}
	s.FinalNorm = norm
	return s
}

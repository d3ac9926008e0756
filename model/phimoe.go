package model

import "shoal/gpu"

// phiMoE is Phi-3.5-MoE and its SlimMoE descendants (Phi-mini-MoE): LayerNorm with bias, biases in attention and head, and
// the sparse mixer gate (Liu et al. 2024), whose two weights do not sum to 1.
func phiMoE(f *fields) *Spec {
	s := f.decoder(false)
	s.HeadBias = f.bool("lm_head_bias", false)
	norm, a := f.rms(1e-5), f.gqa(s)
	norm.Centred = true
	a.Window = f.whole("sliding_window", 0, maxPositions)
	a.QKVBias = f.bool("attention_bias", false)
	a.OutBias = a.QKVBias
	s.Ropes = []Rope{f.rope(1e6, a.HeadDim, false)}
	moe := f.localExperts()
	moe.Gate = gpu.Gate{
		Kind: gpu.SparseMixer, Experts: moe.Experts, K: moe.TopK,
		Jitter: float32(f.positive("router_jitter_noise", 0.01)),
	}
	for l := range s.Layers {
		s.Layers[l] = Layer{Norm: norm, GQA: &a, MoE: moe}
	}
	s.FinalNorm = norm
	return s
}

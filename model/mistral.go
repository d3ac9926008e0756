package model

import "shoal/gpu"

// mistral is Mistral 7B: Llama with an optional sliding window on every layer.
func mistral(f *fields) *Spec {
	s := f.decoder(false)
	norm, a, ffn := f.rms(1e-6), f.gqa(s), f.dense()
	a.Window = f.whole("sliding_window", 0, maxPositions)
	f.absent("attention_bias", "mlp_bias")
	s.Ropes = []Rope{f.rope(10000, a.HeadDim, false)}
	for l := range s.Layers {
		s.Layers[l] = Layer{Norm: norm, GQA: &a, Dense: ffn}
	}
	s.FinalNorm = norm
	return s
}

// mixtral is Mixtral 8x7B and 8x22B: Mistral's attention, and in every layer routed experts whose weights are the softmax
// over the chosen ones.
func mixtral(f *fields) *Spec {
	s := f.decoder(false)
	norm, a := f.rms(1e-5), f.gqa(s)
	a.Window = f.whole("sliding_window", 0, maxPositions)
	f.absent("attention_bias")
	s.Ropes = []Rope{f.rope(1e6, a.HeadDim, false)}
	moe := f.localExperts()
	moe.Gate = gpu.Gate{Kind: gpu.TopKSoftmax, Experts: moe.Experts, K: moe.TopK}
	f.float("router_jitter_noise", 0) // noise on the router's input while training
	for l := range s.Layers {
		s.Layers[l] = Layer{Norm: norm, GQA: &a, MoE: moe}
	}
	s.FinalNorm = norm
	return s
}

// localExperts reads an expert bank described by num_local_experts and intermediate_size, without its gate.
func (f *fields) localExperts() *MoE {
	f.only("hidden_act", "silu")
	return &MoE{
		Experts:      f.size("num_local_experts", 0, maxExperts),
		TopK:         f.size("num_experts_per_tok", 2, maxTopK),
		Intermediate: f.size("intermediate_size", 0, maxIntermediate),
		Activation:   gpu.SiLU,
	}
}

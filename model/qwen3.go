package model

import "shoal/gpu"

// qwen3 is Qwen3: grouped-query attention with RMSNorm on every query and key head, SwiGLU FFN.
// Layers from max_window_layers on slide if use_sliding_window is set.
func qwen3(f *fields) *Spec {
	s := f.decoder(false)
	norm, attention, ffn := f.rms(1e-6), f.qwen3Attention(s), f.dense()
	window := f.qwenWindow()
	first := f.whole("max_window_layers", len(s.Layers), maxLayers)
	windows := f.windows(len(s.Layers), window, func(l int) bool { return window > 0 && l >= first })
	for l := range s.Layers {
		a := attention
		a.Window = windows[l]
		s.Layers[l] = Layer{Norm: norm, GQA: &a, Dense: ffn}
	}
	s.FinalNorm = norm
	return s
}

// qwen3MoE is Qwen3-MoE: Qwen3's attention, and in most layers 128 routed experts behind a softmax gate. The layers named by
// mlp_only_layers, and those that decoder_sparse_step skips, keep a dense FFN. A sliding window is one for all layers.
func qwen3MoE(f *fields) *Spec {
	s := f.decoder(false)
	norm, attention := f.rms(1e-6), f.qwen3Attention(s)
	attention.Window = f.qwenWindow()
	f.whole("max_window_layers", 0, maxLayers)
	moe := f.softmaxExperts(true)
	ffn, sparse := f.dense(), f.sparseLayers(len(s.Layers))
	for l := range s.Layers {
		s.Layers[l] = Layer{Norm: norm, GQA: &attention}
		if sparse[l] {
			s.Layers[l].MoE = moe
		} else {
			s.Layers[l].Dense = ffn
		}
	}
	s.FinalNorm = norm
	return s
}

func (f *fields) qwen3Attention(s *Spec) GQA {
	a := f.gqa(s)
	a.QKNorm, a.QKNormEps = PerHead, float32(f.positive("rms_norm_eps", 1e-6))
	a.QKVBias = f.bool("attention_bias", false)
	a.OutBias = a.QKVBias
	s.Ropes = []Rope{f.rope(10000, a.HeadDim, false)}
	return a
}

// qwenWindow is the attention window of the layers that have one, 0 unless use_sliding_window is set.
func (f *fields) qwenWindow() int {
	window := f.whole("sliding_window", 0, maxPositions)
	if !f.bool("use_sliding_window", false) {
		return 0
	}
	return window
}

// softmaxExperts reads the expert bank of Qwen's MoE families; renormalise is the family's default for norm_topk_prob.
func (f *fields) softmaxExperts(renormalise bool) *MoE {
	f.only("hidden_act", "silu")
	m := &MoE{
		Experts:      f.size("num_experts", 0, maxExperts),
		TopK:         f.size("num_experts_per_tok", 0, maxTopK),
		Intermediate: f.size("moe_intermediate_size", 0, maxIntermediate),
		Activation:   gpu.SiLU,
	}
	m.Gate = gpu.Gate{Kind: gpu.SoftmaxTopK, Experts: m.Experts, K: m.TopK, Renormalise: f.bool("norm_topk_prob", renormalise)}
	return m
}

// sparseLayers says which layers have routed experts: every decoder_sparse_step-th, less those of mlp_only_layers.
func (f *fields) sparseLayers(layers int) []bool {
	step := f.size("decoder_sparse_step", 1, maxLayers)
	out := make([]bool, layers)
	for l := range out {
		out[l] = (l+1)%step == 0
	}
	for _, l := range f.wholes("mlp_only_layers", maxLayers) {
		if l < layers {
			out[l] = false
		}
	}
	return out
}

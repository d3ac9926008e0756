package model

import "shoal/gpu"

// qwen2MoE is Qwen1.5-MoE and Qwen2-MoE: biases on q, k and v, a softmax gate that is not renormalised, and a shared expert
// weighted by a gate of its own. With use_sliding_window, even layers below max_window_layers slide.
func qwen2MoE(f *fields) *Spec {
	s := f.decoder(false)
	norm, attention := f.rms(1e-6), f.gqa(s)
	attention.QKVBias = f.bool("qkv_bias", true)
	s.Ropes = []Rope{f.rope(10000, attention.HeadDim, false)}

	moe := f.softmaxExperts(false)
	moe.Shared = &Shared{
		Dense: Dense{Intermediate: f.size("shared_expert_intermediate_size", 0, maxIntermediate), Activation: gpu.SiLU},
		Gated: true,
	}
	ffn, sparse := f.dense(), f.sparseLayers(len(s.Layers))
	window := f.qwenWindow()
	first := f.whole("max_window_layers", 28, maxLayers)
	windows := f.windows(len(s.Layers), window, func(l int) bool { return window > 0 && l%2 == 0 && l < first })

	for l := range s.Layers {
		a := attention
		a.Window = windows[l]
		s.Layers[l] = Layer{Norm: norm, GQA: &a}
		if sparse[l] {
			s.Layers[l].MoE = moe
		} else {
			s.Layers[l].Dense = ffn
		}
	}
	s.FinalNorm = norm
	return s
}

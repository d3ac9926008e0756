package model

import "shoal/gpu"

// gptOSS is GPT-OSS: biases everywhere, a learned sink logit per attention head, windows on every other layer, a router with
// bias whose weights are the softmax over the chosen experts, and a clamped activation in them.
func gptOSS(f *fields) *Spec {
	s := f.decoder(false)
	norm, attention := f.rms(1e-5), f.gqa(s)
	attention.Sinks = true
	attention.QKVBias = f.bool("attention_bias", true)
	attention.OutBias = attention.QKVBias
	s.Ropes = []Rope{f.rope(150000, attention.HeadDim, false)}
	f.get("initial_context_length") // repeats the encoding's original_max_position_embeddings

	moe := f.localExperts()
	if k := f.size("experts_per_token", moe.TopK, maxTopK); k != moe.TopK {
		f.fail("experts_per_token is %d, num_experts_per_tok is %d", k, moe.TopK)
	}
	f.only("swiglu_limit", 7)
	f.only("swiglu_alpha", 1.702)
	moe.Activation = gpu.SwiGLUOAI
	moe.RouterBias, moe.ExpertBias = true, true
	moe.Gate = gpu.Gate{Kind: gpu.TopKSoftmax, Experts: moe.Experts, K: moe.TopK}

	windows := f.windows(len(s.Layers), f.whole("sliding_window", 128, maxPositions), func(l int) bool { return l%2 == 0 })
	for l := range s.Layers {
		a := attention
		a.Window = windows[l]
		s.Layers[l] = Layer{Norm: norm, GQA: &a, MoE: moe}
	}
	s.FinalNorm = norm
	return s
}
